# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests a second, waits and memory of our server and of Perl Postgrey, in turns in one run.

    .venv/bin/python -m bench.speed [--directory DIR] [--rounds N] [--seconds S] [--json FILE]

The exit status tells whether everything ran, not whether it was fast.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.polload import Load, LoadFailedError, Polload, compile_polload
from tests.support.policy import ask
from tests.support.servers import PERL_POSTGREY, POSTGREY, STOCK_CLIENTS, STOCK_RECIPIENTS, PolicyServer

COMMANDS = {"perl": PERL_POSTGREY, "ours": POSTGREY}
MEMORY_TARGET = 2.5


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the table: a mode of polload over so many connections; `target` is how many times Perl's rate."""

    mode: str
    connections: int
    target: float | None
    answer: str  # the kind of answer that all but a stray request must get

    @property
    def name(self) -> str:
        return f"{self.mode} {self.connections}"


MEASUREMENTS = (
    Measurement("new", 1, 1.6, "defer"),
    Measurement("new", 20, 6, "defer"),
    Measurement("retry", 20, None, "prepend"),
    Measurement("new", 100, 12, "defer"),
    Measurement("white", 1, 2, "dunno"),
    Measurement("white", 20, None, "dunno"),
    Measurement("white", 100, 8, "dunno"),
    Measurement("awl", 20, None, "dunno"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What one measurement found."""

    load: Load
    processor: float  # microseconds of the server's processor time for one request
    others: float  # what other programs took meanwhile: 0 nothing, 1 one whole processor


@dataclass(slots=True)
class Contestant:
    """A running server with what was measured of it: by row, one Result of each round."""

    name: str
    server: PolicyServer
    results: dict[Measurement, list[Result]] = field(default_factory=dict)
    new_triplets: int = 0  # how many the last run of `new` with 20 connections asked for: those can be retried
    memory: int = 0  # KiB
    failure: str = ""

    def rate(self, row: Measurement) -> float | None:
        return self._median(row, lambda result: result.load.rate)

    def p99(self, row: Measurement) -> float | None:
        return self._median(row, lambda result: result.load.p99)

    def processor(self, row: Measurement) -> float | None:
        return self._median(row, lambda result: result.processor)

    def longest(self, row: Measurement) -> float | None:
        """The longest wait of any round: a median would hide what a mail may meet."""
        results = self.results.get(row)
        return max(result.load.longest for result in results) if results else None

    def _median(self, row: Measurement, value: Callable[[Result], float]) -> float | None:
        results = self.results.get(row)
        return statistics.median(value(result) for result in results) if results else None


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.speed", description="Speed of postgrey-py beside Perl Postgrey.")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="a place on a real disk")
    parser.add_argument("--rounds", type=int, default=3, help="how often each measurement is made (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.5, help="how long each one takes (%(default)s)")
    parser.add_argument("--server", choices=COMMANDS, help="measure one of the two alone")
    parser.add_argument("--only", metavar="MODE", help="measure these rows alone: new, white, retry (with new), awl")
    parser.add_argument("--option", action="append", default=[], help="one more option for both servers, repeatable")
    parser.add_argument(
        "--sync-delay", type=float, default=0, metavar="MS", help="as if every fsync took longer by this"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=0,
        metavar="S",
        help="wait so long for an idle machine before each measurement",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    return parser.parse_args(arguments)


def prime_auto_whitelist(port: int) -> None:
    """Bring polload's `awl` client to the five successes that put it into the auto-whitelist."""
    first = int(time.time()) - 6 * 3600
    for success in range(5):
        triplet = {"sender": f"prime{success}a@example.com", "client_address": "192.0.2.7"}
        for moment in (first, first + 600):
            ask(port, policy_test_time=moment + success * 3900, **triplet)


def measure(one: Contestant, row: Measurement, polload: Path, seed: int, seconds: float) -> Result:
    """One measurement. LoadFailedError also when an answer was not of the kind that the row must get."""
    if row.mode == "retry":
        # Half of what was asked before takes about as long, because each success writes the client's record too.
        # The same seed, a while later.
        amount, seed, test_time = str(max(one.new_triplets // 2, row.connections)), seed - 1, int(time.time()) + 400
    else:
        amount, test_time = f"{seconds}s", 0
    began, busy = time.monotonic(), machine.busy_time()
    used, polloads = machine.processor_time(one.server.pid), machine.finished_children_time()
    with Polload(polload, one.server.port, row.connections, amount, row.mode, seed, test_time) as load:
        met = load.wait()
    used = machine.processor_time(one.server.pid) - used
    others = machine.busy_time() - busy - used - (machine.finished_children_time() - polloads)
    if row.mode == "new" and row.connections == 20:
        one.new_triplets = met.answers
    wrong = met.answers - getattr(met, row.answer)
    # Of random client addresses one in some hundred thousands is in a network of the stock whitelist.
    if wrong * 1000 > met.answers:
        raise LoadFailedError(f"{wrong} of {met.answers} answers were not {row.answer.upper()}: {met}")
    return Result(met, used / met.answers * 1e6, max(others / (time.monotonic() - began), 0))


def run_rounds(
    contestants: list[Contestant], rows: Sequence[Measurement], polload: Path, wanted: argparse.Namespace
) -> None:
    """Fill in the loads: every row in every round, the servers taking turns at being first."""
    seed = 0
    for round_number in range(wanted.rounds):
        for row in rows:
            seed += 1  # the same triplets for both, new ones for every run
            for one in contestants if (round_number + seed) % 2 else contestants[::-1]:
                if one.failure:
                    continue
                machine.wait_until_idle(wanted.patience)
                try:
                    result = measure(one, row, polload, seed, wanted.seconds)
                except LoadFailedError as error:
                    one.failure = f"{row.name}: {error}"
                    continue
                one.results.setdefault(row, []).append(result)
                load, name = result.load, f"round {round_number + 1}, {row.name:>9}, {one.name}"
                waits = f"p99 {load.p99:.2f} ms, longest {load.longest:.2f} ms"
                print(f"{name}: {load.rate:6} req/s, {result.processor:.1f} us, {waits}", file=sys.stderr)


def start(name: str, directory: Path, options: Sequence[str], environment: dict[str, str]) -> Contestant:
    """Start one server on a dbdir of its own, ready to be measured; or note why it does not serve."""
    stock = (f"--whitelist-clients={STOCK_CLIENTS}", f"--whitelist-recipients={STOCK_RECIPIENTS}")
    one = Contestant(name, PolicyServer(COMMANDS[name], directory / name, (*stock, *options), env=environment))
    try:
        one.server.start()
        prime_auto_whitelist(one.server.port)
    except (AssertionError, OSError) as error:
        one.failure = str(error)
    return one


def stop(one: Contestant) -> None:
    """Note its peak memory and stop it."""
    if one.server.process is None or one.server.process.poll() is not None:
        one.failure = one.failure or "it ended by itself"
        return
    one.memory = machine.peak_memory(one.server.pid)
    try:
        one.server.stop()
    except AssertionError as error:
        one.failure = one.failure or str(error)


def figures(one: Contestant | None, row: Measurement) -> tuple[float | None, ...]:
    """Rate, p99, longest wait and processor time: None for what was not measured."""
    return (one.rate(row), one.p99(row), one.longest(row), one.processor(row)) if one else (None,) * 4


def ratio(ours: float | None, perls: float | None) -> float | None:
    return ours / perls if ours and perls else None


def show(value: float | None, pattern: str) -> str:
    return format(value, pattern) if value is not None else "-"


def verdict(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "**no**"


def table(rows: Sequence[Measurement], perl: Contestant | None, ours: Contestant | None) -> str:
    """The figures as Markdown."""
    lines = [
        (
            "| requests | connections | Postgrey 1.37, req/s | postgrey-py, req/s | ratio | target | met "
            "| wait p99 / longest, ms: 1.37 | postgrey-py | processor, us a request: 1.37 | postgrey-py |"
        ),
        "| --- " + "| ---: " * 10 + "|",
    ]
    for row in rows:
        (perls, *perls_waits, perls_work), (own, *own_waits, own_work) = figures(perl, row), figures(ours, row)
        times = ratio(own, perls)
        cells = [
            row.mode,
            str(row.connections),
            show(perls, ".0f"),
            show(own, ".0f"),
            show(times, ".1f"),
            show(row.target, "g"),
            verdict(times >= row.target if times and row.target else None),
            " / ".join(show(wait, ".1f") for wait in perls_waits),
            " / ".join(show(wait, ".1f") for wait in own_waits),
            show(perls_work, ".0f"),
            show(own_work, ".0f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    perls, own = (one.memory / 1024 if one and one.memory else None for one in (perl, ours))
    times = ratio(own, perls)
    met = verdict(times <= MEMORY_TARGET if times else None)
    others = [result.others for one in (perl, ours) if one for results in one.results.values() for result in results]
    lines += [
        "",
        (
            f"Peak memory: Postgrey 1.37 {show(perls, '.1f')} MiB, postgrey-py {show(own, '.1f')} MiB, "
            f"ratio {show(times, '.2f')} (target: at most {MEMORY_TARGET:g}; met: {met or '-'})"
        ),
        f"Other programs took {statistics.median(others) if others else 0:.2f} of a processor meanwhile (median).",
    ]
    return "\n".join(lines)


def as_json(description: str, rows: Sequence[Measurement], contestants: list[Contestant]) -> str:
    """Every figure, for programs."""
    return json.dumps(
        {
            "machine": description,
            "servers": {
                one.name: {
                    "memory_kib": one.memory,
                    "failure": one.failure,
                    "loads": [
                        {
                            "round": number,
                            "processor": result.processor,
                            "others": result.others,
                            **dataclasses.asdict(result.load),
                        }
                        for row in rows
                        for number, result in enumerate(one.results.get(row, ()), 1)
                    ],
                }
                for one in contestants
            },
            "targets": {row.name: row.target for row in rows if row.target},
        },
        indent=1,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = parse_arguments(arguments)
    if machine.is_in_memory(wanted.directory):
        print(f"WARNING: {wanted.directory} is in memory, where an fsync is free: use --directory", file=sys.stderr)
    modes = {None: (None,), "retry": ("new", "retry")}.get(wanted.only, (wanted.only,))
    rows = [row for row in MEASUREMENTS if wanted.only is None or row.mode in modes]
    names = [wanted.server] if wanted.server else list(COMMANDS)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="postgrey-bench-", dir=wanted.directory) as name, ExitStack() as stack:
        directory = Path(name)
        description = machine.describe(directory, wanted.sync_delay)
        polload = compile_polload(directory)
        environment = machine.slow_disk(directory, wanted.sync_delay)
        contestants = []
        for server in names:
            one = start(server, directory, wanted.option, environment)
            stack.callback(one.server.kill)
            contestants.append(one)
        run_rounds(contestants, rows, polload, wanted)
        for one in contestants:
            stop(one)
    found = {one.name: one for one in contestants}
    took = f"{time.monotonic() - began:.0f} s in all"
    print(f"{description}; {wanted.rounds} rounds of {wanted.seconds:g} s, median; {took}\n")
    print(table(rows, found.get("perl"), found.get("ours")))
    if wanted.json:
        wanted.json.write_text(as_json(description, rows, contestants) + "\n")
    failed = [one for one in contestants if one.failure]
    for one in failed:
        print(f"\n{one.name} failed: {one.failure}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
