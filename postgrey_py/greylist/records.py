# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of the two databases: parse, format, and judge which are old.

A triplet is `first,last`: when it was first and last seen, in decimal seconds since 1970. Very old files carry
a third field, which is ignored. A client is `count,last`: how many triplets of it passed, and when it was last seen.
"""

from __future__ import annotations

import re

from postgrey_py.greylist.settings import Settings

# More digits than a clock or counter has are cut: Python refuses to convert thousands of them.
_MAX_DIGITS = 18
_LEADING_NUMBER = re.compile(rb"\s*([-+]?\d{1,%d})" % _MAX_DIGITS)


def parse_record(value: bytes) -> tuple[int, int | None]:
    """The two numbers of a record; the second is None where it is missing.

    What is not a number counts as Perl counts it: by its leading digits, else 0. So no record stops a decision.
    """
    first, comma, rest = value.partition(b",")
    return _number(first), _number(rest.partition(b",")[0]) if comma else None


def _number(text: bytes) -> int:
    if text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    match = _LEADING_NUMBER.match(text)
    return int(match[1]) if match else 0


def format_record(first: int, second: int) -> bytes:
    """A record's value as it is stored."""
    return b"%d,%d" % (first, second)


def is_old_triplet(value: bytes, now: int, settings: Settings) -> bool:
    """Whether the clean-up drops this triplet: not seen for max-age, or never passed within the retry window."""
    first_seen, last_seen = parse_record(value)
    if last_seen is None or now - last_seen > settings.max_age:
        return True
    return last_seen - first_seen < settings.delay and now - last_seen > settings.retry_window


def is_old_client(value: bytes, now: int, settings: Settings) -> bool:
    """Whether the clean-up drops this client: not seen for max-age."""
    last_seen = parse_record(value)[1]
    return last_seen is None or now - last_seen > settings.max_age
