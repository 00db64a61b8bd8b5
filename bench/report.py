# SPDX-License-Identifier: GPL-2.0-or-later
"""postgreyreport and policy-test beside Perl's, on generated logs of 300,000 lines, in turns in one run.

    .venv/bin/python -m bench.report [--directory DIR] [--lines N] [--rounds N]

The exit status tells whether the reports were the same, not whether ours was fast.
"""

from __future__ import annotations

import argparse
import getpass
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench import machine
from tests.commands.generated_log import Generator
from tests.commands.running import PERL_POLICY_TEST, PERL_REPORT, POLICY_TEST, REPORT, environment
from tests.database.dbdirs import open_store, put_all
from tests.support.servers import POSTGREY, PolicyServer

SEED = 1
TARGET = 2.0


class Run(NamedTuple):
    """One run of a command: seconds on the clock and of the processor, peak memory in MiB."""

    elapsed: float
    processor: float
    memory: float


@dataclass(frozen=True, slots=True)
class Log:
    """A log with the database to it; `name` is what the table calls it."""

    name: str
    path: Path
    dbdir: Path
    lines: int
    triplets: int


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.report", description="Speed of the log tools beside Perl's.")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="where to work")
    parser.add_argument("--lines", type=int, default=300_000, help="lines of each log (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each report is made (%(default)s)")
    return parser.parse_args(arguments)


def make_log(directory: Path, name: str, lines: int, rejections_only: bool) -> Log:
    """Generate a log and its database."""
    world = Generator(SEED, lines, rejections_only=rejections_only).generate()
    path, dbdir = directory / f"{name.split()[0]}.log", directory / name.split()[0]
    path.write_text("".join(world.lines), encoding="latin-1")
    with open_store(dbdir) as store:
        put_all(store.triplets, world.records)
        store.commit()
        # As a server does every hour.
        store.environment.checkpoint(now=True)
        store.environment.remove_logs()
    return Log(name, path, dbdir, len(world.lines), world.deferred)


def installed_environment(directory: Path) -> dict[str, str]:
    """The environment in which a command of ours runs as if installed: compiled, and its output buffered."""
    developers = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    inherited = {name: value for name, value in environment().items() if name not in developers}
    return inherited | {"PYTHONPYCACHEPREFIX": str(directory / "compiled")}


def measure(command: Sequence[str], log: Path, output: Path) -> Run:
    """Run a command with this log on its standard input; RuntimeError when it fails."""
    began = time.perf_counter()
    with (
        log.open("rb") as stdin,
        output.open("wb") as stdout,
        subprocess.Popen(command, stdin=stdin, stdout=stdout, env=installed_environment(output.parent)) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    elapsed = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return Run(elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(ours: Path, perls: Path) -> tuple[int, int]:
    """How many lines the reports have, and how many differ. Perl's has the lines of one client in no order."""
    lines = [sorted(path.read_bytes().splitlines()) for path in (ours, perls)]
    return len(lines[0]), len(set(lines[0]) ^ set(lines[1])) + abs(len(lines[0]) - len(lines[1]))


def median(runs: Sequence[Run]) -> Run:
    return Run(*(statistics.median(values) for values in zip(*runs, strict=True)))


def compare_reports(log: Log, directory: Path, rounds: int) -> bool:
    """Print a line of the table; true when both printed the same."""
    runs: dict[str, list[Run]] = {"perl": [], "ours": []}
    commands = {"perl": PERL_REPORT, "ours": REPORT}
    subprocess.run([*REPORT, "--help"], env=installed_environment(directory), capture_output=True, check=True)
    for number in range(rounds):
        for name in ("perl", "ours") if number % 2 else ("ours", "perl"):
            command = [*commands[name], f"--user={getpass.getuser()}", f"--dbdir={log.dbdir}", "--show_tries"]
            runs[name].append(measure(command, log.path, directory / f"{name}.out"))
    lines, differences = compare(directory / "ours.out", directory / "perl.out")
    perl, ours = median(runs["perl"]), median(runs["ours"])
    ratio = perl.elapsed / ours.elapsed
    print(
        f"| {log.name} | {log.lines:,} | {log.triplets:,} | {lines:,} | {differences} "
        f"| {perl.elapsed:.2f} | {ours.elapsed:.2f} | {ratio:.1f} | {'yes' if ratio >= TARGET else '**no**'} "
        f"| {perl.processor:.2f} / {ours.processor:.2f} | {perl.memory:.0f} / {ours.memory:.0f} |"
    )
    return differences == 0


def time_extras(log: Log, directory: Path) -> None:
    """What Perl's has no counterpart for."""
    base = [*REPORT, f"--user={getpass.getuser()}", f"--dbdir={log.dbdir}"]
    for options in (["--summary"], [f"--plot={directory / 'plot.svg'}"], ["--format=json"]):
        run = measure([*base, *options], log.path, directory / "extra.out")
        print(f"{options[0].partition('=')[0]}: {run.elapsed:.2f} s, {run.memory:.0f} MiB")


def compare_policy_tests(log: Log, directory: Path) -> None:
    """Both against our server, which knows nothing at first."""
    for name, command in (
        ("Perl's", PERL_POLICY_TEST),
        ("ours", POLICY_TEST),
        ("ours, 20 connections", (*POLICY_TEST, "--connections=20", "--latency")),
    ):
        dbdir = directory / re.sub(r"\W", "", name)
        with PolicyServer(POSTGREY, dbdir, ["--quiet"]) as server:
            run = measure([*command, f"inet:127.0.0.1:{server.port}"], log.path, directory / "policy.out")
        text = (directory / "policy.out").read_text().strip().replace("\n", "; ")
        print(f"policy-test, {name}: {run.elapsed:.2f} s, {run.memory:.0f} MiB: {text}")


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = parse_arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="postgrey-bench-", dir=wanted.directory) as temporary:
        directory = Path(temporary)
        print(f"{machine.describe(directory)}; {wanted.rounds} rounds, medians\n")
        wanted_logs = (("rejections alone", True), ("mail of all kinds", False))
        # In other processes, because a child's peak of memory begins with that of its parent.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            logs = [pool.apply(make_log, (directory, name, wanted.lines, only)) for name, only in wanted_logs]
        print(
            "| log | lines | deferred | lines of the report | of them different | 1.37, s | postgrey-py, s | ratio "
            f"| at least {TARGET:g} | processor, s | memory, MiB |"
        )
        print("| --- " + "| ---: " * 10 + "|")
        are_equal = [compare_reports(log, directory, wanted.rounds) for log in logs]
        print()
        time_extras(logs[-1], directory)
        compare_policy_tests(logs[-1], directory)
    return 0 if all(are_equal) else 1


if __name__ == "__main__":
    sys.exit(main())
