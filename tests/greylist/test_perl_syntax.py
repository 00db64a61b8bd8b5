# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of patterns, what is refused, and what it costs to try the rest. That they match alike is in test_patterns."""

from __future__ import annotations

import pytest

from postgrey_py.errors import PatternError
from postgrey_py.greylist.pattern_cost import HOPELESS
from postgrey_py.greylist.perl_syntax import (
    MAX_CAPTURES,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_REPEATS,
    translate,
)


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        pytest.param("a" * MAX_CHARACTERS, "a" * (MAX_CHARACTERS + 1), id="characters"),
        pytest.param(r"(a)\1" + "(a)" * (MAX_CAPTURES - 1), r"(a)\1" + "(a)" * MAX_CAPTURES, id="captures"),
        pytest.param(f"a{{0,{MAX_REPEATS}}}", f"a{{0,{MAX_REPEATS + 1}}}", id="repeats"),
        pytest.param(f"a{{{MAX_NODES - 10}}}", f"a{{{MAX_NODES + 1}}}", id="nodes"),
        pytest.param(
            "(?:" * (MAX_DEPTH - 1) + ")" * (MAX_DEPTH - 1), "(?:" * (MAX_DEPTH + 1) + ")" * (MAX_DEPTH + 1), id="depth"
        ),
    ],
)
def test_patterns_have_limits(largest: str, too_large: str) -> None:
    translate(largest)
    with pytest.raises(PatternError):
        translate(too_large)


@pytest.mark.parametrize("pattern", ["(", ")", "*", "a**", "[a", "(?R)", "(?{1})", "(?1)", "a{2,1}", "(*ACCEPT)", "\\"])
def test_what_is_not_known_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        translate(pattern)


@pytest.mark.parametrize("pattern", ["", "a", r"^mx\d+\.example\.com$", "(?i)a|b", r"(a)\1", r"(?<=a)b", "a+?"])
def test_usual_patterns_are_taken(pattern: str) -> None:
    assert translate(pattern).cost(100) < HOPELESS


def test_an_anchor_saves_trying_at_each_character() -> None:
    free, anchored = translate("a"), translate("^a")
    assert (free.is_anchored, anchored.is_anchored) == (False, True)
    assert free.cost(100) == 100 * anchored.cost(100)


def test_each_endless_repeat_adds_a_power() -> None:
    costs = [translate("^" + ".*a" * repeats).work for repeats in (1, 2, 3)]
    assert costs == [1, 2, 3]


def test_nested_repeats_are_hopeless() -> None:
    assert translate(r"^(.*\.)*example\.com$").cost(10) >= HOPELESS


def test_what_re_reads_alike_has_a_plain_pattern_without_captures() -> None:
    assert translate("(a|b)c").plain == "(?:a|b)c"
    assert translate(r"(a)\1").plain is None
