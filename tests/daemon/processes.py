# SPDX-License-Identifier: GPL-2.0-or-later
"""What /proc tells of processes, and servers that run in the background."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.policy import PolicyClient

GREYLISTED = "DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"


def wait_until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Return as soon as the condition is true; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)


def status(pid: int) -> dict[str, list[str]]:
    """The fields of /proc/PID/status; none when there is no such process."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: words.split() for name, _, words in (line.partition(":") for line in lines)}
    return {}


def children() -> set[int]:
    """The process ids of this process's children, dead ones that nobody has waited for among them."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return {pid for pid in pids if status(pid).get("PPid") == [str(os.getpid())]}


def reap(pid: int) -> int:
    """Wait for the end of a child process; its exit status, or minus the signal that ended it."""
    ended: list[int] = []

    def has_ended() -> bool:
        found, code = os.waitpid(pid, os.WNOHANG)
        if found:
            ended.append(os.waitstatus_to_exitcode(code))
        return bool(ended)

    wait_until(has_ended)
    return ended[0]


def stop_once(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    """Send this signal once, and return the exit status."""
    process.send_signal(number)
    return process.wait(timeout=20)


@dataclass
class Daemon:
    """A server in the background; `starter` is the process that was called to start it, which has ended."""

    starter: subprocess.CompletedProcess[str]
    port: int
    pidfile: Path

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def stop(self) -> int:
        """Send TERM once, and return the exit status."""
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        return reap(pid)

    def ask(self) -> str:
        with PolicyClient(self.port) as client:
            return client.ask()


def refusal(daemon: Daemon) -> str:
    """What a start that failed has said on the terminal; nothing may be left of it."""
    assert daemon.starter.returncode == 1
    assert daemon.starter.stdout == ""
    (line,) = daemon.starter.stderr.splitlines()
    with pytest.raises(ConnectionRefusedError):
        PolicyClient(daemon.port)
    return line


# Whatever this process's rights are meanwhile, the other one keeps its own.
CHANGE_ALL_THE_TIME = """
import contextlib, os, sys
path, victim = sys.argv[1:]
print("x", flush=True)
while True:
    for make in (os.symlink, os.link, lambda victim, path: os.mkfifo(path)):
        with contextlib.suppress(OSError):
            os.unlink(path)
        with contextlib.suppress(OSError):
            make(victim, path)
    with contextlib.suppress(OSError):
        os.unlink(path)
"""


@contextlib.contextmanager
def changing(path: Path, victim: Path) -> Iterator[None]:
    """While another process changes, all the time, what this path leads to: the victim most of the time."""
    argv = [sys.executable, "-c", CHANGE_ALL_THE_TIME, str(path), str(victim)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        try:
            yield
            assert process.poll() is None
        finally:
            process.kill()


@contextlib.contextmanager
def many_open_files() -> Iterator[int]:
    """As many open files as this process may have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
