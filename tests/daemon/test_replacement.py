# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from postgrey_py.daemon.replacement import replace_file


@pytest.mark.parametrize("is_durable", [True, False])
def test_file_has_the_new_contents_and_nothing_is_left_beside_it(tmp_path: Path, is_durable: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a longer text than the new one")
    replace_file(str(path), b"new", is_durable=is_durable)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_old_contents_stay_where_the_new_ones_can_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "file.new").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(str(path), b"new")
    assert path.read_bytes() == b"old"
