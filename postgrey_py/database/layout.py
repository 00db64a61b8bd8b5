# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of Berkeley DB 5.3: names of logs and regions, head of a page, items of a B-tree's leaf.

Source: struct _page, BTMETA, BKEYDATA and BOVERFLOW in Berkeley DB's db_page.h, for databases without checksums and
encryption, which Postgrey's are. Called by whoever reads the files past Berkeley DB.
"""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

LOG_FILES = "log.??????????"
LOG_NAME = re.compile(r"log\.\d{10}")
FIRST_LOG = "log.0000000001"
# Where the number is in a log's name.
LOG_NUMBER = slice(4, None)
REGION_FILES = "__db.???"
FIRST_REGION = "__db.001"

SMALLEST_PAGE, LARGEST_PAGE = 512, 64 << 10

# Where the number of a page stands in it, and in the first page, the metadata, the size of all of them.
NUMBER_OFFSET, PAGE_SIZE_OFFSET, INTEGER_BYTES = 8, 20, 4

# Of the metadata besides: what tells that it is such, and of which kind; the last page's number; the id of the file.
MAGIC_OFFSET, LAST_PAGE_OFFSET, FILE_ID_OFFSET, FILE_ID_BYTES = 12, 32, 52, 20
BTREE_MAGIC = 0x053162

# Types of pages: the inside and the leaves of the tree, and items that are too long for their page.
INTERNAL, LEAF, OVERFLOW = 3, 5, 7
LEAF_LEVEL = 1

# Types of items on a leaf. One that is deleted has a flag besides, and is of neither type.
KEY_OR_DATA, OVERFLOW_ITEM = 1, 3

# Log sequence number (file, offset), number, previous, next, number of entries, lowest offset of an item (in an
# overflow page: how many bytes it has), level, type.
HEAD = "IIIIIHHBB"
HEAD_BYTES = 26
# Of an item: length, type. An overflow item has its first page and its length behind four bytes.
ITEM_HEAD_BYTES = 3
OVERFLOW_ITEM_BYTES = 12


class Head(NamedTuple):
    """The head of a page."""

    log_file: int
    log_offset: int
    number: int
    previous: int
    next: int
    entries: int
    free_offset: int
    level: int
    type: int


def is_page_size(size: int) -> bool:
    """Whether pages can be of this size."""
    return SMALLEST_PAGE <= size <= LARGEST_PAGE and size & (size - 1) == 0


def page_size_from(first_page: bytes) -> int | None:
    """The size of the pages according to (the start of) the first one; None where that is no metadata."""
    octets = first_page[PAGE_SIZE_OFFSET : PAGE_SIZE_OFFSET + INTEGER_BYTES]
    size = int.from_bytes(octets, sys.byteorder)
    return size if is_page_size(size) else None
