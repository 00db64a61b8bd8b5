# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard error that nobody reads, or slowly: mail goes on, lines keep their order, and what is lost is counted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import select
import signal
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from postgrey_py.daemon.standard_error import QUEUE_BYTES, StandardError, WritingThread
from tests.daemon.processes import wait_until
from tests.support.policy import PolicyClient
from tests.support.servers import POSTGREY, PolicyServer

Ends = tuple[int, int]

MANY = 1000


@contextmanager
def pty() -> Iterator[Ends]:
    """The end of whoever sits at a terminal, and the terminal."""
    yield from _closing(os.openpty())


@contextmanager
def pipe() -> Iterator[Ends]:
    yield from _closing(os.pipe())


@contextmanager
def fifo(directory: Path) -> Iterator[Ends]:
    os.mkfifo(directory / "fifo")
    reader = os.open(directory / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    yield from _closing((reader, os.open(directory / "fifo", os.O_WRONLY)))


def _closing(ends: Ends) -> Iterator[Ends]:
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


@contextmanager
def serving(directory: Path, stderr: int) -> Iterator[tuple[PolicyServer, subprocess.Popen[bytes]]]:
    """A server in the foreground with this standard error; it must end soon after a TERM."""
    server = PolicyServer(POSTGREY, directory / "db")
    with subprocess.Popen(server.argv, stderr=stderr, env=server.env, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: is_served(server.port))
            yield server, process
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


def is_served(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        PolicyClient(port).close()
        return True
    return False


def read_for(reader: int, seconds: float = 0.3) -> bytes:
    """All that comes from there until nothing has come for so long."""
    octets = b""
    while select.select([reader], [], [], seconds)[0]:
        try:
            octets += os.read(reader, 65536)
        except OSError:
            break
    return octets


def ask_many(port: int, count: int = MANY, first: int = 0) -> None:
    """So many answers, each of which has a line in the log."""
    with PolicyClient(port) as client:
        for number in range(first, first + count):
            assert client.ask(recipient=f"user{number}@example.org").startswith("DEFER_IF_PERMIT ")


def numbers_in(log: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"recipient=user(\d+)@example.org\r?\n", log)]


@pytest.mark.parametrize("kind", ["terminal", "stopped terminal", "pipe", "fifo"])
def test_what_nobody_reads_does_not_stop_mail(kind: str, tmp_path: Path) -> None:
    ends = pipe() if kind == "pipe" else fifo(tmp_path) if kind == "fifo" else pty()
    with ends as (reader, writer):
        if kind == "stopped terminal":
            termios.tcflow(writer, termios.TCOOFF)
        before = fcntl.fcntl(writer, fcntl.F_GETFL)
        with serving(tmp_path, writer) as (server, _):
            ask_many(server.port)
            # Those who share it are not told that it does not block any more.
            assert fcntl.fcntl(writer, fcntl.F_GETFL) == before
            if kind == "stopped terminal":
                termios.tcflow(writer, termios.TCOON)
            log = read_for(reader)
            ask_many(server.port, 1, first=MANY)
            log += read_for(reader)
    numbers = numbers_in(log)
    assert numbers == sorted(numbers)
    assert numbers[-1] == MANY
    told = sum(int(lost) for lost in re.findall(rb"(\d+) lines lost: the log did not take them", log))
    assert len(numbers) + told >= MANY + 1
    assert told <= MANY + 10


def test_what_nobody_reads_even_at_the_end(tmp_path: Path) -> None:
    with pty() as (_, writer), serving(tmp_path, writer) as (server, _):
        ask_many(server.port)


def test_a_slow_reader_gets_whole_lines_in_order(tmp_path: Path) -> None:
    """As at a serial line."""
    with pty() as (reader, writer):
        tty.setraw(writer)
        done = threading.Event()
        octets: list[bytes] = []

        def read_slowly() -> None:
            while not done.is_set():
                octets.append(os.read(reader, 2000))
                time.sleep(0.005)

        thread = threading.Thread(target=read_slowly, daemon=True)
        thread.start()
        with serving(tmp_path, writer) as (server, _):
            ask_many(server.port)
            done.set()
            ask_many(server.port, 1, first=MANY)
            thread.join(20)
            octets.append(read_for(reader))
        numbers = numbers_in(b"".join(octets))
    assert numbers == sorted(numbers)
    # A line of which only a part was taken is ended before the next.
    for line in b"".join(octets).splitlines():
        assert line.count(b"action=") <= 1, line


def test_a_terminal_that_goes_away_does_not_stop_mail(tmp_path: Path) -> None:
    with pty() as (reader, writer), serving(tmp_path, writer) as (server, _):
        ask_many(server.port, 10)
        os.close(reader)
        ask_many(server.port, 10, first=10)


# What can't be opened once more: the terminal or pipe of another user, as after su


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.root
@pytest.mark.parametrize("make", [pty, pipe])
def test_what_can_not_be_opened_again_is_written_by_a_thread(make: Callable[[], AbstractContextManager[Ends]]) -> None:
    lines = [f"line {number:05}\n".encode() * 10 for number in range(5000)]
    with make() as (reader, writer):
        if make is pty:
            tty.setraw(writer)
        with as_nobody():
            stream = StandardError(writer)
        taken = [stream.write(line) for line in lines]
        # Nobody has read anything: a queue and what the kernel holds were taken, and the rest was not.
        assert taken[0]
        assert not taken[-1]
        expected = b"".join(line for line, is_taken in zip(lines, taken, strict=True) if is_taken)
        octets = b""
        while len(octets) < len(expected):
            octets += os.read(reader, 65536)
        assert octets == expected
        assert stream.write(b"again\n")
        assert os.read(reader, 100) == b"again\n"


def test_the_thread_flushes_at_the_end() -> None:
    with pipe() as (reader, writer):
        writing = WritingThread(writer)
        assert writing.put(b"x" * QUEUE_BYTES) == QUEUE_BYTES
        writing.flush()
        assert len(read_for(reader)) == QUEUE_BYTES


def test_the_thread_does_not_wait_for_ever_at_the_end() -> None:
    with pipe() as (_, writer):
        writing = WritingThread(writer)
        for _ in range(3):
            writing.put(b"x" * QUEUE_BYTES)
        assert writing.put(b"x" * QUEUE_BYTES) == 0
        started = time.monotonic()
        writing.flush()
        assert time.monotonic() - started < 10


def test_a_torn_line_is_ended_before_the_next(tmp_path: Path) -> None:
    with pty() as (reader, writer):
        tty.setraw(writer)
        stream = StandardError(writer)
        while stream.write(b"y" * 1000 + b"\n"):
            pass
        read_for(reader)
        assert stream.write(b"next\n")
        assert read_for(reader).lstrip(b"\n") == b"next\n"
