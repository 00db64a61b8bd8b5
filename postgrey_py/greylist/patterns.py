# SPDX-License-Identifier: GPL-2.0-or-later
r"""Patterns in Perl's syntax that strangers' text is searched for, without letting a stranger hold up the server.

`compile_pattern` is for one pattern, whose search takes a limited time; a `PatternSet` is for those of a list, which
are searched for together, with a limit for each and one for all. Whoever compiles a pattern knows that neither that
nor any search takes gigabytes or seconds, whatever the pattern is.

`regex` rather than `re`: Postgrey's patterns are Perl's, and `re` silently misreads `[[:alpha:]]`, knows no `\\z` or
`\\h`, and before Python 3.11 no possessive or atomic groups; and `regex` can stop after a time. `re` is twice as
fast, and searches for what can't take long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import regex

from postgrey_py.errors import PatternError
from postgrey_py.greylist.perl_syntax import Translation, translate

# Processor time for one search of one pattern. What is usual takes some microseconds; but some kernels count in
# hundredths of a second only, and one of those must not look like a timeout.
PATTERN_SECONDS = 0.02
# And for one search of all patterns of a set: with two lists, half of a tenth of a second for a request.
SET_SECONDS = 0.025

# After this many searches that took too long, a set leaves a pattern out.
MAX_TIMEOUTS = 20

# `re`, which knows no limit, gets a pattern only when, on a text of so many characters, it tries at most so often, at
# some 2 to 10 ns each. Names of clients nearly always have the first length; nothing that a request says is longer than
# the second.
_PLAIN_COST = {96: 100_000, 512: 600_000}
# The same for all patterns of a set.
_PLAIN_COST_OF_SET = 2_000_000

_FLAGS = regex.ASCII | regex.VERSION0


class TooSlowError(Exception):
    """A search took too long, and was given up: the text may match or not."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. It matches Latin-1 text, or bytes if it was made from bytes."""

    text: str
    compiled: Any
    translated: Translation

    def search(self, text: str | bytes, seconds: float = PATTERN_SECONDS) -> Any:
        """The match of `regex` in this text, or None. Raises TooSlowError after so much processor time."""
        try:
            return self.compiled.search(text, timeout=seconds)
        except (TimeoutError, MemoryError) as error:
            raise TooSlowError(f"/{self.text}/") from error


def compile_pattern(pattern: str | bytes, ignore_case: bool = True) -> Pattern:
    """Compile a pattern in Perl's syntax. Raises PatternError with the reason when it can't be used.

    A string is Latin-1: a character for each byte of what it is about. Groups are numbered only in a pattern that
    refers to some; a match tells where it is, not what its groups are.
    """
    text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    flags = _FLAGS | (regex.IGNORECASE if ignore_case else 0)
    try:
        translated = translate(text)
        compiled = regex.compile(
            translated.text if isinstance(pattern, str) else translated.text.encode("latin-1"), flags
        )
        if translated.plain is not None:
            re.compile(translated.plain)
    except PatternError:
        raise
    except Exception as error:
        # Neither library says what all it raises: errors of its own, ValueError, OverflowError, RecursionError …
        raise PatternError(str(error) or type(error).__name__) from error
    return Pattern(text, compiled, translated)


class Slow(NamedTuple):
    """A pattern of a set took too long: its number there, and whether it is left out from now on.

    With None for a number it was all of them together.
    """

    number: int | None
    is_left_out: bool = False


_Numbered: TypeAlias = "tuple[int, Pattern]"


class _Together:
    """Plain patterns that `re` tries in one go; all or none of them are anchored."""

    def __init__(self, patterns: Sequence[_Numbered], is_anchored: bool) -> None:
        self._patterns = patterns
        together = "|".join(f"(?:{pattern.translated.plain})" for _, pattern in patterns)
        compiled = re.compile(together, re.IGNORECASE | re.ASCII)
        self._find = compiled.match if is_anchored else compiled.search

    def find(self, text: str) -> int | None:
        if self._find(text) is None:
            return None
        # Which one it was is asked rarely, and groups for that would make every search slow.
        for number, pattern in self._patterns:
            if pattern.search(text, SET_SECONDS):
                return number
        return None


class _Division:
    """A set's patterns, for texts of at most so many characters: those that `re` may try, and those to be watched."""

    def __init__(self, patterns: Sequence[_Numbered], characters: int) -> None:
        left = _PLAIN_COST_OF_SET
        plain: list[_Numbered] = []
        self.watched: list[_Numbered] = []
        for number, pattern in patterns:
            cost = pattern.translated.cost(characters)
            if pattern.translated.plain is None or cost > min(_PLAIN_COST[characters], left):
                self.watched.append((number, pattern))
            else:
                plain.append((number, pattern))
                left -= cost
        self.together = [
            _Together(alike, is_anchored)
            for is_anchored in (True, False)
            if (alike := [one for one in plain if one[1].translated.is_anchored is is_anchored])
        ]


class PatternSet:
    """The patterns of a list.

    `clock` tells processor time in seconds. `report` is called, rarely, when a pattern takes too long: at the first
    time, and when it is left out; what took too long does not match.
    """

    def __init__(self, patterns: Sequence[Pattern], clock: Callable[[], float], report: Callable[[Slow], None]) -> None:
        self._clock = clock
        self._report = report
        self._timeouts = [0] * len(patterns)
        self._has_run_out = False
        self._all = list(enumerate(patterns))
        self._divisions = [(characters, _Division(self._all, characters)) for characters in _PLAIN_COST]

    def search(self, text: str) -> int | None:
        """The number of a pattern that matches this text, without line ends.

        Raises TooSlowError when none did, but for want of time.
        """
        for characters, division in self._divisions:
            if len(text) <= characters:
                for together in division.together:
                    number = together.find(text)
                    if number is not None:
                        return number
                return self._search_each(division.watched, text) if division.watched else None
        return self._search_each(self._all, text)

    def _search_each(self, patterns: Sequence[_Numbered], text: str) -> int | None:
        end = self._clock() + SET_SECONDS
        is_undecided = False
        for number, pattern in patterns:
            if self._timeouts[number] >= MAX_TIMEOUTS:
                continue
            seconds = min(end - self._clock(), PATTERN_SECONDS)
            if seconds <= 0:
                self._run_out()
                raise TooSlowError(text)
            try:
                if pattern.search(text, seconds):
                    return number
            except TooSlowError:
                is_undecided = True
                if seconds == PATTERN_SECONDS:
                    self._count_timeout(number)
        if is_undecided:
            raise TooSlowError(text)
        return None

    def _count_timeout(self, number: int) -> None:
        self._timeouts[number] += 1
        if self._timeouts[number] in (1, MAX_TIMEOUTS):
            self._report(Slow(number, self._timeouts[number] == MAX_TIMEOUTS))

    def _run_out(self) -> None:
        if not self._has_run_out:
            self._has_run_out = True
            self._report(Slow(None))
