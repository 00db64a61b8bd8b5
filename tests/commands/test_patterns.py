# SPDX-License-Identifier: GPL-2.0-or-later
"""Patterns that an administrator gives, within a limit of time."""

from __future__ import annotations

import pytest

from postgrey_py.commands import patterns
from postgrey_py.commands.patterns import compile_search
from postgrey_py.errors import PatternError, PostgreyError


def test_a_pattern_is_found_anywhere() -> None:
    search = compile_search(rb"b\d", "--option", ignore_case=False)
    assert search(b"ab1c")
    assert not search(b"AB1C")
    assert compile_search(rb"b\d", "--option", ignore_case=True)(b"AB1C")


def test_what_is_no_pattern_is_an_error() -> None:
    with pytest.raises(PatternError):
        compile_search(b"(", "--option", ignore_case=False)


def test_a_search_that_takes_too_long_names_option_and_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SEARCH_SECONDS", 0.05)
    search = compile_search(b"(a|a)*b|(a|a|aa)*c", "--option", ignore_case=False)
    with pytest.raises(PostgreyError, match=r"^--option: '.*' takes too long on what the log has"):
        search(b"a" * 200)
