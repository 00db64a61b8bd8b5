# SPDX-License-Identifier: GPL-2.0-or-later
"""Read database directories with Berkeley DB's own programs, never through our code and never in place."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TRIPLETS = "postgrey.db"
CLIENTS = "postgrey_clients.db"


@dataclass(frozen=True, slots=True)
class Dump:
    """One database: the header lines of db5.3_dump (type, page size), and the records."""

    header: tuple[str, ...]
    records: dict[str, str]


def dump_file(path: Path) -> Dump:
    """What a database file holds by itself, without environment and logs."""
    text = subprocess.run(["db5.3_dump", str(path)], check=True, capture_output=True, encoding="ascii").stdout
    header, _, body = text.partition("HEADER=END\n")
    lines = [bytes.fromhex(line).decode("latin-1") for line in body.splitlines() if line != "DATA=END"]
    return Dump(tuple(header.splitlines()), dict(zip(lines[::2], lines[1::2], strict=True)))


@contextmanager
def recovered_copy(dbdir: Path) -> Iterator[Path]:
    """A copy of the databases and logs of `dbdir`, after recovery; for a server that has stopped or was killed."""
    with tempfile.TemporaryDirectory(prefix=dbdir.name, dir=dbdir.parent) as name:
        copy = Path(name)
        for path in [*dbdir.glob("*.db"), *dbdir.glob("log.*")]:
            if not path.name.startswith("__db."):
                shutil.copy(path, copy)
        subprocess.run(["db5.3_recover", "-h", name], check=True, capture_output=True)
        yield copy


def dump_recovered(dbdir: Path) -> dict[str, Dump]:
    """The databases of a directory by file name, as the next opener would find them."""
    with recovered_copy(dbdir) as copy:
        return {path.name: dump_file(path) for path in sorted(copy.glob("*.db"))}


def verify(dbdir: Path) -> None:
    """Run db5.3_verify on the recovered databases; AssertionError with its words when it is not content."""
    with recovered_copy(dbdir) as copy:
        for path in copy.glob("*.db"):
            result = subprocess.run(["db5.3_verify", str(path)], capture_output=True, text=True)
            assert result.returncode == 0, result.stdout + result.stderr
