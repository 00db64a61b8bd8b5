# SPDX-License-Identifier: GPL-2.0-or-later
"""Patterns mean what Perl takes them for, and none of them takes gigabytes or seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from postgrey_py.errors import PatternError
from postgrey_py.greylist.patterns import MAX_TIMEOUTS, PatternSet, Slow, TooSlowError, compile_pattern
from tests.support.corpus import read_corpus
from tests.support.perl import ask_perl

NAMES = [
    *("", "a", "b", "aa", "ab", "ba", "abc", "aab", "Aab", "a.b", "a-b", "a_b", "a1", "1a", "7", "-", ".", "aa1.bb2"),
    *(
        "example.com",
        "mail.example.com",
        "MAIL.EXAMPLE.COM",
        "mail.example.com.",
        "mailxexample.com",
        "mx1.example.net",
    ),
    *("dsl-1-2-3-4.pool.example", "dyn.1.2.3.4.example", "bob@example.org", "a@b", "a/b", "a{e}", "foo{bar}", "f{1}"),
    *(
        "QUEUE",
        "Qa",
        "ma",
        "La",
        "caf\xe9",
        "CAF\xc9",
        "\xa0",
        "a\tb",
        "a b",
        "(a)",
        "[a]",
        "a|b",
        "a$",
        "^a",
        "\\",
        "a\\b",
    ),
    *("aXa", "aAa", "abab", "xyxy", "x" * 60, "a." * 20 + "example.com", "\x01", "\x1b", "A-Z", "]", "^", "&", "a&&b"),
]

# Each line is taken by Perl, and must match the same names here.
ALIKE = read_corpus("patterns")

# Known to Perl, some of them, but nothing that a list needs.
REFUSED = [
    *read_corpus("refused-patterns"),
    *("(" * 60 + ")" * 60, "(" * 5000, "a" * 9000, "[" * 9000, "(?:" * 2000, "(a)" * 200 + r"\1"),
]


def test_the_table_of_patterns_is_perls() -> None:
    answers = ask_perl(ALIKE, NAMES)
    wrong = []
    for pattern, answer in zip(ALIKE, answers, strict=True):
        assert answer is not None, f"Perl refuses {pattern}"
        try:
            compiled = compile_pattern(pattern)
        except PatternError as error:
            wrong.append(f"{pattern} is refused: {error}")
            continue
        ours = [compiled.search(name) is not None for name in NAMES]
        wrong += [
            f"{pattern} and {name!r}: {not it}"
            for name, it, mine in zip(NAMES, answer, ours, strict=True)
            if it != mine
        ]
    assert wrong == []


def test_the_table_is_the_same_for_a_set() -> None:
    for pattern in ALIKE:
        compiled = compile_pattern(pattern)
        patterns = PatternSet(
            [compile_pattern("^other$"), compiled, compile_pattern("^(((another))|x)!$")], *unwatched()
        )
        for name in NAMES:
            assert patterns.search(name) == (1 if compiled.search(name) else None), (pattern, name)


def unwatched() -> tuple[Callable[[], float], Callable[[Slow], None]]:
    """A clock, and a report that must not come."""

    def report(slow: Slow) -> None:
        raise AssertionError(slow)

    return time.thread_time, report


@pytest.mark.parametrize("pattern", REFUSED, ids=lambda pattern: pattern[:20])
def test_what_is_no_pattern_or_a_dangerous_one_is_refused_with_a_reason(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"\w"):
        compile_pattern(pattern)


def test_a_pattern_may_be_of_bytes_and_mind_case() -> None:
    found = compile_pattern(b"Greylisted, \\d+ s", ignore_case=False).search(b"4.2.0 Greylisted, 30 s")
    assert found.span() == (6, 22)
    assert compile_pattern("\xe9"[:1], ignore_case=False).search("caf\xc9") is None
    assert compile_pattern(b"\xc3\xa9").search("café".encode()) is not None


EXPONENTIAL = [
    (r"^(.*\.)*example\.com$", "a." * 250 + "example.com.x"),
    (r"^(\w+\.?)*$", "a" * 500 + "!"),
    (r"^(a|aa)+$", "a" * 511 + "b"),
    (r"(x+x+)+y", "x" * 511 + "z y"),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 500 + "!!"),
    (
        r"^([a-z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$",
        "a" * 500,
    ),
    (r"^(.+)+(.+)+(\1)+!$", "ab" * 250 + "?!x"),
    (r"a?" * 200 + "a" * 200, "a" * 199),
    (r"(.*)(.*)(.*)(.*)(.*)[^x]y\1z", "x" * 400 + "yz"),
]


@pytest.mark.parametrize(("pattern", "text"), EXPONENTIAL, ids=lambda value: value[:20])
def test_a_search_ends_by_itself(pattern: str, text: str) -> None:
    compiled = compile_pattern(pattern)
    began = time.thread_time()
    with contextlib.suppress(TooSlowError):
        assert compiled.search(text) is None
    # Against hanging only: it is meant to take some hundredths of a second.
    assert time.thread_time() - began < 2


class Reports(list[Slow]):
    """What a set has reported."""

    def make_set(self, *patterns: str) -> PatternSet:
        return PatternSet([compile_pattern(pattern) for pattern in patterns], time.thread_time, self.append)


SLOW, SLOW_TEXT = r"^(a|aa)+$", "a" * 300 + "b"


def test_one_that_is_too_slow_is_reported_by_number_and_the_others_match() -> None:
    reports = Reports()
    patterns = reports.make_set(r"^mx", SLOW, r"b(?=$)")
    # In front of it, and behind it, among the plain ones and among those that must be watched.
    assert patterns.search(SLOW_TEXT) == 2
    assert reports == [Slow(1)]
    assert patterns.search("mx1") == 0
    assert patterns.search("aaaa") == 1
    with pytest.raises(TooSlowError):
        reports.make_set(SLOW).search(SLOW_TEXT)


def test_one_that_keeps_being_too_slow_is_left_out_and_that_is_reported_once() -> None:
    reports = Reports()
    patterns = reports.make_set(SLOW, r"^mx")
    for _ in range(MAX_TIMEOUTS):
        with pytest.raises(TooSlowError):
            patterns.search(SLOW_TEXT)
    assert reports == [Slow(0), Slow(0, is_left_out=True)]
    for _ in range(3):
        assert patterns.search(SLOW_TEXT) is None
    assert patterns.search("aaaa") is None
    assert patterns.search("mx1") == 1
    assert len(reports) == 2


def test_all_patterns_together_have_a_limit_that_is_reported_once() -> None:
    reports = Reports()
    patterns = reports.make_set(*(rf"^(a|aa)+{number}$" for number in range(200)))
    text = "a" * 300 + "".join(map(str, range(200)))
    began = time.thread_time()
    for _ in range(3):
        with pytest.raises(TooSlowError):
            patterns.search(text[:500] + "!")
    assert time.thread_time() - began < 2
    assert reports.count(Slow(None)) <= 1


def test_nothing_is_reported_of_usual_names() -> None:
    reports = Reports()
    patterns = reports.make_set(*ALIKE)
    for name in NAMES:
        patterns.search(name)
    assert reports == []


@pytest.mark.parametrize(
    "make", ["^mx{}\\.", "a.*b{}", "^.*a.*b{}", "^[a-z]+[a-z0-9]+[.]x{}", "[a-z]+x{}", "(?i)a.*b.*c{}", "(a|b|.)*c{}"]
)
def test_hundreds_of_patterns_and_the_worst_of_names(make: str) -> None:
    reports = Reports()
    patterns = reports.make_set(*(make.format(number) for number in range(300)))
    for text in ("a" * 512, "ab" * 256, "a." * 256, "mx" * 256):
        began = time.thread_time()
        try:
            patterns.search(text)
        except TooSlowError:
            assert reports
        assert time.thread_time() - began < 2


def test_long_texts_are_searched_too() -> None:
    reports = Reports()
    patterns = reports.make_set("^mx", r"com$")
    assert patterns.search("mx" * 2000) == 0
    assert patterns.search("x" * 2000 + "com") == 1
    assert patterns.search("x" * 2000) is None
    assert PatternSet([], time.thread_time, reports.append).search("x") is None
    assert reports == []
