# SPDX-License-Identifier: GPL-2.0-or-later
"""How long mail waits on a disk whose fsync takes a second: whitelisted clients beside new ones, and a stop.

.venv/bin/python -m bench.slowdisk [--directory DIR] [--sync-delay MS ...] [--server perl|ours]
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.polload import Load, LoadFailedError, Polload, compile_polload
from tests.support.servers import PERL_POSTGREY, POSTGREY, STOCK_CLIENTS, STOCK_RECIPIENTS, PolicyServer

COMMANDS = {"perl": PERL_POSTGREY, "ours": POSTGREY}
WHITE_CONNECTIONS, NEW_CONNECTIONS = 20, 20
SECONDS = 10.0
# Perl Postgrey loses some TERMs.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Waits:
    """Waits of whitelisted and new clients, and how many seconds the stop took."""

    white: Load
    new: Load
    stop: float


def measure(command: Sequence[str], directory: Path, polload: Path, environment: dict[str, str]) -> Waits:
    """Ask one server over both kinds of connections for a while, and stop it while new triplets wait."""
    stock = (f"--whitelist-clients={STOCK_CLIENTS}", f"--whitelist-recipients={STOCK_RECIPIENTS}")
    server = PolicyServer(command, directory, stock, env=environment)
    server.start()
    try:
        with (
            Polload(polload, server.port, NEW_CONNECTIONS, "0", "new", seed=3) as new,
            Polload(polload, server.port, WHITE_CONNECTIONS, "0", "white") as white,
        ):
            time.sleep(SECONDS)
            loads = white.finish(), new.next_phase()
            time.sleep(0.5)
            server.signal(signal.SIGTERM)
            began = time.monotonic()
            server.process.wait(timeout=PATIENCE)
            return Waits(*loads, time.monotonic() - began)
    finally:
        server.kill()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return 0 if everything ran."""
    parser = argparse.ArgumentParser(prog="bench.slowdisk", description="Waits on a slow disk.")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="a place on a real disk")
    parser.add_argument("--sync-delay", type=float, nargs="+", default=[200, 1000], metavar="MS")
    parser.add_argument("--server", choices=COMMANDS, help="measure one of the two alone")
    wanted = parser.parse_args(arguments)
    failed = False
    with tempfile.TemporaryDirectory(prefix="postgrey-bench-", dir=wanted.directory) as name:
        print(machine.describe(Path(name)))
        print("| fsync | server | whitelisted p50/p99/longest ms | new p50/p99/longest ms | stop s |")
        print("| --- | --- | --- | --- | --- |")
        polload = compile_polload(Path(name))
        for delay in wanted.sync_delay:
            environment = machine.slow_disk(Path(name), delay)
            for server in [wanted.server] if wanted.server else list(COMMANDS):
                try:
                    found = measure(COMMANDS[server], Path(name) / f"{server}-{delay:g}", polload, environment)
                except (LoadFailedError, AssertionError, OSError, subprocess.TimeoutExpired) as error:
                    print(f"| {delay:g} ms | {server} | failed: {error} | | |")
                    failed = True
                    continue
                waits = [f"{load.p50:.1f} / {load.p99:.1f} / {load.longest:.1f}" for load in (found.white, found.new)]
                print(f"| {delay:g} ms | {server} | {waits[0]} | {waits[1]} | {found.stop:.2f} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
