# SPDX-License-Identifier: GPL-2.0-or-later
"""Salvage: every record on a sound leaf comes back, whatever else of the file is lost, and no other."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from postgrey_py.database.binding import db
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.pages import PageFile
from postgrey_py.database.salvage import salvage
from tests.database.dbdirs import fill, make_records, open_store, put_all, read_all
from tests.parity.databases import dump_file, verify
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, PolicyServer

COUNT = 3000
PAGE_SIZES = [512, 1024, 4096, 8192, 65536]
INTERNAL, LEAF, OVERFLOW = 3, 5, 7

# Changes a file with pages of this size, and returns the positions of the pages that it has spoiled.
Damage = Callable[[Path, int], Iterable[int]]


def plain(number: int) -> bytes:
    return b"10.%d.%d.0/sender%d@example.com/user@example.org" % (number % 250, number // 250, number)


def hashed(number: int) -> bytes:
    return hashlib.sha1(plain(number)).hexdigest().encode()


def long_address(number: int) -> bytes:
    """As long as attributes get, for which there is no room on a page of the usual size."""
    return b"2001:db8:0:0:0:0:0:0/" + (b"%d@" % number).ljust(512, b"s") + b"/" + (b"%d@" % number).ljust(512, b"r")


def mixed(number: int) -> bytes:
    return (plain, hashed, long_address)[number % 3](number)


def make(path: Path, records: Mapping[bytes, bytes], page_size: int = 0) -> None:
    """A database file with these records; 0 is the page size of the file system."""
    handle = db.DB()
    if page_size:
        handle.set_pagesize(page_size)
    handle.open(str(path), dbtype=db.DB_BTREE, flags=db.DB_CREATE)
    for key, value in records.items():
        handle.put(key, value)
    handle.close()


def read(path: Path) -> dict[bytes, bytes]:
    handle = db.DB()
    handle.open(str(path), dbtype=db.DB_BTREE, flags=db.DB_RDONLY)
    found = dict(handle.items())
    handle.close()
    return found


def records_of(kind: Callable[[int], bytes], count: int = COUNT) -> dict[bytes, bytes]:
    records = {kind(number): b"1700000000,%d" % (1700000000 + number) for number in range(count)}
    # In an order that splits pages everywhere.
    keys = list(records)
    random.Random(1).shuffle(keys)
    return {key: records[key] for key in keys}


def types(octets: bytes, page_size: int) -> list[int]:
    """The type of each page."""
    return [octets[start + 25] for start in range(0, len(octets), page_size)]


def spread(path: Path, page_size: int) -> dict[int, dict[bytes, bytes]]:
    """The records on each leaf of a sound file, by its position."""
    with path.open("rb") as file:
        pages = PageFile(file.fileno())
        assert pages.page_bytes == page_size
        return {leaf.position: dict(pages.records(leaf.position)) for leaf in pages.leaves()}


def overwrite(path: Path, page_size: int, positions: Iterable[int], octets: Callable[[], bytes]) -> None:
    with path.open("r+b") as file:
        for position in positions:
            file.seek(position * page_size)
            file.write(octets()[:page_size])


# Kinds of damage.


def first_page_of_zeros(path: Path, page_size: int) -> list[int]:
    overwrite(path, page_size, [0], lambda: bytes(page_size))
    return []


def first_page_of_junk(path: Path, page_size: int) -> list[int]:
    overwrite(path, page_size, [0], lambda: random.Random(1).randbytes(page_size))
    return []


def half_of_the_metadata(path: Path, page_size: int) -> list[int]:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(40))
    return []


def metadata_that_lies(path: Path, page_size: int) -> list[int]:
    """Everything is as it should be, but for the size of the pages."""
    with path.open("r+b") as file:
        file.seek(20)
        file.write((page_size * 2 if page_size < 65536 else 512).to_bytes(4, "little"))
    return []


def first_pages_of_zeros(path: Path, page_size: int) -> list[int]:
    positions = range(min(4, path.stat().st_size // page_size // 2))
    overwrite(path, page_size, positions, lambda: bytes(page_size))
    return list(positions)


def fifty_pages_of_junk(path: Path, page_size: int) -> list[int]:
    rng = random.Random(2)
    count = path.stat().st_size // page_size
    positions = rng.sample(range(1, count), min(50, count // 4))
    overwrite(path, page_size, positions, lambda: rng.randbytes(page_size))
    return positions


def spots_of_junk(path: Path, page_size: int) -> list[int]:
    rng = random.Random(6)
    count = path.stat().st_size // page_size
    positions = rng.sample(range(1, count), min(20, count // 4))
    with path.open("r+b") as file:
        for position in positions:
            start = rng.randrange(page_size - 40)
            file.seek(position * page_size + start)
            file.write(rng.randbytes(rng.randrange(1, page_size - start)))
    return positions


def zeros_in_the_middle(path: Path, page_size: int) -> list[int]:
    count = path.stat().st_size // page_size
    positions = range(count // 3, count // 2)
    overwrite(path, page_size, positions, lambda: bytes(page_size))
    return list(positions)


def cut_off_within_a_page(path: Path, page_size: int) -> list[int]:
    size = path.stat().st_size * 2 // 3 // page_size * page_size + page_size // 2
    count = path.stat().st_size // page_size
    os.truncate(path, size)
    return list(range(size // page_size, count))


def pages_swapped(path: Path, page_size: int) -> list[int]:
    octets = path.read_bytes()
    count = len(octets) // page_size
    pages = [octets[start : start + page_size] for start in range(0, len(octets), page_size)]
    one, other = count // 3, count // 2
    pages[one], pages[other] = pages[other], pages[one]
    path.write_bytes(b"".join(pages))
    return []


def all_pages_shuffled(path: Path, page_size: int) -> list[int]:
    """All but some at the end, by which the page size is found."""
    octets = path.read_bytes()
    pages = [octets[start : start + page_size] for start in range(0, len(octets), page_size)]
    rest = max(2, len(pages) // 4)
    shuffled = pages[:-rest]
    random.Random(3).shuffle(shuffled)
    path.write_bytes(b"".join(shuffled + pages[-rest:]))
    return []


def junk_appended(path: Path, page_size: int) -> list[int]:
    with path.open("ab") as file:
        file.write(random.Random(4).randbytes(50_001))
    overwrite(path, page_size, [0], lambda: bytes(page_size))
    return []


def inner_tree_lost(path: Path, page_size: int) -> list[int]:
    """Among it the root, unless that is a leaf."""
    octets = path.read_bytes()
    positions = [n for n, kind in enumerate(types(octets, page_size)) if kind == INTERNAL]
    overwrite(path, page_size, positions, lambda: random.Random(5).randbytes(page_size))
    return positions


def metadata_and_inner_tree_lost(path: Path, page_size: int) -> list[int]:
    first_page_of_junk(path, page_size)
    return inner_tree_lost(path, page_size)


DAMAGES = [
    first_page_of_zeros,
    first_page_of_junk,
    half_of_the_metadata,
    metadata_that_lies,
    first_pages_of_zeros,
    fifty_pages_of_junk,
    zeros_in_the_middle,
    cut_off_within_a_page,
    pages_swapped,
    all_pages_shuffled,
    junk_appended,
    inner_tree_lost,
    metadata_and_inner_tree_lost,
]


@pytest.mark.parametrize("kind", [plain, hashed])
@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_record_on_a_sound_leaf_comes_back(
    damage: Damage, page_size: int, kind: Callable[[int], bytes], tmp_path: Path
) -> None:
    path, records = tmp_path / "x.db", records_of(kind)
    make(path, records, page_size)
    where = spread(path, page_size)
    assert {key: value for page in where.values() for key, value in page.items()} == records
    lost = set(damage(path, page_size))
    octets = path.read_bytes()
    sound = {key for position, page in where.items() if position not in lost for key in page}
    found = salvage(path)
    stored = read(path)
    assert sound <= stored.keys()
    assert stored.items() <= records.items()
    assert (found.records, found.has_stale) == (len(stored), False)
    assert found.aside.read_bytes() == octets
    assert stat_of(path) == 0o600
    assert sorted(tmp_path.iterdir()) == sorted([path, found.aside])
    subprocess.run(["db5.3_verify", str(path)], check=True, capture_output=True)


def stat_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_long_keys_come_back_as_far_as_their_pages_are_sound(damage: Damage, page_size: int, tmp_path: Path) -> None:
    path, records = tmp_path / "x.db", records_of(mixed, 600)
    make(path, records, page_size)
    octets = path.read_bytes()
    if page_size <= 4096:
        assert OVERFLOW in types(octets, page_size)
    where = spread(path, page_size)
    assert {key: value for page in where.values() for key, value in page.items()} == records
    lost = set(damage(path, page_size))
    # A long key has its bytes in pages of its own: whole ones, in the order of their numbers.
    spoiled = b"".join(octets[n * page_size : (n + 1) * page_size] for n in lost)
    sound = {
        key
        for position, page in where.items()
        if position not in lost
        for key in page
        if not any(part in spoiled for part in (key[21:61], key[534:574], key[-1:] * 60) if len(key) > 1000)
    }
    salvage(path)
    stored = read(path)
    assert sound <= stored.keys()
    assert stored.items() <= records.items()


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_junk_within_pages_costs_no_records_of_others(page_size: int, tmp_path: Path) -> None:
    """What a spoiled page has left may be right or wrong: nobody can tell a key from another that was in its place."""
    path, records = tmp_path / "x.db", records_of(plain)
    make(path, records, page_size)
    where = spread(path, page_size)
    lost = set(spots_of_junk(path, page_size))
    salvage(path)
    stored = read(path)
    assert {key for position, page in where.items() if position not in lost for key in page} <= stored.keys()
    assert len(stored.items() - records.items()) <= sum(len(where.get(position, {})) for position in lost)


@pytest.mark.parametrize("damage", [*DAMAGES, spots_of_junk])
def test_no_less_comes_back_than_berkeley_db_saves(damage: Damage, tmp_path: Path) -> None:
    path, records = tmp_path / "x.db", records_of(mixed)
    make(path, records, 4096)
    damage(path, 4096)
    dump = subprocess.run(["timeout", "60", "db5.3_dump", "-r", str(path)], capture_output=True, check=False).stdout
    lines = [bytes.fromhex(line.decode()) for line in dump.splitlines() if line.startswith(b" ")]
    theirs = {key for key, value in zip(lines[::2], lines[1::2], strict=False) if records.get(key) == value}
    salvage(path)
    assert theirs <= read(path).keys()


@pytest.mark.parametrize("count", [0, 1, 2, 10])
@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_handful_of_records_comes_back(page_size: int, count: int, tmp_path: Path) -> None:
    """Their only leaf is the root."""
    path, records = tmp_path / "x.db", records_of(plain, count)
    make(path, records, page_size)
    first_page_of_junk(path, page_size)
    assert salvage(path).records == count
    assert read(path) == records


def test_the_other_byte_order_is_read(tmp_path: Path) -> None:
    path, records = tmp_path / "x.db", records_of(mixed, 500)
    handle = db.DB()
    handle.set_lorder(4321)
    handle.open(str(path), dbtype=db.DB_BTREE, flags=db.DB_CREATE)
    for key, value in records.items():
        handle.put(key, value)
    handle.close()
    first_page_of_zeros(path, 4096)
    salvage(path)
    assert read(path) == records


# What had been deleted, or changed.


@pytest.mark.parametrize("damage", [first_page_of_junk, inner_tree_lost])
def test_deleted_records_do_not_come_back(damage: Damage, tmp_path: Path) -> None:
    records = make_records(COUNT)
    keys = list(records)
    random.Random(1).shuffle(keys)
    # All of some pages, and a part of all others.
    deleted = set(keys[: COUNT // 2]) | set(sorted(keys)[500:1500])
    with open_store(tmp_path) as store:
        put_all(store.triplets, records)
        store.commit()
        store.triplets.delete(sorted(deleted))
    damage(tmp_path / TRIPLETS, 4096)
    assert not salvage(tmp_path / TRIPLETS).has_stale
    assert read(tmp_path / TRIPLETS) == {key: value for key, value in records.items() if key not in deleted}


def test_the_newer_of_two_versions_of_a_page_counts(tmp_path: Path) -> None:
    """As a write leaves them that went to a wrong place, or an old copy of the file behind the new one."""
    old = make_records(COUNT)
    with open_store(tmp_path) as store:
        put_all(store.triplets, old)
        store.commit()
    before = (tmp_path / TRIPLETS).read_bytes()
    new = {key: value + b"1" for key, value in old.items()}
    with open_store(tmp_path) as store:
        put_all(store.triplets, new)
        store.commit()
        store.triplets.delete(list(new)[:10])
    with (tmp_path / TRIPLETS).open("ab") as file:
        file.write(before)
    shutil.copy2(tmp_path / TRIPLETS, tmp_path / "appended.db")
    first_page_of_zeros(tmp_path / "appended.db", 4096)
    assert not salvage(tmp_path / "appended.db").has_stale
    assert read(tmp_path / "appended.db") == dict(list(new.items())[10:])


def test_pages_with_keys_in_common_are_told(tmp_path: Path) -> None:
    """A leaf that was split after the other was written: the newer one wins."""
    path, page_size = tmp_path / TRIPLETS, 4096
    with open_store(tmp_path) as store:
        put_all(store.triplets, make_records(40))
        store.commit()
    before = path.read_bytes()
    (leaf,) = (n for n, kind in enumerate(types(before, page_size)) if kind == LEAF)
    with open_store(tmp_path) as store:
        store.triplets.delete([next(iter(make_records(1)))])
        put_all(store.triplets, {key: value + b"1" for key, value in make_records(400).items()})
        store.commit()
    # It stands behind the end, under a number that no other page has.
    page = bytearray(before[leaf * page_size : (leaf + 1) * page_size])
    count = path.stat().st_size // page_size
    page[8:12] = count.to_bytes(4, "little")
    with path.open("ab") as file:
        file.write(page)
    first_page_of_zeros(path, page_size)
    assert salvage(path).has_stale
    assert read(path) == {key: value + b"1" for key, value in make_records(400).items()}


def test_clients_come_back(tmp_path: Path) -> None:
    clients = {b"192.0.%d.%d" % (n // 250, n % 250): b"%d,1700000000" % n for n in range(5000)}
    clients |= {b"2001:DB8:0:0:0:0:0:%X" % n: b"5,1700000000" for n in range(100)}
    fill(tmp_path, {}, clients)
    first_page_of_zeros(tmp_path / CLIENTS, 4096)
    with open_store(tmp_path) as store:
        assert read_all(store.clients) == clients
        assert f"{len(clients)} records of it salvaged" in "".join(store.reports)
    verify(tmp_path)


def test_files_of_perl_postgrey_come_back(tmp_path: Path) -> None:
    with PolicyServer(PERL_POSTGREY, tmp_path / "db") as server, PolicyClient(server.port) as client:
        for number in range(300):
            client.ask(client_address=f"192.0.{number % 200}.1", recipient=f"user{number}@example.org")
    stored = dump_file(server.dbdir / TRIPLETS)
    first_page_of_zeros(server.dbdir / TRIPLETS, 4096)
    with open_store(server.dbdir) as store:
        found = {key.decode(): value.decode() for key, value in read_all(store.triplets).items()}
        assert found == stored.records
        assert len(found) == 300


def test_records_that_are_none_of_ours_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    sound = {b"key%d" % n: b"1,2" for n in range(10)} | {b"old": b"1700000000,1700000300,5"}
    make(path, sound | {b"": b"1,2", b"a": b"", b"b": b"12", b"c": b"1,", b"d": b"-1,2", b"e": bytes(2000)})
    first_page_of_zeros(path, 4096)
    salvage(path)
    assert read(path) == sound


# Whatever there is in the pages.


def salvage_octets(directory: Path, octets: bytes) -> None:
    """Salvage what this file has; all that comes of it looks like records."""
    path = directory / "x.db"
    path.write_bytes(octets)
    salvage(path)
    assert all(key and b"," in value for key, value in read(path).items())


@pytest.mark.parametrize("seed", range(100))
def test_any_bytes_are_read_to_the_end(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    salvage_octets(tmp_path, rng.randbytes(rng.randrange(50_000)) * rng.randrange(1, 4))


@pytest.mark.parametrize("seed", range(200))
def test_any_bytes_in_sound_pages_are_read_to_the_end(seed: int, tmp_path: Path) -> None:
    """Heads, offsets and items that lead anywhere, in circles among them."""
    rng = random.Random(seed)
    page_size = rng.choice([512, 4096])
    records = records_of(mixed, 150)
    make(tmp_path / "x.db", records, page_size)
    octets = bytearray((tmp_path / "x.db").read_bytes())
    pages = len(octets) // page_size
    for _ in range(rng.randrange(1, 60)):
        # Most are where something of a meaning is, and lead to another page or place of the file.
        offset = rng.randrange(rng.choice([30, 80, page_size - 4]))
        start = rng.randrange(pages) * page_size + offset
        new = rng.choice([rng.randbytes(4), b"\xff\xff", bytes(4), bytes([rng.randrange(pages) & 255])])
        octets[start : start + len(new)] = new
    salvage_octets(tmp_path, bytes(octets))


def test_items_upon_each_other_take_no_time(tmp_path: Path) -> None:
    """Pages of 64 KiB with 16,000 keys each, all of which are one and the same long item."""
    page_size, key_at, value_at = 65536, 64_100, 65_400
    page = bytearray(page_size)
    page[20:26] = (32_000).to_bytes(2, "little") + bytes([0, 0, 1, LEAF])
    page[26:64_026] = (key_at.to_bytes(2, "little") + value_at.to_bytes(2, "little")) * 16_000
    page[key_at : key_at + 3] = (1200).to_bytes(2, "little") + b"\1"
    page[value_at : value_at + 6] = (3).to_bytes(2, "little") + b"\x011,1"
    octets = bytes(page_size) + b"".join(
        bytes(page[:8]) + number.to_bytes(4, "little") + bytes(page[12:]) for number in range(1, 200)
    )
    path = tmp_path / "x.db"
    path.write_bytes(octets)
    # Generous: it takes a second, and would take minutes.
    code = f"from pathlib import Path; from postgrey_py.database.salvage import salvage; salvage(Path({str(path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert read(path) == {bytes(1200): b"1,1"}
