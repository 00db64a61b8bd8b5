# SPDX-License-Identifier: GPL-2.0-or-later
"""The patches of the Debian package fit this tree; what they do is seen in the package itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.servers import ROOT

PATCHES = ROOT / "debian/patches"
SERIES = (PATCHES / "series").read_text().split()


def test_series_names_all_patches() -> None:
    assert sorted(SERIES) == sorted(path.name for path in PATCHES.glob("*.patch"))


@pytest.mark.parametrize("name", SERIES)
def test_patch_fits_as_dpkg_source_applies_it(name: str, tmp_path: Path) -> None:
    patch = PATCHES / name
    for path in re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.MULTILINE):
        (tmp_path / path).parent.mkdir(parents=True)
        shutil.copy(ROOT / path, tmp_path / path)
    # Without fuzz, and nothing that is applied already: source 3.0 (quilt).
    command = ("patch", "-t", "-F", "0", "-N", "-p1", "-u", "--reject-file=-", "-i", patch)
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "offset" not in result.stdout
