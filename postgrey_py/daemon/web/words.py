# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers, spans and the state of the server in plain words; all of it text, and no markup."""

from __future__ import annotations

import enum
from typing import NamedTuple

from postgrey_py.daemon.web.markup import NARROW
from postgrey_py.daemon.web.view import BUCKET_SECONDS, Bucket, Mode, View
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR

_MINUTE = 60

# A server that had so many decisions per hour, and then none for so long, is probably not asked any more.
_USUAL_PER_HOUR = 20
_SILENCE_SECONDS = SECONDS_PER_HOUR


class Mood(enum.Enum):
    """The state of health that the head of the page shows, by its value also the name of its style."""

    WELL = "well"
    WORRY = "worry"
    BAD = "bad"
    PAUSED = "paused"


class Statement(NamedTuple):
    """The first sentence of the page, and how the server is."""

    mood: Mood
    text: str


def plural(number: int, one: str, more: str = "") -> str:
    """Return the number with its noun."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def percent(part: int, whole: int) -> str:
    """Return a share; one that is neither nothing nor all is never called so."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 1:
        return f"{max(share, 0.1):.1f}{NARROW}%"
    if 99 < share < 100:
        return f"{min(share, 99.9):.1f}{NARROW}%"
    return f"{share:.0f}{NARROW}%"


def span(seconds: int) -> str:
    """Return a span in its largest units, two at most."""
    seconds = max(0, seconds)
    if seconds < 2 * _MINUTE:
        return f"{seconds}{NARROW}s"
    minutes = round(seconds / _MINUTE)
    if minutes < 2 * _MINUTE:
        return f"{minutes}{NARROW}min"
    if seconds < 2 * SECONDS_PER_DAY:
        hours, minutes = divmod(minutes, 60)
        return f"{hours}{NARROW}h" + (f" {minutes}{NARROW}min" if minutes else "")
    return f"{round(seconds / SECONDS_PER_DAY):,}{NARROW}days"


def bound(seconds: int) -> str:
    """Return the bound of a bin in one unit where it is a round one."""
    for size, name in ((SECONDS_PER_DAY, "day"), (SECONDS_PER_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size and seconds % size == 0:
            many = seconds // size
            return f"{many}{NARROW}{name}{'s' if name == 'day' and many > 1 else ''}"
    return span(seconds)


def add_up(buckets: list[Bucket]) -> Bucket:
    """Return the sum of these buckets."""
    return Bucket(
        start=buckets[0].start if buckets else 0,
        first=sum(one.first for one in buckets),
        returned=sum(one.returned for one in buckets),
        early=sum(one.early for one in buckets),
        waited=sum(one.waited for one in buckets),
        known=sum(one.known for one in buckets),
        listed=sum(one.listed for one in buckets),
        unchecked=sum(one.unchecked for one in buckets),
    )


def last_day(view: View, days_ago: int = 0) -> Bucket:
    """Return the sum of the last 24 hours, or of 24 hours before."""
    end = view.now - days_ago * SECONDS_PER_DAY
    return add_up([one for one in view.buckets if end - SECONDS_PER_DAY <= one.start < end])


def silence(view: View) -> int | None:
    """Return for how long nobody has asked, where that is unusual."""
    busy = [one for one in view.buckets if one.total()]
    if not busy:
        return None
    quiet = view.now - busy[-1].start - BUCKET_SECONDS
    hours = (busy[-1].start + BUCKET_SECONDS - busy[0].start) / SECONDS_PER_HOUR
    usual = sum(one.total() for one in busy) / max(1.0, hours)
    return quiet if quiet >= _SILENCE_SECONDS and usual >= _USUAL_PER_HOUR else None


def statement(view: View) -> Statement:
    """Return how the server is, in a sentence that can be read from across the room."""
    if view.mode is Mode.DOWN:
        return Statement(Mood.BAD, "Greylisting is off: the database fails.")
    if view.mode is Mode.PAUSED:
        return Statement(Mood.PAUSED, "Greylisting is paused.")
    grave = sum(one.is_grave for one in view.troubles)
    if grave:
        return Statement(Mood.BAD, "Greylisting works, but needs you.")
    if view.mode is Mode.TRAINING:
        return Statement(Mood.PAUSED, "Greylisting is in training.")
    if silence(view) is not None:
        return Statement(Mood.WORRY, "Greylisting works, but nobody asks.")
    if view.troubles:
        return Statement(
            Mood.WORRY,
            "Greylisting works, with a remark." if len(view.troubles) == 1 else "Greylisting works, with remarks.",
        )
    if not any(one.total() for one in view.buckets):
        return Statement(Mood.WELL, "Greylisting is ready.")
    return Statement(Mood.WELL, "Greylisting works.")


def lede(view: View) -> str:
    """Return what greylisting did in the last day, in one or two sentences."""
    day = last_day(view)
    if not day.total():
        return "No mail has come in the last 24 hours." if view.buckets else "No mail has come yet."
    text = f"{plural(day.total(), 'decision')} in the last 24 hours"
    if not day.first:
        return f"{text}; nothing was new."
    return f"{text}. Of {plural(day.first, 'mail')} that {_was(day.first)} new, {day.lost():,} never came back."


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def trend(today: int, yesterday: int) -> str:
    """Return how a number of today compares with that of the day before."""
    if not yesterday:
        return ""
    change = today - yesterday
    if abs(change) * 100 < yesterday:
        return "as the day before"
    return f"{percent(abs(change), yesterday)} {'more' if change > 0 else 'fewer'} than the day before"
