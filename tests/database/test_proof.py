# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits, room, disk and configuration are told from damage; faults of the disk itself are in daemon/test_faults."""

from __future__ import annotations

import errno
import resource
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from postgrey_py.database.configuration import FILE_NAME, Configuration, Setting, read_configuration
from postgrey_py.database.proof import ROOM_BYTES, explain_limit, limit_hint, require_damage, require_limits
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import fill, make_records


class Usage(NamedTuple):
    """What shutil.disk_usage returns."""

    total: int
    used: int
    free: int


@pytest.fixture
def dbdir(tmp_path: Path) -> Path:
    fill(tmp_path, make_records(10))
    return tmp_path


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith("__db")}


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EMFILE, ": raise ulimit -n (LimitNOFILE=)"),
        (errno.EFBIG, ": raise ulimit -f (LimitFSIZE=)"),
        (errno.EIO, ""),
        (None, ""),
    ],
)
def test_limits_have_hints(number: int | None, hint: str) -> None:
    assert limit_hint(number) == hint


def test_a_limit_is_found_in_the_words_of_the_library() -> None:
    assert explain_limit(OSError(errno.EMFILE, "Too many open files")).endswith(": raise ulimit -n (LimitNOFILE=)")
    assert "ulimit" not in explain_limit(OSError(errno.EIO, "Input/output error"))


def test_the_limits_of_this_process_are_enough(dbdir: Path) -> None:
    require_limits(dbdir, read_configuration(dbdir))


def test_a_limit_on_files_that_does_not_leave_enough_is_named(dbdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 20))
    with pytest.raises(DatabaseError, match=r"a file may have 1048576 bytes, and \d+ are needed: .*ulimit -f"):
        require_limits(dbdir, read_configuration(dbdir))


def test_where_another_database_opens_the_files_are_at_fault_and_nothing_is_changed(dbdir: Path) -> None:
    before = files(dbdir)
    require_damage(dbdir, read_configuration(dbdir), "broken")
    assert files(dbdir) == before


@pytest.mark.parametrize(("free", "is_enough"), [(1 << 40, True), (ROOM_BYTES - 1, False)])
def test_a_repair_needs_room(dbdir: Path, free: int, is_enough: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, free))
    if is_enough:
        require_damage(dbdir, read_configuration(dbdir), "broken")
        return
    with pytest.raises(DatabaseError, match=r"\(broken\): a repair takes \d+ MiB of disk, and \d+ MiB are free$"):
        require_damage(dbdir, read_configuration(dbdir), "broken")


def test_a_disk_that_does_not_obey_is_at_fault(dbdir: Path) -> None:
    # A directory in the place of a file is what root, too, can't open for writing.
    (dbdir / "log.0000000099").mkdir()
    with pytest.raises(DatabaseError, match=r"\(broken\): Is a directory \(.*/log.0000000099\): nothing is set aside"):
        require_damage(dbdir, read_configuration(dbdir), "broken")
    assert not list(dbdir.glob("*probe*"))
    assert not (dbdir / "repair.trial").exists()


def test_a_line_of_the_configuration_is_at_fault(dbdir: Path) -> None:
    lines = (Setting(2, ("set_lg_max", "1000000")), Setting(3, ("set_nonsense", "1")))
    with pytest.raises(DatabaseError, match=rf"^can't open the database in {dbdir}: {FILE_NAME} line 3.*set_nonsense"):
        require_damage(dbdir, Configuration(lines), "broken")
