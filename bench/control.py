# SPDX-License-Identifier: GPL-2.0-or-later
"""How long mail waits while an administrator asks: a million triplets, 20 busy clients, each command of postgreyctl.

    .venv/bin/python -m bench.control [--directory DIR] [--triplets N]

The exit status tells whether every command did what it should, not how long mail waited.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.polload import Polload, compile_polload
from bench.stall import SEED, build
from tests.support.servers import POSTGREY, ROOT, STOCK_CLIENTS, STOCK_RECIPIENTS, PolicyServer

POSTGREYCTL = (sys.executable, str(ROOT / "scripts" / "postgreyctl"))

# The file of export and import, in the directory of the run.
EXPORT = "export"

# With nothing, first; the last ones change records.
COMMANDS: tuple[tuple[str, ...], ...] = (
    (),
    ("status",),
    ("explain", "192.0.2.7", "alice@example.com", "bob@example.org"),
    ("pending",),
    ("trusted",),
    ("allow", "--sender=nobody.example", "--for=1m"),
    ("reload",),
    ("trust", "192.0.2.7"),
    ("distrust", "192.0.2.7"),
    ("export",),
    ("import", "--yes", EXPORT),
    ("release", "--sender=example1.com", "--yes"),
    ("forget", "--sender=example2.com", "--yes"),
    ("release", "--sender=*.com", "--yes"),
    ("clean-up",),
)


def run(directory: Path, triplets: int) -> bool:
    """Print the longest wait during each command; returns whether all of them did what they should."""
    build(directory / "db", triplets, 0, int(time.time()))
    options = (f"--whitelist-clients={STOCK_CLIENTS}", f"--whitelist-recipients={STOCK_RECIPIENTS}")
    works = True
    print(
        f"| command ({triplets} triplets) | took | requests/s | p99 | longest wait |\n| --- | --- | --- | --- | --- |"
    )
    with (
        PolicyServer(POSTGREY, directory / "db", options) as server,
        Polload(compile_polload(directory), server.port, 20, "0", "mixed", SEED, known=triplets, patience=300) as load,
    ):
        time.sleep(3)
        for command in COMMANDS:
            load.next_phase()
            began = time.monotonic()
            if command:
                with (directory / (EXPORT if command == ("export",) else "output")).open("w") as output:
                    done = subprocess.run(
                        (*POSTGREYCTL, f"--control={server.dbdir}/postgrey.control", *command),
                        stdout=output,
                        stderr=subprocess.PIPE,
                        cwd=directory,
                        text=True,
                        check=False,
                    )
                works &= done.returncode == 0
                if done.returncode:
                    print(done.stderr, file=sys.stderr)
            took = time.monotonic() - began
            time.sleep(max(0.0, 2 - took))
            seen = load.next_phase()
            name = " ".join(command) or "nothing"
            print(
                f"| {name} | {took:.1f} s | {seen.rate:.0f} | {seen.p99:.1f} ms | {seen.longest:.1f} ms |", flush=True
            )
        load.finish()
    return works


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="where the database is built (default: a temporary directory)")
    parser.add_argument("--triplets", type=int, default=1_000_000)
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=wanted.directory) as directory:
        return 0 if run(Path(directory), wanted.triplets) else 1


if __name__ == "__main__":
    sys.exit(main())
