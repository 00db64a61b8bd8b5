# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of lists: what is read, what is refused, what may be missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postgrey_py import listfiles
from postgrey_py.errors import ListFileError
from postgrey_py.greylist.list_lines import Line
from postgrey_py.listfiles import MAX_BYTES, as_text, read_list_file, read_list_files


def test_lines_know_their_file(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"a\n\xff\n")
    assert read_list_file(str(path)) == [Line(str(path), 1, "a"), Line(str(path), 2, "\xff"), Line(str(path), 3, "")]


def test_the_longest_file_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"#" * MAX_BYTES)
    assert len(read_list_file(str(path))) == 1
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ListFileError, match=rf"^{path} is too long for a list: it has more than 16 MiB$"):
        read_list_file(str(path))


def test_nothing_is_in_dev_null() -> None:
    assert [line.text for line in read_list_file(os.devnull)] == [""]


def test_a_pipe_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        stream.write(b"a\nb")
    try:
        assert [line.text for line in read_list_file(f"/dev/fd/{reader}")] == ["a", "b"]
    finally:
        os.close(reader)


def test_a_pipe_that_somebody_holds_open_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listfiles, "PIPE_SECONDS", 0.05)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    try:
        with pytest.raises(ListFileError, match="is no file: nothing came from it"):
            read_list_file(str(path))
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    ("name", "is_named", "is_told"),
    [("list", True, True), ("list", False, False), ("list.local", True, False), ("list.local", False, False)],
)
def test_a_file_may_be_missing_unless_somebody_has_named_it(
    name: str, is_named: bool, is_told: bool, tmp_path: Path
) -> None:
    path = str(tmp_path / name)
    complaints = {path: f"can't open {path}: No such file or directory"} if is_told else {}
    assert read_list_files([path], is_named) == ([], complaints)


def test_what_can_not_be_read_spoils_nothing_else(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("a")
    bad.write_bytes(b"\x1f\x8b")
    lines, complaints = read_list_files([str(bad), str(good), str(tmp_path)])
    assert [line.text for line in lines] == ["a"]
    assert complaints[str(bad)].startswith(f"{bad} is compressed (gzip)")
    assert complaints[str(tmp_path)] == f"can't open {tmp_path}: Is a directory"


@pytest.mark.parametrize(("remark", "text"), [("a", "a"), ("\xc3\xbc", "\xfc"), ("\u2026", "?")])
def test_remarks_are_shown_as_their_author_sees_them(remark: str, text: str) -> None:
    assert as_text(remark) == text
