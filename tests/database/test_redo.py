# SPDX-License-Identifier: GPL-2.0-or-later
"""A crash and a damaged file at once: what was answered since the last checkpoint is in the logs, and comes back."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.redo import redo
from postgrey_py.database.salvage import salvage
from tests.database.dbdirs import PAGE_BYTES, copy_as_crashed, garble, make_records, open_store, put_all, read_all
from tests.parity.databases import verify

COUNT = 5000
RECORDS_PER_PAGE = 60
CLIENT_RECORDS = {b"192.0.2.%d" % number: b"%d,1700000000" % number for number in range(200)}
DELETED = list(make_records(COUNT))[100:200]


def crash(tmp_path: Path, early: int) -> Path:
    """A crashed directory whose files have `early` records, and whose logs have all."""
    with open_store(tmp_path / "db") as store:
        put_all(store.triplets, make_records(early))
        store.commit()
        store.environment.checkpoint(now=True)
        put_all(store.triplets, make_records(COUNT))
        put_all(store.clients, CLIENT_RECORDS)
        store.commit()
        store.triplets.delete(DELETED)
        put_all(store.triplets, {b"last": b"1,1"})
        store.commit()
        return copy_as_crashed(tmp_path / "db", tmp_path / "crashed")


def expected() -> dict[bytes, bytes]:
    return {key: value for key, value in {**make_records(COUNT), b"last": b"1,1"}.items() if key not in DELETED}


def junk(size: int = PAGE_BYTES) -> bytes:
    return random.Random(1).randbytes(size)


def first_page_of_zeros(path: Path) -> int:
    garble(path, 0, bytes(PAGE_BYTES))
    return 0


def first_page_of_junk(path: Path) -> int:
    garble(path, 0, junk())
    return 0


def page_of_zeros(path: Path) -> int:
    garble(path, 20 * PAGE_BYTES, bytes(PAGE_BYTES))
    return 1


def page_of_junk(path: Path) -> int:
    garble(path, 20 * PAGE_BYTES, junk())
    return 1


def pages_of_junk_and_the_first(path: Path) -> int:
    for page in (0, 5, 20, 25):
        garble(path, page * PAGE_BYTES, junk())
    return 3


def pages_swapped(path: Path) -> int:
    octets = path.read_bytes()
    garble(path, 20 * PAGE_BYTES, octets[25 * PAGE_BYTES : 26 * PAGE_BYTES])
    garble(path, 25 * PAGE_BYTES, octets[20 * PAGE_BYTES : 21 * PAGE_BYTES])
    return 0


def junk_appended(path: Path) -> int:
    """Where the next new pages go: Berkeley DB takes junk there for pages that are newer than its log."""
    with path.open("ab") as file:
        file.write(junk(10_000))
    return 3


DAMAGES = [
    first_page_of_zeros,
    first_page_of_junk,
    page_of_zeros,
    page_of_junk,
    pages_of_junk_and_the_first,
    pages_swapped,
    junk_appended,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_the_logs_have_comes_back(damage: Callable[[Path], int], tmp_path: Path) -> None:
    dbdir = crash(tmp_path, early=2000)
    lost = damage(dbdir / TRIPLETS) * 2 * RECORDS_PER_PAGE
    with open_store(dbdir) as store:
        found = read_all(store.triplets)
        assert found.items() <= expected().items()
        assert len(found) >= len(expected()) - lost
        assert found[b"last"] == b"1,1"
    assert list(dbdir.glob("*.redo")) == list(dbdir.glob("*.salvaged")) == []
    verify(dbdir)


@pytest.mark.parametrize("damage", [first_page_of_zeros, first_page_of_junk])
def test_files_that_have_nothing_yet_are_made_from_the_logs(damage: Callable[[Path], int], tmp_path: Path) -> None:
    dbdir = crash(tmp_path, early=0)
    damage(dbdir / TRIPLETS)
    damage(dbdir / CLIENTS)
    with open_store(dbdir) as store:
        assert read_all(store.triplets) == expected()
        assert read_all(store.clients) == CLIENT_RECORDS
    verify(dbdir)


def test_logs_of_another_file_are_not_used(tmp_path: Path) -> None:
    dbdir = crash(tmp_path, early=2000)
    garble(dbdir / TRIPLETS, 0, junk())
    other = dbdir / "other.db"
    (dbdir / TRIPLETS).rename(other)
    work = tmp_path / "work"
    work.mkdir()
    assert redo(other, list(dbdir.glob("log.*")), work) == other
    assert redo(other, [], work) == other
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("octets", [b"", bytes(100_000), None])
def test_logs_of_no_use_are_no_obstacle(octets: bytes | None, tmp_path: Path) -> None:
    dbdir = crash(tmp_path, early=2000)
    garble(dbdir / TRIPLETS, 0, junk())
    logs = sorted(dbdir.glob("log.*"))
    if octets is None:
        # It still knows the file, and has nothing else that is sound.
        contents = logs[-1].read_bytes()
        logs[-1].write_bytes(contents[:50] + os.urandom(20_000) + contents[20_050:])
    else:
        logs[-1].write_bytes(octets)
    found = salvage(dbdir / TRIPLETS, logs=logs)
    assert found.records >= 2000
    assert list(dbdir.glob("*.redo")) == []
