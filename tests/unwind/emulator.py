#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program of another processor, stopped, and joins gdb to the emulator's stub.

usage: target remote | emulator.py EMULATOR [ARGUMENT]... PROGRAM

The stub of qemu-user before version 8 does not tell gdb which bits of an AArch64 return address are
its signature; gdb would take a signed one for the address.  Here it is told, as the kernel tells it
of a process on hardware.
"""
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

WAIT_S = 30

# Beyond all registers of the stub.  Linux lets a program have 48 bits of addresses and a tag of 8.
FIRST_MASK = 1000
MASK = (0x007f << 48).to_bytes(8, "little").hex().encode()
FEATURE = f"""<?xml version="1.0"?><!DOCTYPE feature SYSTEM "gdb-target.dtd">
<feature name="org.gnu.gdb.aarch64.pauth">
<reg name="pauth_dmask" bitsize="64" regnum="{FIRST_MASK}"/>
<reg name="pauth_cmask" bitsize="64" regnum="{FIRST_MASK + 1}"/>
</feature>""".encode()
FEATURE_FILE = b"weft-pauth.xml"
ANSWERS = {b"p%x" % FIRST_MASK: MASK, b"p%x" % (FIRST_MASK + 1): MASK,
           b"qXfer:features:read:" + FEATURE_FILE: b"l" + FEATURE}


def receive(stream):
    """What the next packet holds; None at the end.  What is in front of it acknowledges others."""
    while (byte := stream.read(1)) != b"$":
        if not byte:
            return None
    body = b""
    while (byte := stream.read(1)) not in (b"#", b""):
        body += byte
    return body if len(stream.read(2)) == 2 else None


def send(stream, body, acknowledge=b""):
    stream.write(acknowledge + b"$" + body + b"#%02x" % (sum(body) & 0xff))
    stream.flush()


def with_masks(description):
    if b"aarch64-core.xml" not in description or b"pauth" in description:
        return description
    return description.replace(b"</target>",
                               b'<xi:include href="' + FEATURE_FILE + b'"/></target>')


def relay(stub):
    """Each packet of gdb's has one answer, as nobody interrupts the program."""
    gdb_in, gdb_out = sys.stdin.buffer, sys.stdout.buffer
    while (request := receive(gdb_in)) is not None:
        answer = ANSWERS.get(request.rsplit(b":", 1)[0])
        if answer is None:
            send(stub, request)
            answer = receive(stub)
            if answer is None:
                return
            stub.write(b"+")
            if request.startswith(b"qXfer:features:read:target.xml:0,"):
                answer = with_masks(answer)
        send(gdb_out, answer, b"+")


def connect(path, process):
    deadline = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < deadline:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except OSError:
            connection.close()
            time.sleep(0.01)
    return None


def main():
    emulator, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "stub")
        process = subprocess.Popen([emulator, "-g", path, *rest], stdin=subprocess.DEVNULL,
                                   stdout=sys.stderr)
        try:
            connection = connect(path, process)
            if connection is None:
                sys.exit(f"{emulator} opens no stub at {path}")
            with connection, connection.makefile("rwb") as stub:
                relay(stub)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
