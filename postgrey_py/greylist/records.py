# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of the two databases: parse, format, and say what they mean. The one home of these rules.

A triplet is `first,last`: when it was first and last seen, in decimal seconds since 1970. Very old files carry
a third field, which is ignored. A client is `count,last`: how many triplets of it passed, and when it was last seen.
The rules take records as `parse_record` returns them. Called by `policy`, the clean-up, the salvage of
damaged files, and the commands.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from postgrey_py.greylist.settings import SECONDS_PER_HOUR, Settings

# A client's count goes up, and the record of a trusted client is refreshed, at most this often.
COUNTING_INTERVAL = SECONDS_PER_HOUR

# The two numbers of a value; the second is None where it is missing.
Record: TypeAlias = tuple[int, int | None]

# More digits than a clock or counter has are cut: Python refuses to convert thousands of them.
_MAX_DIGITS = 18
_LEADING_NUMBER = re.compile(rb"\s*([-+]?\d{1,%d})" % _MAX_DIGITS)
_WHOLE_RECORD = re.compile(rb"\d+(?:,\d+)+")


def parse_record(value: bytes) -> Record:
    """Return the two numbers of a value.

    What is not a number counts as Perl counts it: by its leading digits, else 0. So no record stops a decision.
    """
    first, comma, rest = value.partition(b",")
    if first.isdigit() and rest.isdigit() and len(first) <= _MAX_DIGITS >= len(rest):
        # Nearly all of them.
        return int(first), int(rest)
    return _number(first), _number(rest.partition(b",")[0]) if comma else None


def _number(text: bytes) -> int:
    if text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    match = _LEADING_NUMBER.match(text)
    return int(match[1]) if match else 0


def format_record(first: int, second: int) -> bytes:
    """A record's value as it is stored."""
    return b"%d,%d" % (first, second)


def is_record(value: bytes) -> bool:
    """Whether a value looks like one of ours: two numbers, or more in very old files."""
    return _WHOLE_RECORD.fullmatch(value) is not None


def seconds_seen(triplet: Record) -> int:
    """Return how many seconds lie between the first and the last time that a triplet was seen."""
    first_seen, last_seen = triplet
    return 0 if last_seen is None else last_seen - first_seen


def has_passed(triplet: Record, delay: int) -> bool:
    """Whether mail of this triplet was let through: it was seen again when the delay was over."""
    first_seen, last_seen = triplet
    # 1.37: a missing time is the number 0.
    return (last_seen or 0) - first_seen >= delay


def is_pending(triplet: Record, now: int, settings: Settings) -> bool:
    """Whether the triplet has not passed, and the delay of a try at `now` counts from when it was first seen.

    That of one that comes back only after the retry window begins anew.
    """
    return not has_passed(triplet, settings.delay) and now - triplet[0] <= settings.retry_window


def release(triplet: Record, now: int, settings: Settings) -> Record:
    """Return the record of a pending triplet changed so that its next try passes, as if it had come a delay ago."""
    first_seen = now - settings.delay
    if triplet[0] <= first_seen:
        return triplet
    # 1.37 must take it for one that was tried once, so that the pass counts and has its header.
    return first_seen, first_seen


def is_trusted(client: Record, settings: Settings) -> bool:
    """Whether the auto-whitelist lets the client's mail through: enough of its triplets have passed."""
    return 0 < settings.auto_whitelist_clients <= client[0]


def is_due(client: Record, now: int) -> bool:
    """Whether it is long enough ago that the client was last counted.

    A time in the future is due too, unlike 1.37, where such a client never gains a count again.
    """
    last_seen = client[1]
    return last_seen is None or now >= last_seen + COUNTING_INTERVAL or last_seen > now


def is_old_triplet(triplet: Record, now: int, settings: Settings) -> bool:
    """Whether the clean-up drops this triplet: not seen for max-age, or never passed within the retry window."""
    last_seen = triplet[1]
    if last_seen is None or now - last_seen > settings.max_age:
        return True
    return not has_passed(triplet, settings.delay) and now - last_seen > settings.retry_window


def is_old_client(client: Record, now: int, settings: Settings) -> bool:
    """Whether the clean-up drops this client: not seen for max-age."""
    last_seen = client[1]
    return last_seen is None or now - last_seen > settings.max_age
