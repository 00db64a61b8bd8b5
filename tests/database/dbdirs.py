# SPDX-License-Identifier: GPL-2.0-or-later
"""Database directories for tests: made through our own rooms, read back with them, left as a crash leaves them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from postgrey_py.database.environment import Environment
from postgrey_py.database.store import Store, Table
from tests.support.servers import ROOT

PAGE_BYTES = 4096


class OpenStore(Store):
    """A store with its environment, and what was reported while that was opened."""

    def __init__(self, dbdir: Path, with_clients: bool = True) -> None:
        self.reports: list[str] = []
        super().__init__(Environment(str(dbdir), with_clients, self.reports.append))


@contextmanager
def open_store(dbdir: Path, with_clients: bool = True) -> Iterator[OpenStore]:
    """The store of `dbdir`, which is made if need be; closed at the end as a server that stops closes it."""
    dbdir.mkdir(exist_ok=True)
    store = OpenStore(dbdir, with_clients)
    try:
        yield store
    finally:
        store.environment.close()


def make_records(count: int, start: int = 0) -> dict[bytes, bytes]:
    """Records as triplets are, in the order of their keys."""
    return {b"192.0.2.0/sender%07d@example.com/user@example.org" % n: b"1700000000,%d" % n for n in range(start, count)}


def put_all(table: Table, records: Mapping[bytes, bytes]) -> None:
    """Write these records into the turn that is under way."""
    for key, value in records.items():
        table[key] = value


def fill(dbdir: Path, triplets: Mapping[bytes, bytes], clients: Mapping[bytes, bytes] | None = None) -> None:
    """Make a database directory with these records, and close it."""
    with open_store(dbdir) as store:
        put_all(store.triplets, triplets)
        put_all(store.clients, clients or {})
        store.commit()


def read_all(table: Table) -> dict[bytes, bytes]:
    """All committed records of a table."""
    return dict(table.records(b"", 1_000_000))


def read_dbdir(dbdir: Path) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """The triplets and the clients of a directory that nobody uses; it must open without anything to report."""
    with open_store(dbdir) as store:
        assert store.reports == []
        return read_all(store.triplets), read_all(store.clients)


def copy_as_crashed(dbdir: Path, copy: Path) -> Path:
    """A copy of a directory that is in use: what would be left of it if its user died now."""
    copy.mkdir()
    for pattern in ("*.db", "log.??????????", "__db.???"):
        for path in dbdir.glob(pattern):
            shutil.copy2(path, copy)
    return copy


@contextmanager
def child_process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs `code`, has printed a line, and waits; killed with -9 at the end."""
    argv = [sys.executable, "-c", f"{code}\nprint(flush=True)\nsys.stdin.read()", *arguments]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "\n"
            yield process
        finally:
            process.kill()


def garble(path: Path, offset: int, octets: bytes) -> None:
    """Overwrite a part of a file in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(octets)
