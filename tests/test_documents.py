# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents for developers name is there."""

from __future__ import annotations

import ast
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


# First sentences say what is returned or done; a question for a title is a riddle.
RIDDLE = re.compile(r"(?:What|Where|How|Which|When|Who|Why)\b")


def find_riddles(tree: ast.Module) -> list[str]:
    """The docstrings that begin like a question."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    return [text for text in docstrings if RIDDLE.match(text)]


def test_no_docstring_is_a_riddle() -> None:
    modules = [*ROOT.joinpath("postgrey_py").rglob("*.py"), *ROOT.joinpath("build-aux").glob("*.py")]
    assert len(modules) > 100
    found = {path.name: riddles for path in modules if (riddles := find_riddles(ast.parse(path.read_bytes())))}
    assert found == {}


def test_a_riddle_is_found() -> None:
    source = '"""Whatever."""\ndef f():\n    """What it does."""\nclass C:\n    """A thing."""\n'
    assert find_riddles(ast.parse(source)) == ["What it does."]
