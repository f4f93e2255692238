# SPDX-License-Identifier: MIT
"""The echo server, whose path is in ECHO_SERVER, goes on when it was out of descriptors, and says
why when it cannot begin."""

import os
import resource
import socket
import subprocess
import time
import unittest

SERVER = os.environ["ECHO_SERVER"]
PATIENCE = 30  # seconds; no answer takes that long
ROOM = 4  # connections that the server has descriptors for
CLIENTS = 3 * ROOM


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


class EchoServer(unittest.TestCase):
    def start(self, backend):
        """Somebody else may take the port before the server does: then it ends, and another one
        is tried."""
        environment = dict(os.environ, WEFT_BACKEND=backend)
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            port = free_port()
            server = subprocess.Popen([SERVER, str(port)], env=environment)
            while server.poll() is None and time.monotonic() < give_up:
                try:
                    client = socket.create_connection(("127.0.0.1", port), PATIENCE)
                except ConnectionRefusedError:
                    time.sleep(0.01)
                    continue
                self.addCleanup(server.wait)
                self.addCleanup(server.kill)
                self.addCleanup(client.close)
                return server, port, client
            server.kill()
            server.wait()
        self.fail("the server does not start")

    def connect(self, port):
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def assert_echoes(self, client):
        client.sendall(b"hello")
        self.assertEqual(client.recv(5, socket.MSG_WAITALL), b"hello")

    def check(self, backend):
        server, port, first = self.start(backend)
        self.assert_echoes(first)
        highest = max(map(int, os.listdir(f"/proc/{server.pid}/fd")))
        limit = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (highest + 1 + ROOM, limit))
        # More than fit: the others stay in the backlog, and get their turn as those before go.
        clients = [self.connect(port) for _ in range(CLIENTS)]
        for client in clients:
            self.assert_echoes(client)
            time.sleep(0.02)  # so that the server meets its limit while all descriptors are taken
            client.close()
        self.assert_echoes(first)
        self.assert_echoes(self.connect(port))

    def test_says_why_when_its_port_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            end = subprocess.run([SERVER, str(other.getsockname()[1])], stderr=subprocess.PIPE,
                                 text=True, timeout=PATIENCE, check=False)
        self.assertEqual(end.returncode, 1)
        self.assertIn("cannot listen: Address already in use\n", end.stderr)

    def test_clients_that_did_not_fit_are_served_when_others_have_gone(self):
        for backend in ("auto", "epoll"):
            with self.subTest(backend):
                self.check(backend)
                self.doCleanups()


if __name__ == "__main__":
    unittest.main()
