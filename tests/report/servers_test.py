# SPDX-License-Identifier: MIT
"""Tests of scripts/report/servers.py: a misbehaving server is told, and none outlives its use."""

import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import load  # noqa: E402
import servers  # noqa: E402

# A server in a few lines; the tests replace its answer.
SCRIPT = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on 127.0.0.1:{listener.getsockname()[1]} mode=test", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(%r)
    connection.close()
"""
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!"


def server(script):
    return servers.Server("test", [sys.executable, "-c", script])


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Start(unittest.TestCase):
    def assert_refused(self, script, reason):
        refused = server(script)
        with self.assertRaisesRegex(servers.ServerError, reason):
            refused.__enter__()
        self.assertFalse(is_alive(refused.process.pid), "the server must not be left behind")

    def test_a_good_server_is_found_on_the_port_that_it_names(self):
        with server(SCRIPT % GOOD) as running:
            self.assertEqual(servers.fetch(running.port, "/x"), (200, b"Hello, World!"))

    def test_one_that_ends_at_once_is_reported_with_its_complaint(self):
        self.assert_refused("import sys; sys.exit('no such luck')", "no such luck")

    def test_one_that_says_something_else_is_refused(self):
        self.assert_refused("print('hello', flush=True); input()", "did not start: hello")

    def test_a_wrong_body_is_refused(self):
        self.assert_refused(SCRIPT % GOOD.replace(b"World", b"Moon!"), "answers 200 b'Hello, Moon!")

    def test_a_wrong_status_is_refused(self):
        self.assert_refused(SCRIPT % GOOD.replace(b"200", b"503"), "answers 503")

    def test_what_is_not_http_is_refused(self):
        self.assert_refused(SCRIPT % b"what?", "not an HTTP response")

    def test_a_missing_program_is_reported(self):
        with self.assertRaisesRegex(servers.ServerError, "No such file"):
            servers.Server("test", ["/nonexistent/server"]).__enter__()


class Nginx(unittest.TestCase):
    def test_it_is_configured_for_its_workers_and_its_connections(self):
        nginx = servers.Nginx("nginx", "/nonexistent/nginx", 5, 512)
        self.addCleanup(nginx.folder.cleanup)
        text = nginx.configuration()
        self.assertIn("worker_processes 5;", text)
        connections = int(re.search(r"worker_connections (\d+);", text).group(1))
        files = int(re.search(r"worker_rlimit_nofile (\d+);", text).group(1))
        self.assertGreater(connections, 512)
        self.assertGreater(files, connections)


class Stop(unittest.TestCase):
    def test_a_server_is_stopped_when_the_body_fails(self):
        with self.assertRaisesRegex(RuntimeError, "stop here"):
            with server(SCRIPT % GOOD) as running:
                pid = running.process.pid
                raise RuntimeError("stop here")
        self.assertFalse(is_alive(pid))

    def test_one_that_ignores_the_polite_signal_is_killed(self):
        stubborn = ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
                    "print('ready', flush=True); time.sleep(60)")
        process = servers.start_process([sys.executable, "-c", stubborn],
                                        stdout=servers.subprocess.PIPE)
        with process.stdout:
            process.stdout.readline()
            began = time.monotonic()
            self.assertEqual(servers.stop_process(process, 0.2), -9)
        self.assertLess(time.monotonic() - began, 5)

    def test_what_a_server_started_ends_with_it(self):
        for script in ("sleep 60 & echo ready; wait", "sleep 60 & echo ready"):
            process = servers.start_process(["sh", "-c", script], stdout=servers.subprocess.PIPE)
            process.stdout.readline()
            servers.stop_process(process, 10)
            # The pipe is open for as long as one of the two is there.
            self.assertEqual(process.communicate(timeout=10)[0], b"")


class Delay(unittest.TestCase):
    def test_a_server_that_does_not_wait_is_refused(self):
        case = load.Case("http/delay", "delay", "/delay/500", 1, delay_s=0.5)
        with server(SCRIPT % GOOD) as running:
            with self.assertRaisesRegex(servers.ServerError, "too early"):
                load.check_case(case, running)


if __name__ == "__main__":
    unittest.main()
