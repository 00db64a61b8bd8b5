# SPDX-License-Identifier: GPL-2.0-or-later
"""A new database file with the records of a damaged one, which is kept.

Called by `environment` while it opens, with the file not in use.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from postgrey_py.database.binding import db
from postgrey_py.database.pages import Leaf, PageFile
from postgrey_py.database.redo import redo
from postgrey_py.greylist.records import is_record

_CACHE_BYTES = 16 << 20


class Salvaged(NamedTuple):
    """The outcome of a salvage: where the damaged file is now, and how many records the new one has.

    `has_stale` tells that a part of them stood on several pages, of which the newest counts; some that the older ones
    have besides may have been deleted before.
    """

    aside: Path
    records: int
    has_stale: bool


def set_damaged_aside(path: Path) -> Path:
    """Rename a damaged file to a dated name beside it, and return that."""
    return path.rename(dated(path, "damaged"))


def salvage(path: Path, set_aside: Callable[[Path], Path] = set_damaged_aside, logs: Sequence[Path] = ()) -> Salvaged:
    """Set a damaged database file aside and put one in its place with the records that can still be read from it.

    What `logs`, which were its own, have besides is added. The damaged file stays where it was until the new one is
    complete, so that a crash or a full disk on the way costs nothing; then `set_aside` moves it, and returns where it
    is. Raises Berkeley DB's error or OSError.
    """
    new, workplace = path.with_name(f"{path.name}.salvaged"), path.with_name(f"{path.name}.redo")
    _remove(new, workplace)
    try:
        workplace.mkdir(mode=0o700)
        count, has_stale = _fill(new, redo(path, logs, workplace))
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    finally:
        _remove(workplace)
    aside = set_aside(path)
    new.rename(path)
    _flush_directory(path.parent)
    return Salvaged(aside, count, has_stale)


def _remove(*paths: Path) -> None:
    """Remove what an earlier salvage may have left that was killed."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _fill(new: Path, path: Path) -> tuple[int, bool]:
    """Make a database file of a damaged one's records: how many there are, and whether pages had some in common."""
    # Without environment and log: quicker by far, and nothing refers to the file before it is complete.
    handle = db.DB()
    try:
        handle.set_cachesize(0, _CACHE_BYTES)
        handle.open(os.fspath(new), dbtype=db.DB_BTREE, flags=db.DB_CREATE | db.DB_EXCL, mode=0o600)
        has_stale = _copy_records(path, handle)
        return int(handle.stat()["nkeys"]), has_stale
    finally:
        handle.close()


def dated(path: Path, label: str) -> Path:
    """A path that does not exist yet: `path.label-YYYYMMDD-HHMMSS`, numbered if need be."""
    base = f"{path.name}.{label}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidate, number = path.with_name(base), 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{base}-{number}")
    return candidate


def _copy_records(path: Path, target: db.DB) -> bool:
    """Store all records of a damaged file that look like ours; returns whether pages had a part of them in common."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pages = PageFile(descriptor)
        has_stale = False
        for group in _overlapping(pages.leaves()):
            has_stale = has_stale or len(group) > 1
            for leaf in group:
                for key, value in pages.records(leaf.position):
                    if key and is_record(value):
                        target.put(key, value)
        return has_stale
    finally:
        os.close(descriptor)


def _overlapping(leaves: list[Leaf]) -> Iterator[list[Leaf]]:
    """Leaves, which come in the order of their first keys, in groups with no key in common, each from old to new.

    In a sound tree each leaf is a group of its own.
    """
    group: list[Leaf] = []
    last = b""
    for leaf in leaves:
        if group and leaf.first > last:
            yield sorted(group, key=lambda one: one.version)
            group = []
        last = max(last, leaf.last) if group else leaf.last
        group.append(leaf)
    if group:
        yield sorted(group, key=lambda one: one.version)


def _flush_directory(directory: Path) -> None:
    """Wait until the names in it are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
