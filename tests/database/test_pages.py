# SPDX-License-Identifier: GPL-2.0-or-later
"""Records read off the leaves of files that Berkeley DB has written, whole and broken; more is in test_salvage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.pages import LONGEST_ITEM, PageFile
from tests.database.dbdirs import PAGE_BYTES, fill, make_records

RECORDS = make_records(500)


@contextmanager
def opened(path: Path) -> Iterator[PageFile]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield PageFile(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> dict[bytes, bytes]:
    with opened(path) as file:
        return {key: value for leaf in file.leaves() for key, value in file.records(leaf.position)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path, RECORDS)
    return tmp_path / TRIPLETS


def test_all_records_are_read_and_leaves_are_in_order(path: Path) -> None:
    assert read(path) == RECORDS
    with opened(path) as file:
        leaves = file.leaves()
        assert file.page_bytes == PAGE_BYTES
    assert len(leaves) > 2
    assert all(one.last < other.first for one, other in pairwise(leaves))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda octets: bytes(PAGE_BYTES) + octets[PAGE_BYTES:], id="metadata"),
        pytest.param(lambda octets: b"\xff" * PAGE_BYTES + octets[PAGE_BYTES:], id="metadata that lie"),
        pytest.param(lambda octets: octets + b"\xff" * 100, id="a page that is cut off"),
        pytest.param(lambda octets: octets + bytes(PAGE_BYTES) * 3, id="empty pages"),
    ],
)
def test_what_is_broken_elsewhere_loses_nothing(path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path.write_bytes(spoil(path.read_bytes()))
    assert read(path) == RECORDS


def test_a_broken_leaf_loses_its_records_only(path: Path) -> None:
    with opened(path) as file:
        leaf = file.leaves()[1]
        lost = dict(file.records(leaf.position))
    octets = bytearray(path.read_bytes())
    octets[leaf.position * PAGE_BYTES : (leaf.position + 1) * PAGE_BYTES] = os.urandom(PAGE_BYTES)
    path.write_bytes(octets)
    assert read(path) == {key: value for key, value in RECORDS.items() if key not in lost}


def test_of_two_pages_with_one_number_the_newer_counts(path: Path) -> None:
    octets = path.read_bytes()
    with opened(path) as file:
        leaf = file.leaves()[0]
    page = octets[leaf.position * PAGE_BYTES : (leaf.position + 1) * PAGE_BYTES]
    # The same page once more at the end, as an older version of it: both of its numbers in the log are 0.
    older = bytes(8) + page[8:].replace(b"1700000000", b"1600000000")
    path.write_bytes(octets + older)
    assert read(path) == RECORDS


@pytest.mark.parametrize("length", [PAGE_BYTES // 2, LONGEST_ITEM, LONGEST_ITEM + 1])
def test_items_of_several_pages_are_read_up_to_the_longest(tmp_path: Path, length: int) -> None:
    record = {b"k" * length: b"v"}
    fill(tmp_path, {**record, b"short": b"w"})
    assert read(tmp_path / TRIPLETS) == {**(record if length <= LONGEST_ITEM else {}), b"short": b"w"}


@pytest.mark.parametrize("octets", [b"", b"x", bytes(PAGE_BYTES), b"\xff" * 3 * PAGE_BYTES])
def test_what_is_no_database_has_no_records(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(octets)
    assert read(path) == {}
