# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's patterns: found in any case, given up when they take too long."""

from __future__ import annotations

import argparse

import pytest

from postgrey_py.commands import user_patterns
from postgrey_py.commands.user_patterns import UserPattern, user_pattern
from postgrey_py.errors import PostgreyError


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [("B", "abc", True), ("^b", "abc", False), ("", "", True), ("\xfc", "\xc3\xbc", True), ("\xfc", "\xfc", False)],
)
def test_patterns_are_found_anywhere_in_any_case(pattern: str, text: str, found: bool) -> None:
    assert UserPattern(pattern).finds(text) is found


def test_what_takes_too_long_is_no_match_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_patterns, "SEARCH_SECONDS", 0.05)
    monkeypatch.setattr(user_patterns, "ALL_SECONDS", 0.1)
    pattern = UserPattern("(a|a)*b|(a|a|aa)*c")
    assert pattern.complaint() is None
    assert not pattern.finds("a" * 200)
    assert pattern.complaint() == "'(a|a)*b|(a|a|aa)*c' takes too long: 1 times it was given up and taken for no match"
    with pytest.raises(PostgreyError, match="write a pattern that has fewer ways to match"):
        pattern.finds("a" * 200)


def test_what_is_no_pattern_is_an_error_of_the_command_line() -> None:
    assert user_pattern("a").text == "a"
    with pytest.raises(argparse.ArgumentTypeError, match=r"^'\(' is not a regular expression: "):
        user_pattern("(")
