# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a snapshot of a million triplets takes, what a busy server feels of it, and how long 10,000 names take.

    .venv/bin/python -m bench.readers [--directory DIR] [--triplets N] [--names N] [--name-delay SECONDS]

The exit status tells whether everything ran, not how long it took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import machine
from bench.polload import Load, Polload, compile_polload
from bench.stall import SEED, build
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.snapshot import open_snapshot
from tests.commands.databases import make_database
from tests.commands.nameserver import NameServer
from tests.support.servers import POSTGREY, ROOT, STOCK_CLIENTS, STOCK_RECIPIENTS, PolicyServer

CONNECTIONS = 20
ROUNDS = 5
SECONDS_OF_LOAD = 5.0


def time_snapshot(dbdir: Path, names: Sequence[str]) -> tuple[float, float]:
    """Seconds until a snapshot is ready, and to read every record of it: medians of ROUNDS."""
    ready, read = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        with open_snapshot(os.fspath(dbdir), names) as snapshot:
            opened = time.perf_counter()
            for records in snapshot:
                for _ in records:
                    pass
            read.append(time.perf_counter() - opened)
        ready.append(opened - started)
    return statistics.median(ready), statistics.median(read)


def report_snapshots(label: str, dbdir: Path) -> None:
    for what, names in (("both databases", (TRIPLETS, CLIENTS)), ("clients alone", (CLIENTS,))):
        ready, read = time_snapshot(dbdir, names)
        print(f"snapshot, {label}, {what}: ready in {ready:.2f} s, read in {read:.2f} s more", flush=True)


def show_load(label: str, load: Load) -> None:
    print(
        f"server, {label}: {load.rate} requests/s, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms,"
        f" longest {load.longest:.1f} ms",
        flush=True,
    )


def run_snapshots(directory: Path, triplets: int) -> None:
    """Snapshots of a stopped server's database, then of a busy server's."""
    dbdir = directory / "db"
    build(dbdir, triplets, 0, int(time.time()))
    print(f"{triplets} triplets, postgrey.db {(dbdir / TRIPLETS).stat().st_size >> 20} MiB", flush=True)
    report_snapshots("stopped server", dbdir)
    options = [f"--whitelist-clients={STOCK_CLIENTS}", f"--whitelist-recipients={STOCK_RECIPIENTS}"]
    polload = compile_polload(directory)
    with (
        PolicyServer(POSTGREY, dbdir, options) as server,
        Polload(polload, server.port, CONNECTIONS, "0", "mixed", SEED, known=triplets) as load,
    ):
        time.sleep(SECONDS_OF_LOAD)
        load.next_phase()
        time.sleep(SECONDS_OF_LOAD)
        show_load("nobody reads", load.next_phase())
        report_snapshots("busy server", dbdir)
        show_load("while snapshots are taken without a pause", load.next_phase())
        load.finish()


def run_names(directory: Path, names: int, delay: float) -> None:
    """A dump of clients with a name server that takes its time."""
    clients = {f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}": "7,1" for number in range(names)}
    dbdir = make_database(directory / "names", {}, clients)
    with NameServer(delay=delay) as server:
        command = [
            sys.executable,
            "scripts/postgrey_clients_dump",
            f"--dbdir={dbdir}",
            f"--nameserver={server.address}",
        ]
        started = time.perf_counter()
        dump = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
        )
        seconds = time.perf_counter() - started
    found = dump.stdout.count("example.com")
    print(
        f"postgrey_clients_dump: {found} of {names} names in {seconds:.1f} s, each of which takes {delay * 1000:.0f} ms"
        f" (one after another: {names * delay:.0f} s)"
    )


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.readers", description=__doc__.partition("\n")[0])
    parser.add_argument("--directory", type=Path, help="where the databases are (default: the temporary directory)")
    parser.add_argument("--triplets", type=int, default=1_000_000)
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--name-delay", type=float, default=0.2)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = parse_arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="postgrey-readers-", dir=wanted.directory) as name:
        print(machine.describe(Path(name)), flush=True)
        run_snapshots(Path(name), wanted.triplets)
        run_names(Path(name), wanted.names, wanted.name_delay)
    return 0


if __name__ == "__main__":
    sys.exit(main())
