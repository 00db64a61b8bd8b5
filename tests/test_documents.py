# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents for developers name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.servers import ROOT

PATH = re.compile(r"`((?:postgrey_py|tests|scripts|man|build-aux|doc|bench)/[\w./-]+)`")
MADE_UP = {"scripts/NAME", "man/NAME.8"}


@pytest.mark.parametrize("document", ["doc/architecture.md", "CONTRIBUTING.md"])
def test_named_paths_are_there(document: str) -> None:
    named = set(PATH.findall(ROOT.joinpath(document).read_text(encoding="utf-8"))) - MADE_UP
    assert len(named) > 10
    assert [path for path in sorted(named) if not ROOT.joinpath(path).exists()] == []


def test_the_architecture_has_a_line_for_every_room() -> None:
    text = ROOT.joinpath("doc/architecture.md").read_text(encoding="utf-8")
    rooms = [path.parent.name for path in ROOT.joinpath("postgrey_py").glob("*/__init__.py")]
    assert len(rooms) >= 6
    assert [room for room in rooms if f"      {room}/" not in text] == []


def test_every_module_of_the_database_has_its_place() -> None:
    text = ROOT.joinpath("doc/architecture.md").read_text(encoding="utf-8")
    unplaced = {"__init__.py", "layout.py", "reopening.py", "regions.py"}
    modules = {path.name for path in Path(ROOT, "postgrey_py", "database").glob("*.py")} - unplaced
    assert [name for name in sorted(modules) if f"`{name}`" not in text] == []
