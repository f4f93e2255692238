# SPDX-License-Identifier: MIT
"""Tests of the load generators, benchmarks/load: against servers that leave clients without answers.

Their folder is in LOAD_FOLDER."""

import os
import selectors
import socket
import subprocess
import unittest

PROGRAM_SECONDS_MAX = 60


def generate(program, *arguments, step):
    """Runs it beside a server whose step() is called again and again.  Returns the exit status, the
    figures by name, and what it complained of."""
    command = [os.path.join(os.environ["LOAD_FOLDER"], program), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            while process.poll() is None:
                step()
            output, complaints = process.communicate(timeout=PROGRAM_SECONDS_MAX)
        finally:
            process.kill()
    words = output.split()
    figures = dict(zip(words[::2], map(float, words[1::2])))
    return process.returncode, figures, complaints


class EchoServer:
    """Answers each connection once, and from then on those whose number is below `served`."""

    def __init__(self, served):
        self.served = served
        self.connections = {}  # the number of each, and whether it was answered
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in [*self.connections, self.listener]:
            connection.close()
        self.selector.close()

    def step(self):
        for key, _ in self.selector.select(0.05):
            if key.fileobj is self.listener:
                connection, _ = self.listener.accept()
                self.connections[connection] = (len(self.connections), False)
                self.selector.register(connection, selectors.EVENT_READ)
            else:
                self._serve(key.fileobj)

    def _serve(self, connection):
        number, was_answered = self.connections[connection]
        if was_answered and number >= self.served:
            self.selector.unregister(connection)
            return
        self.connections[connection] = (number, True)
        try:
            data = connection.recv(4096)
            if data:
                connection.sendall(data)
                return
        except OSError:
            pass
        self.selector.unregister(connection)


class EchoLoad(unittest.TestCase):
    def load(self, connections, rate, served):
        with EchoServer(served) as server:
            return generate("bench-echo-load", server.port, connections, rate, 1000, 64,
                            step=server.step)

    def test_each_message_that_was_due_counts_though_it_was_never_sent(self):
        # Three quarters of the messages wait, those of each connection for 0.02 s to 1 s.
        status, figures, complaints = self.load(64, 50, served=16)
        self.assertEqual((status, complaints), (0, ""))
        self.assertGreater(figures["p50_us"], 100_000)
        self.assertGreater(figures["max_us"], 900_000)


if __name__ == "__main__":
    unittest.main()
