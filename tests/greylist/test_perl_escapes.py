# SPDX-License-Identifier: GPL-2.0-or-later
"""Escapes and sets of Perl in the words of `regex`."""

from __future__ import annotations

import pytest
import regex

from postgrey_py.errors import PatternError
from postgrey_py.greylist.perl_escapes import octets_with, one_character, translate_set


@pytest.mark.parametrize(
    ("escape", "pattern"),
    [
        ("x41", r"\x41"),
        ("x", r"\x00"),
        ("xff", r"\xff"),
        ("x{100}", r"\U00000100"),
        ("x{10ffff}", r"\U0010ffff"),
        ("o{101}", r"\x41"),
        ("N{U+e4}", r"\xe4"),
        ("cA", r"\x01"),
        ("c[", r"\x1b"),
        ("101", r"\x41"),
        ("08", r"\x008"),
        (".", r"\."),
        ("/", "/"),
    ],
)
def test_one_character_in_all_spellings(escape: str, pattern: str) -> None:
    assert one_character(escape) == pattern


@pytest.mark.parametrize("escape", ["x{110000}", "N{name}", "C", "8", "p{L}"])
def test_what_is_not_known_is_refused(escape: str) -> None:
    with pytest.raises(PatternError):
        one_character(escape)


def test_properties_are_those_of_unicode() -> None:
    assert octets_with("p{Lu}") == octets_with("p{IsLu}")
    assert r"\xc4" in octets_with("p{Lu}")
    assert r"\xc4" not in octets_with("P{Lu}")
    with pytest.raises(PatternError, match="there is no property Nonsense"):
        octets_with("p{Nonsense}")


def test_a_property_of_no_octet_matches_none() -> None:
    assert octets_with("p{Han}") == r"\U0010ffff"


@pytest.mark.parametrize(
    ("text", "members", "others"),
    [
        ("[abc]", "abc", "d[]"),
        ("[^abc]", "d", "abc"),
        ("[a-c]", "abc", "-d"),
        ("[]a]", "]a", "["),
        ("[[a]", "[a", "]"),
        (r"[\d.]", "0.", "d\\"),
        (r"[\b]", "\b", "b"),
        (r"[\x41-C]", "ABC", "D"),
        ("[[:digit:]x]", "5x", ":d"),
        # What is an operation on sets, or a nested one, to `regex` alone.
        ("[a&&b]", "ab&", "c"),
        ("[a||b]", "ab|", "c"),
        ("[a~~b]", "ab~", "c"),
    ],
)
def test_sets_mean_the_same(text: str, members: str, others: str) -> None:
    compiled = regex.compile(translate_set(text), regex.VERSION0)
    assert [character for character in members + others if compiled.fullmatch(character)] == list(members)


@pytest.mark.parametrize("text", [r"[\N]", r"[\R]", r"[\x{110000}]", r"[\p{Nonsense}]"])
def test_sets_with_something_unknown_are_refused(text: str) -> None:
    with pytest.raises(PatternError):
        translate_set(text)
