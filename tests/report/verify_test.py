# SPDX-License-Identifier: MIT
"""A server whose answers go wrong under load, or after it, has no figures."""

import dataclasses
import os
import shutil
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import http_cases  # noqa: E402
import load  # noqa: E402
import servers  # noqa: E402

# A server in a few lines: answers what each request asks for, so many times; then every so-manieth
# answer is wrong.
SCRIPT = """
import asyncio
answered = 0

def answer(request):
    global answered
    answered += 1
    body = {bodies}[request.split()[1].decode()]
    if answered > {right} and answered % {every} == 0:
        body = {wrong}
    return b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (len(body), body)

class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.received = transport, b""
    def data_received(self, data):
        *requests, self.received = (self.received + data).split(b"\\r\\n\\r\\n")
        answers = b"".join(answer(request) for request in requests)
        asyncio.get_running_loop().call_later({delay}, self.transport.write, answers)

async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print("listening on 127.0.0.1:%d mode=test" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
NEVER = 1 << 60
CPUS = os.sched_getaffinity(0)
HELLO = b"Hello, World!"


def case_of(name):
    return next(case for case in http_cases.CASES if case.bench.startswith(f"http/{name}"))


def server(case, right=NEVER, every=1, wrong=b"Hello, Moon!!", delay=0):
    bodies = {"/plaintext": HELLO, case.path: case.body, **dict(case.others)}
    script = SCRIPT.format(bodies=bodies, right=right, every=every, wrong=wrong, delay=delay)
    return servers.Server("test", [sys.executable, "-c", script])


@unittest.skipUnless(shutil.which("wrk"), "wrk is not installed")
class Verify(unittest.TestCase):
    def test_right_answers_pass(self):
        for name in ("plaintext", "json", "churn", "pipelined", "mixed"):
            case = case_of(name)
            with self.subTest(name), server(case) as running:
                load.warm_up(case, running, CPUS)
                load.check_case(case, running)

    def test_one_wrong_body_in_a_warm_up_is_found(self):
        # As long as the right one, and with status 200: only who compares can see it.
        for name in ("plaintext", "json", "pipelined", "mixed"):
            case = case_of(name)
            with self.subTest(name), server(case, right=20, every=50) as running:
                with self.assertRaisesRegex(servers.ServerError, "wrongly under load: .*Moon"):
                    load.warm_up(case, running, CPUS)

    def test_a_body_that_is_right_for_another_request_is_found(self):
        case = case_of("mixed")
        with server(case, right=0, wrong=HELLO) as running:
            with self.assertRaisesRegex(servers.ServerError, "no answer was "):
                load.warm_up(case, running, CPUS)

    def test_a_slow_server_gets_more_time(self):
        case = dataclasses.replace(case_of("plaintext"), connections=4)
        with server(case, delay=0.6) as running:
            load.warm_up(case, running, CPUS)

    def test_wrk_gets_more_time_to_begin(self):
        outputs = iter(("", "verified: all\n"))
        with mock.patch.object(load, "_run_verifying_wrk", lambda *_: next(outputs)):
            load.warm_up(case_of("plaintext"), None, CPUS)
        self.assertEqual(list(outputs), [])

    def test_a_wrk_that_never_says_a_word_is_found(self):
        with mock.patch.object(load, "_run_verifying_wrk", return_value=""):
            with self.assertRaisesRegex(servers.ServerError, "wrongly under load: wrk says"):
                load.warm_up(case_of("plaintext"), mock.Mock(), CPUS)

    def test_a_server_that_does_not_answer_is_found(self):
        case = case_of("plaintext")
        with server(case) as running:
            running.process.terminate()
            running.process.wait()
            with self.assertRaisesRegex(servers.ServerError, "wrongly under load"):
                load.warm_up(case, running, CPUS)

    def test_a_wrong_server_fails_the_run(self):
        case = case_of("plaintext")
        suite = http_cases.Suite((case,), {}, http_cases.PEERS)
        for right in (1, 20):
            with mock.patch.object(http_cases, "make_server",
                                            lambda *_, right=right: server(case, right)):
                suite.run_round(1, lambda _: None)
        self.assertEqual(len(suite.failures()), 2)
        self.assertEqual(suite.rows(), [])


class After(unittest.TestCase):
    """With the load and the look at it taken for granted."""

    def measure(self, right):
        case = case_of("plaintext")
        output = ("  1 requests in 1.00s, 1MB read\n  50% 1us\n  99% 1us\n", 0.5)
        with mock.patch.object(load, "warm_up"), \
                mock.patch.object(load, "_run_wrk", lambda *_: output), \
                server(case, right) as running:
            return load.measure(case, running, 1, CPUS)

    def test_a_request_after_the_window_is_checked_as_well(self):
        # The first is the server's own check, the second the one before the window.
        with self.assertRaisesRegex(servers.ServerError, "200 b'Hello, Moon!!'"):
            self.measure(right=2)
        self.assertFalse(self.measure(right=3).is_failed)


if __name__ == "__main__":
    unittest.main()
