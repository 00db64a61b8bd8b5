# SPDX-License-Identifier: GPL-2.0-or-later
"""The way to a directory, which may not lead over symbolic links of others."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from postgrey_py.daemon.places import open_directory_of
from postgrey_py.errors import StartupError


def found(path: Path) -> tuple[Path, str]:
    """The directory that the way to this path ends in, and the last name."""
    directory, name = open_directory_of(os.fspath(path), "--pidfile")
    try:
        return Path(os.readlink(f"/proc/self/fd/{directory}")), name
    finally:
        os.close(directory)


@pytest.mark.parametrize("target", ["real", "./real", "../{parent}/real", "{absolute}/real", "other"])
def test_own_links_are_followed(target: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "other").symlink_to("real")
    (tmp_path / "link").symlink_to(target.format(parent=tmp_path.name, absolute=tmp_path))
    assert found(tmp_path / "link" / "pid") == (tmp_path / "real", "pid")
    assert found(tmp_path / "real" / "pid") == (tmp_path / "real", "pid")
    assert found(Path("/pid")) == (Path("/"), "pid")


@pytest.mark.root
def test_links_of_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    os.chown(link, pwd.getpwnam("nobody").pw_uid, -1, follow_symlinks=False)
    with pytest.raises(StartupError) as refusal:
        found(link / "pid")
    assert str(refusal.value) == (
        "--pidfile: link is a symbolic link of nobody, who could lead it anywhere; name the directory itself"
    )


def test_what_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in (("missing", "No such file or directory"), ("file", "Not a directory"), ("loop", "Too many")):
        with pytest.raises(StartupError, match=f"^--pidfile: {reason}"):
            found(tmp_path / name / "pid")
