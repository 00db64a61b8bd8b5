# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles and runs polload.c, the load generator, and reads the lines that it prints.

What load it can make is told at the head of the C file. Called by `bench.speed` and `bench.stall`.
"""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

SOURCE = Path(__file__).with_name("polload.c")

_LINE = re.compile(
    r"(?P<mode>\w+) conns=(?P<connections>\d+) n=(?P<answers>\d+) (?P<rate>\d+) req/s"
    r" +p50=(?P<p50>[\d.]+)ms p99=(?P<p99>[\d.]+)ms max=(?P<longest>[\d.]+)ms"
    r" +dunno=(?P<dunno>\d+) prepend=(?P<prepend>\d+) defer=(?P<defer>\d+) other=(?P<other>\d+)"
)
_SLOW = re.compile(r"slow: (?P<wait>[\d.]+) ms until (?P<until>[\d.]+)")


class LoadFailedError(Exception):
    """A server closed a connection, or stopped answering."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one phase of load met: waits in milliseconds, and how many answers of each kind."""

    mode: str
    connections: int
    answers: int
    rate: int
    p50: float
    p99: float
    longest: float
    dunno: int
    prepend: int
    defer: int
    other: int


@dataclass(frozen=True, slots=True)
class SlowAnswer:
    """A wait in milliseconds, and when it ended (`time.monotonic`)."""

    wait: float
    until: float


def compile_polload(directory: Path) -> Path:
    """The path of the program, compiled into `directory`."""
    program = directory / "polload"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program


def parse_load(line: str) -> Load:
    match = _LINE.match(line)
    if not match:
        raise LoadFailedError(f"polload printed {line!r}")
    numbers = {name: float(match[name]) for name in ("p50", "p99", "longest")}
    counts = {
        name: int(match[name]) for name in ("connections", "answers", "rate", "dunno", "prepend", "defer", "other")
    }
    return Load(mode=match["mode"], **counts, **numbers)  # type: ignore[arg-type]


class Polload:
    """A running load generator; a context manager that stops it.

    `amount` is a number of requests, a time ("2.5s") or "0", until it is told to finish.
    Answers that take longer than `slow` milliseconds are kept in `slow_answers` (0: none are).
    """

    def __init__(
        self,
        program: Path,
        port: int,
        connections: int,
        amount: str,
        mode: str,
        seed: int = 1,
        test_time: int = 0,
        known: int = 0,
        patience: int = 30,
        slow: int = 0,
    ) -> None:
        self.argv = [str(program), f"-t{patience}", f"-w{slow}", f"inet:{port}", str(connections), amount, mode]
        self.argv += [str(seed), str(test_time), str(known)]
        self.slow_answers: list[SlowAnswer] = []
        self.complaints: list[str] = []

    def __enter__(self) -> Polload:
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read_errors, daemon=True)
        self.reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def next_phase(self) -> Load:
        """End the phase: what it met. The next one has begun."""
        self.process.send_signal(signal.SIGUSR1)
        return self._read_load()

    def finish(self) -> Load:
        """What the last phase met, when every request has been answered."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> Load:
        """What the load met, once `amount` is used up; LoadFailedError when a request was not answered."""
        load = self._read_load()
        if self.process.wait() != 0:
            self.reader.join()
            raise LoadFailedError("; ".join(self.complaints) or f"polload exits with {self.process.returncode}")
        return load

    def running(self) -> bool:
        return self.process.poll() is None

    def _read_load(self) -> Load:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.reader.join()
            raise LoadFailedError("; ".join(self.complaints) or f"polload exits with {self.process.returncode}")
        return parse_load(line)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            match = _SLOW.match(line)
            if match:
                self.slow_answers.append(SlowAnswer(float(match["wait"]), float(match["until"])))
            else:
                self.complaints.append(line.strip())
