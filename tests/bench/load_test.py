# SPDX-License-Identifier: MIT
"""Tests of the load generators, benchmarks/load, with servers that leave clients without answers;
and of how the C programs of peers start one.

LOAD_FOLDER is where they are, ECHO_CLIENT the program of echo_client.c."""

import os
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
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

    def test_a_connection_without_an_echo_is_a_failure_in_a_closed_loop(self):
        status, figures, complaints = self.load(4, 0, served=1)
        self.assertEqual((status, figures), (1, {}))
        self.assertIn("no echo on some connections", complaints)

    def test_a_server_that_answers_all_is_none(self):
        status, figures, complaints = self.load(4, 0, served=4)
        self.assertEqual((status, complaints), (0, ""))
        self.assertGreater(figures["requests"], 0)


class RoundLoad(unittest.TestCase):
    def load(self, is_answered):
        """is_answered(NUMBER, COUNT) for a datagram of the client of this number, which is its
        COUNTth."""
        counts = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(0.05)

            def step():
                try:
                    data, client = server.recvfrom(100)
                except OSError:
                    return
                counts[client] = counts.get(client, 0) + 1
                if is_answered(list(counts).index(client), counts[client]):
                    server.sendto(data, client)

            return generate("bench-round-load", "udp", server.getsockname()[1], 4, 1000, step=step)

    def test_a_client_without_an_answer_is_a_failure(self):
        status, figures, complaints = self.load(lambda number, _: number == 0)
        self.assertEqual((status, figures), (1, {}))
        self.assertIn("no answer", complaints)

    def test_one_datagram_that_was_lost_is_a_failure(self):
        end = time.monotonic() + 0.8  # in the window, or else before it
        lost = []

        def is_answered(number, count):
            if number == 1 and time.monotonic() > end and not lost:
                lost.append(count)
            return (number, count) != (1, *lost)

        status, figures, complaints = self.load(is_answered)
        self.assertEqual((status, figures), (1, {}))
        self.assertIn("no answer", complaints)

    def test_a_server_that_answers_all_is_none(self):
        status, figures, complaints = self.load(lambda *_: True)
        self.assertEqual((status, complaints), (0, ""))
        self.assertGreater(figures["requests"], 0)
        self.assertGreaterEqual(figures["total"], figures["requests"])


class Start(unittest.TestCase):
    SCRIPT = """#!/bin/sh
[ "$*" = "1 2 4 5 3" ] && echo "requests 7 p50_us 1 p99_us 1 p999_us 1 max_us 1 cpu_us 8"
exit %d
"""

    def start(self, status):
        with tempfile.TemporaryDirectory(prefix="it's here ") as folder:
            program = shutil.copy(os.environ["ECHO_CLIENT"], folder)
            script = os.path.join(folder, "bench-echo-load")
            with open(script, "w", encoding="utf-8") as file:
                file.write(self.SCRIPT % status)
            os.chmod(script, 0o755)
            return subprocess.run([program], capture_output=True, text=True, check=False)

    def test_it_is_found_in_a_folder_of_any_name(self):
        done = self.start(0)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "7 8\n", ""))

    def test_its_failure_is_one_of_the_benchmark(self):
        self.assertEqual(self.start(1).returncode, 1)


if __name__ == "__main__":
    unittest.main()
