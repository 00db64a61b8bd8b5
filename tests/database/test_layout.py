# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout that we take files to have is that of files which Berkeley DB has written."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.layout import (
    BTREE_MAGIC,
    FIRST_LOG,
    FIRST_REGION,
    HEAD,
    HEAD_BYTES,
    LARGEST_PAGE,
    LAST_PAGE_OFFSET,
    LEAF,
    LEAF_LEVEL,
    LOG_FILES,
    LOG_NAME,
    LOG_NUMBER,
    MAGIC_OFFSET,
    PAGE_SIZE_OFFSET,
    REGION_FILES,
    SMALLEST_PAGE,
    Head,
    is_page_size,
    page_size_from,
)
from tests.database.dbdirs import PAGE_BYTES, fill, make_records, open_store


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (SMALLEST_PAGE, True),
        (SMALLEST_PAGE // 2, False),
        (SMALLEST_PAGE + 1, False),
        (4096, True),
        (LARGEST_PAGE, True),
        (LARGEST_PAGE * 2, False),
        (0, False),
        (-512, False),
    ],
)
def test_sizes_of_pages(size: int, expected: bool) -> None:
    assert is_page_size(size) is expected


@pytest.mark.parametrize(("size", "found"), [(512, 512), (65536, 65536), (513, None), (0, None)])
def test_the_size_of_pages_stands_in_the_first(size: int, found: int | None) -> None:
    assert page_size_from(bytes(PAGE_SIZE_OFFSET) + size.to_bytes(4, sys.byteorder)) == found


def test_an_empty_file_has_no_size_of_pages() -> None:
    assert page_size_from(b"") is None


def test_a_file_of_berkeley_db_is_laid_out_like_that(tmp_path: Path) -> None:
    fill(tmp_path, make_records(3))
    octets = (tmp_path / TRIPLETS).read_bytes()
    assert page_size_from(octets) == PAGE_BYTES
    assert struct.unpack_from("I", octets, MAGIC_OFFSET) == (BTREE_MAGIC,)
    assert struct.unpack_from("I", octets, LAST_PAGE_OFFSET) == (len(octets) // PAGE_BYTES - 1,)
    assert struct.calcsize(f"={HEAD}") == HEAD_BYTES
    heads = [
        Head._make(struct.unpack_from(f"={HEAD}", octets, start))
        for start in range(PAGE_BYTES, len(octets), PAGE_BYTES)
    ]
    assert [head.number for head in heads] == list(range(1, len(heads) + 1))
    # Each record is a key and a value.
    assert sum(head.entries for head in heads if head.type == LEAF and head.level == LEAF_LEVEL) == 6


def test_logs_and_regions_have_these_names(tmp_path: Path) -> None:
    with open_store(tmp_path):
        logs = {path.name for path in tmp_path.glob(LOG_FILES)}
        regions = {path.name for path in tmp_path.glob(REGION_FILES)}
    assert logs == {FIRST_LOG}
    assert FIRST_REGION in regions
    assert LOG_NAME.fullmatch(FIRST_LOG)
    assert not LOG_NAME.fullmatch("log.00000000001")
    assert int(FIRST_LOG[LOG_NUMBER]) == 1
