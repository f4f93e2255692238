# SPDX-License-Identifier: MIT
"""Starting and stopping the HTTP servers that scripts/run.sh compares."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 10
STOP_SECONDS = 8  # servers may take 5 s to finish requests in flight
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

_NGINX_CONFIG = """\
worker_processes {workers};
worker_rlimit_nofile {files};
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections {connections};
}}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /plaintext {{
            default_type text/plain;
            return 200 "Hello, World!";
        }}
        location = /json {{
            default_type application/json;
            return 200 '{{"message":"Hello, World!"}}';
        }}
    }}
}}
"""


class ServerError(Exception):
    """A server did not start or did not stay; the message is for the user."""


def _detach_from_terminal():
    """Between fork and exec: an interrupt at the terminal must reach only the driver, which then
    stops the servers in order; and should the driver be killed, the server ends too."""
    os.setsid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def start_process(command, **options):
    return subprocess.Popen(command, preexec_fn=_detach_from_terminal, **options)


def stop_process(process, seconds=STOP_SECONDS):
    """SIGTERM, then SIGKILL to what is left of its process group.  Returns the exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
    # Also where the leader has ended: what it started may have not.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return process.wait()


def free_port():
    """A port that was free a moment ago; for nginx, which cannot report one that it chose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(port, path, seconds=5):
    """One request on a connection of its own; (status, body)."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(request.encode())
        while True:
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
            if _is_complete(received):
                break
    head, _, body = received.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.1 ([0-9]{3})", head)
    if not match:
        raise ServerError(f"not an HTTP response: {received[:80]!r}")
    return int(match.group(1)), body


def _is_complete(received):
    """The raw floor ignores 'Connection: close', so the length must tell where a response ends."""
    head, blank, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    return bool(blank and length and len(body) >= int(length.group(1)))


class Server:
    """A running server; use as a context manager, so that it is stopped in every case."""

    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.process = None
        self.port = 0
        self.log = None

    def __enter__(self):
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        try:
            self.start()
            self.check()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            stop_process(self.process)
            if self.process.stdout:
                self.process.stdout.close()
        self.log.close()

    def start(self):
        """Waits for 'listening on 127.0.0.1:PORT ...' as the first line of output."""
        try:
            self.process = start_process(self.command, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=self.log, text=True)
        except OSError as error:
            raise ServerError(f"{self.name}: {self.command[0]}: {error.strerror}") from error
        line = self._first_line()
        match = re.match(r"listening on 127\.0\.0\.1:([0-9]+)", line)
        if not match:
            raise ServerError(f"{self.name} did not start: {line.strip()} {self.complaints()}")
        self.port = int(match.group(1))

    def _first_line(self):
        """readline() with a limit: an alarm would disturb the driver's own signals."""
        output = self.process.stdout.fileno()
        os.set_blocking(output, False)
        deadline = time.monotonic() + START_SECONDS
        text = ""
        while "\n" not in text and time.monotonic() < deadline:
            try:
                piece = os.read(output, 4096)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            if not piece:
                break
            text += piece.decode(errors="replace")
        return text

    def complaints(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read(2000).strip()

    def check(self):
        """One request before any load: a fast wrong answer must not win."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                status, body = fetch(self.port, "/plaintext")
                break
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise ServerError(
                        f"{self.name} does not answer: {error} {self.complaints()}") from error
                time.sleep(0.01)
        if status != 200 or body.strip() != b"Hello, World!":
            raise ServerError(f"{self.name} answers {status} {body[:80]!r}")


class Nginx(Server):
    """nginx with a configuration and a prefix of its own, for so many connections."""

    def __init__(self, name, program, workers, connections):
        super().__init__(name, [program])
        self.workers = workers
        # Any worker may get all of them, while it has not closed yet what was there before; the
        # rest is for what nginx opens besides.
        self.connections = 2 * connections + 64
        self.folder = tempfile.TemporaryDirectory(prefix="weft-nginx-")

    def start(self):
        self.port = free_port()
        path = os.path.join(self.folder.name, "nginx.conf")
        with open(path, "w", encoding="utf-8") as config:
            config.write(self.configuration())
        command = self.command + ["-p", self.folder.name, "-c", path, "-e", "stderr"]
        self.process = start_process(command, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=self.log)

    def configuration(self):
        return _NGINX_CONFIG.format(folder=self.folder.name, port=self.port, workers=self.workers,
                                    connections=self.connections, files=self.connections + 64)

    def __exit__(self, *details):
        super().__exit__(*details)
        self.folder.cleanup()
