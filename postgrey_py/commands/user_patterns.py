# SPDX-License-Identifier: GPL-2.0-or-later
"""Regular expressions that a user gives a command; each search takes a limited time, for strangers wrote the text."""

from __future__ import annotations

import argparse
import os

from postgrey_py.errors import PatternError, PostgreyError
from postgrey_py.greylist.patterns import TooSlowError, compile_pattern

# For one search, and for all that took too long together.
SEARCH_SECONDS = 0.1
ALL_SECONDS = 2.0


class UserPattern:
    """A regular expression as Perl has them, found anywhere, small and capital letters being the same.

    Raises PatternError where it can't be used.

    What is searched is Latin-1 text, a character for each byte. `given_up` counts texts that took too long: they do not
    match.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.given_up = 0
        self._pattern = compile_pattern(os.fsencode(text).decode("latin-1"))

    def finds(self, text: str) -> bool:
        """Whether the pattern is found in this text. Raises PostgreyError when searching takes too long altogether."""
        try:
            return self._pattern.search(text, SEARCH_SECONDS) is not None
        except TooSlowError:
            self.given_up += 1
        if self.given_up * SEARCH_SECONDS >= ALL_SECONDS:
            raise PostgreyError(f"{self.text!r} takes too long: write a pattern that has fewer ways to match")
        return False

    def complaint(self) -> str | None:
        """Return the complaint about texts that took too long, if there were any."""
        if not self.given_up:
            return None
        return f"{self.text!r} takes too long: {self.given_up} times it was given up and taken for no match"


def user_pattern(text: str) -> UserPattern:
    """Read a pattern, for argparse."""
    try:
        return UserPattern(text)
    except PatternError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error
