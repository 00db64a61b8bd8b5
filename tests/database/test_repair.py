# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged files: set aside and salvaged, never deleted, and the database goes on."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postgrey_py.database import proof, repair
from postgrey_py.database import salvage as salvage_module
from postgrey_py.database.environment import CLIENTS, TRIPLETS, Environment
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import (
    PAGE_BYTES,
    OpenStore,
    copy_as_crashed,
    fill,
    garble,
    make_records,
    open_store,
    put_all,
    read_all,
    read_dbdir,
)
from tests.parity.databases import verify

RECORDS = make_records(5000)
CLIENT_RECORDS = {b"192.0.2.%d" % n: b"%d,1700000000" % n for n in range(200)}

# A page holds some fifty such records.
RECORDS_PER_PAGE = 60

REPORT = re.compile(r"(.*) is damaged \((.*)\): set aside as (.*), (\d+) records of it salvaged", re.ASCII)

Damage = Callable[[Path], object]


def first_page_of_zeros(path: Path) -> None:
    garble(path, 0, bytes(PAGE_BYTES))


def junk(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def text(path: Path) -> None:
    path.write_text("This is no database.\n")


def nothing(path: Path) -> None:
    os.truncate(path, 0)


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)


def less_than_half_and_a_bit(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3 // PAGE_BYTES * PAGE_BYTES + 1000)


def page_of_junk(path: Path) -> None:
    garble(path, middle_page(path) * PAGE_BYTES, random.Random(1).randbytes(PAGE_BYTES))


def page_of_zeros(path: Path) -> None:
    garble(path, middle_page(path) * PAGE_BYTES, bytes(PAGE_BYTES))


def junk_within_a_page(path: Path) -> None:
    garble(path, middle_page(path) * PAGE_BYTES + 1000, random.Random(1).randbytes(2000))


def junk_in_a_page_header(path: Path) -> None:
    garble(path, middle_page(path) * PAGE_BYTES + 8, random.Random(1).randbytes(60))


def middle_page(path: Path) -> int:
    return path.stat().st_size // PAGE_BYTES // 2


def open_again_after_checking(store: OpenStore) -> None:
    """What the server does after its database has failed."""
    store.environment.close_databases()
    store.environment.open(verify=True)
    store.attach()


def aside_of(store: OpenStore) -> tuple[Path, int]:
    """Where the only report of damage says that the file is now, and how many records were salvaged from it."""
    (match,) = filter(None, map(REPORT.fullmatch, store.reports))
    return Path(match[3]), int(match[4])


def check_it_works(dbdir: Path, store: OpenStore, copy: Path) -> None:
    """The database takes records, keeps them over a crash, and has no unsound page."""
    put_all(store.triplets, {b"more": b"1,1"})
    store.commit()
    expected = read_all(store.triplets), read_all(store.clients)
    assert expected[0][b"more"] == b"1,1"
    assert read_dbdir(copy_as_crashed(dbdir, copy)) == expected


@pytest.mark.parametrize(
    ("damage", "salvaged"),
    [
        (first_page_of_zeros, len(RECORDS)),
        (junk, 0),
        (text, 0),
        (nothing, 0),
        (less_than_half_and_a_bit, len(RECORDS) // 4),
    ],
)
def test_file_that_does_not_open_is_set_aside_and_salvaged(damage: Damage, salvaged: int, tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    fill(dbdir, RECORDS, CLIENT_RECORDS)
    damage(dbdir / TRIPLETS)
    octets = (dbdir / TRIPLETS).read_bytes()
    with open_store(dbdir) as store:
        aside, count = aside_of(store)
        assert aside.read_bytes() == octets
        assert aside.parent == dbdir
        assert re.fullmatch(r"postgrey\.db\.damaged-\d{8}-\d{6}", aside.name)
        found = read_all(store.triplets)
        assert found.items() <= RECORDS.items()
        assert salvaged <= len(found) == count
        assert read_all(store.clients) == CLIENT_RECORDS
        check_it_works(dbdir, store, tmp_path / "crashed")
    verify(dbdir)


@pytest.mark.parametrize("damage", [page_of_junk, page_of_zeros, junk_within_a_page, junk_in_a_page_header])
def test_damage_in_the_middle_costs_the_records_of_one_page(damage: Damage, tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    fill(dbdir, RECORDS, CLIENT_RECORDS)
    with open_store(dbdir) as store:
        damage(dbdir / TRIPLETS)
        octets = (dbdir / TRIPLETS).read_bytes()
        open_again_after_checking(store)
        aside, count = aside_of(store)
        assert aside.read_bytes() == octets
        found = read_all(store.triplets)
        assert found.items() <= RECORDS.items()
        assert len(RECORDS) - RECORDS_PER_PAGE <= len(found) == count
        assert read_all(store.clients) == CLIENT_RECORDS
        check_it_works(dbdir, store, tmp_path / "crashed")
    verify(dbdir)


def test_damage_to_the_inner_tree_costs_hardly_a_record(tmp_path: Path) -> None:
    """Its pages lead to a hundred others each."""
    fill(tmp_path, RECORDS)
    with open_store(tmp_path) as store:
        octets = (tmp_path / TRIPLETS).read_bytes()
        # Their type is the 26th byte of the page's header; 3 are inner pages.
        inner = [start for start in range(0, len(octets), PAGE_BYTES) if octets[start + 25] == 3]
        assert len(inner) >= 1
        for start in inner:
            garble(tmp_path / TRIPLETS, start, random.Random(1).randbytes(PAGE_BYTES))
        open_again_after_checking(store)
        assert aside_of(store)[1] == len(RECORDS)
        assert read_all(store.triplets) == RECORDS
    verify(tmp_path)


def test_deleted_and_overwritten_records_do_not_hide_what_is_stored(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_all(store.triplets, RECORDS)
        store.commit()
        changed = {key: value + b"0" for key, value in RECORDS.items()}
        put_all(store.triplets, changed)
        store.commit()
        store.triplets.delete(list(RECORDS)[:2000])
        store.environment.checkpoint(now=True)
        page_of_junk(tmp_path / TRIPLETS)
        open_again_after_checking(store)
        found = read_all(store.triplets)
        # Of the records in the damaged page, old values may be found elsewhere.
        assert len(found.items() - changed.items()) <= RECORDS_PER_PAGE
        assert found.items() <= changed.items() | RECORDS.items()
        assert len(found) >= 3000 - RECORDS_PER_PAGE


def test_truncation_is_found_on_use(tmp_path: Path) -> None:
    fill(tmp_path, RECORDS)
    half(tmp_path / TRIPLETS)
    with open_store(tmp_path) as store:
        with pytest.raises(DatabaseError, match=r"^can't read: "):
            read_all(store.triplets)
        with pytest.raises(DatabaseError, match=r"^can't write: "):
            put_all(store.triplets, RECORDS)
        store.abort()
        open_again_after_checking(store)
        assert aside_of(store)[1] >= len(RECORDS) // 3
        put_all(store.triplets, RECORDS)
        store.commit()
        assert read_all(store.triplets) == RECORDS
    verify(tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_costs_no_records_of_other_pages(seed: int, tmp_path: Path) -> None:
    """Three spots of junk, each within a page; nobody knows what Berkeley DB makes of them."""
    rng = random.Random(seed)
    dbdir = tmp_path / "db"
    fill(dbdir, RECORDS)
    with open_store(dbdir) as store:
        pages = (dbdir / TRIPLETS).stat().st_size // PAGE_BYTES
        for page in rng.sample(range(2, pages), 3):
            start = rng.randrange(PAGE_BYTES - 100)
            spot = rng.randbytes(rng.randrange(1, PAGE_BYTES - start))
            garble(dbdir / TRIPLETS, page * PAGE_BYTES + start, spot)
        open_again_after_checking(store)
        found = read_all(store.triplets)
        changed = {key for key in found.keys() | RECORDS.keys() if found.get(key) != RECORDS.get(key)}
        assert len(changed) <= 3 * 2 * RECORDS_PER_PAGE
        check_it_works(dbdir, store, tmp_path / "crashed")
    verify(dbdir)


@pytest.mark.parametrize("damage", [page_of_zeros, page_of_junk])
def test_pages_that_are_not_theirs_are_found_at_start(damage: Damage, tmp_path: Path) -> None:
    """Berkeley DB never comes back from reading a page of zeros, which a crash of the machine may leave."""
    fill(tmp_path, RECORDS)
    damage(tmp_path / TRIPLETS)
    with open_store(tmp_path) as store:
        assert aside_of(store)[1] >= len(RECORDS) - RECORDS_PER_PAGE
        assert store.triplets.get(next(iter(RECORDS))) is not None
    verify(tmp_path)


def test_sound_files_are_opened_again_without_a_word(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_all(store.triplets, RECORDS)
        store.commit()
        open_again_after_checking(store)
        assert store.reports == []
        assert read_all(store.triplets) == RECORDS


def test_damaged_clients_do_not_cost_triplets(tmp_path: Path) -> None:
    fill(tmp_path, RECORDS, CLIENT_RECORDS)
    junk(tmp_path / CLIENTS)
    with open_store(tmp_path) as store:
        assert aside_of(store)[1] == 0
        assert read_all(store.triplets) == RECORDS
        assert read_all(store.clients) == {}


def test_files_set_aside_within_a_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    fill(tmp_path, RECORDS)
    texts = [f"no database {number}" for number in range(3)]
    for octets in texts:
        (tmp_path / TRIPLETS).write_text(octets)
        with open_store(tmp_path):
            pass
    assert sorted(path.read_text() for path in tmp_path.glob("postgrey.db.damaged-*")) == texts


def test_damaged_file_without_logs_is_salvaged(tmp_path: Path) -> None:
    fill(tmp_path, RECORDS)
    page_of_junk(tmp_path / TRIPLETS)
    for path in tmp_path.glob("log.*"):
        path.unlink()
    with open_store(tmp_path) as store:
        # The other file is sound, and has just lost its logs.
        assert [report for report in store.reports if CLIENTS in report and "came without its logs" in report]
        assert [report for report in store.reports if TRIPLETS in report and "is damaged" in report]
        assert len(RECORDS) - RECORDS_PER_PAGE <= len(read_all(store.triplets))
    verify(tmp_path)


# Logs


def junk_log(dbdir: Path) -> None:
    for path in dbdir.glob("log.*"):
        path.write_bytes(random.Random(1).randbytes(100_000))


def empty_log(dbdir: Path) -> None:
    for path in dbdir.glob("log.*"):
        os.truncate(path, 0)


def junk_in_the_middle_of_the_log(dbdir: Path) -> None:
    for path in dbdir.glob("log.*"):
        garble(path, 100_000, random.Random(1).randbytes(50_000))


@pytest.mark.parametrize("damage", [junk_log, empty_log, junk_in_the_middle_of_the_log])
def test_database_survives_damaged_logs(damage: Damage, tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    fill(dbdir, RECORDS, CLIENT_RECORDS)
    damage(dbdir)
    logs = [path.read_bytes() for path in dbdir.glob("log.*")]
    with open_store(dbdir) as store:
        assert read_all(store.triplets) == RECORDS
        assert read_all(store.clients) == CLIENT_RECORDS
        asides = list(dbdir.glob("logs.aside-*"))
        if asides:
            assert [path.read_bytes() for path in asides[0].glob("log.*")] == logs
            assert store.reports[0].startswith("can't recover the database with its logs (")
            assert store.reports[0].endswith(f"): set them aside in {asides[0]}")
        check_it_works(dbdir, store, tmp_path / "crashed")
    verify(dbdir)


def crash_with_three_logs(tmp_path: Path) -> Path:
    """A crashed directory that needs three log files for its recovery."""
    with open_store(tmp_path / "db") as store:
        put_all(store.triplets, RECORDS)
        store.commit()
        store.environment.checkpoint(now=True)
        for number in range(6):
            put_all(store.triplets, {key: value + b" %d" % number * 300 for key, value in RECORDS.items()})
            store.commit()
        return copy_as_crashed(tmp_path / "db", tmp_path / "crashed")


@pytest.mark.parametrize("number", [0, 1, -1], ids=["first", "second", "last"])
def test_database_survives_the_loss_of_one_of_several_logs(number: int, tmp_path: Path) -> None:
    dbdir = crash_with_three_logs(tmp_path)
    logs = sorted(dbdir.glob("log.*"))
    assert len(logs) >= 3
    logs[number].unlink()
    with open_store(dbdir) as store:
        # Without the last one, the log just ends earlier.
        assert bool(store.reports) == (number != -1)
        assert read_all(store.triplets).keys() <= RECORDS.keys()
        check_it_works(dbdir, store, tmp_path / "crashed-again")
    verify(dbdir)


# What looks like damage and is none


def test_nothing_is_set_aside_when_there_is_no_room_for_a_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk recovery fails as it does on damage, and sound files would go."""
    fill(tmp_path, RECORDS)
    junk(tmp_path / CLIENTS)
    before = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(proof, "ROOM_BYTES", 1 << 60)
    with pytest.raises(DatabaseError, match=r"a repair takes \d+ MiB of disk, and \d+ MiB are free$"):
        Environment(str(tmp_path), True, print)
    assert sorted(os.listdir(tmp_path)) == before
    monkeypatch.undo()
    with open_store(tmp_path) as store:
        assert read_all(store.triplets) == RECORDS


def test_killed_check_says_nothing_about_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the kernel when memory runs out."""
    fill(tmp_path, RECORDS)
    kill_yourself = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    monkeypatch.setattr(repair, "VERIFY", (sys.executable, "-c", kill_yourself))
    with pytest.raises(DatabaseError, match=f"^can't check {tmp_path / TRIPLETS}: "):
        repair.verifies(tmp_path / TRIPLETS)


def test_salvage_broken_off_leaves_the_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, RECORDS)
    page_of_junk(tmp_path / TRIPLETS)
    octets = (tmp_path / TRIPLETS).read_bytes()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(salvage_module, "dated", crash)
        with pytest.raises(KeyboardInterrupt):
            salvage_module.salvage(tmp_path / TRIPLETS)
    assert (tmp_path / TRIPLETS).read_bytes() == octets

    aside, count, _ = salvage_module.salvage(tmp_path / TRIPLETS)
    assert aside.read_bytes() == octets
    assert count >= len(RECORDS) - RECORDS_PER_PAGE
    assert sorted(tmp_path.glob("*salvage*")) == []
    subprocess.run(["db5.3_verify", str(tmp_path / TRIPLETS)], check=True, capture_output=True)
