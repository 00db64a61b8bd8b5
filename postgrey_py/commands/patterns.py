# SPDX-License-Identifier: GPL-2.0-or-later
"""Patterns that an administrator gives to a command, searched for in what strangers have written.

What only some commands need is imported when they do: it would double the time that a start takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.patterns import TooSlowError, compile_pattern

# Processor time for one search. What is usual takes some microseconds.
SEARCH_SECONDS = 1.0


def compile_search(pattern: bytes, option: str, ignore_case: bool) -> Callable[[bytes], Any]:
    """Return what finds a pattern in Perl's syntax. Raises PatternError where it is none.

    A search that takes too long raises PostgreyError, which names the `option`.
    """
    compiled = compile_pattern(pattern, ignore_case)

    def search(text: bytes) -> Any:
        try:
            return compiled.search(text, SEARCH_SECONDS)
        except TooSlowError as error:
            shown = pattern.decode("utf-8", "backslashreplace")
            raise PostgreyError(f"{option}: {shown!r} takes too long on what the log has: write it simpler") from error

    return search
