# SPDX-License-Identifier: GPL-2.0-or-later
"""The regions of an environment are on the disk, and there is room for them before it is opened."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from postgrey_py.database.configuration import Configuration, read_configuration
from postgrey_py.database.layout import REGION_FILES
from postgrey_py.database.regions import open_environment, require_room
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import open_store


class Usage(NamedTuple):
    """What shutil.disk_usage returns."""

    total: int
    used: int
    free: int


def leave(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, free))


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return read_configuration(tmp_path)


def test_exactly_enough_room_is_enough(
    tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(configuration.region_bytes, monkeypatch)
    require_room(tmp_path, configuration)
    leave(configuration.region_bytes - 1, monkeypatch)
    with pytest.raises(DatabaseError, match=rf"^can't open the database in {tmp_path}: \d+ of \d+ MiB are free$"):
        require_room(tmp_path, configuration)


def test_regions_that_are_there_already_need_no_more_room(
    tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path):
        old = sum(path.stat().st_blocks * 512 for path in tmp_path.glob(REGION_FILES))
        leave(configuration.region_bytes - old, monkeypatch)
        require_room(tmp_path, configuration)


def test_regions_have_no_holes(tmp_path: Path, configuration: Configuration) -> None:
    environment = open_environment(tmp_path, configuration)
    try:
        regions = list(tmp_path.glob(REGION_FILES))
        assert regions
        for path in regions:
            status = path.stat()
            assert status.st_blocks * 512 >= status.st_size, path
    finally:
        environment.close()
