# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that a peer can cause without end are logged up to a number, and counted beyond it."""

from __future__ import annotations

from postgrey_py.daemon.flood import LINES, SECONDS, Flood
from postgrey_py.greylist.loglines import Level, LogLine


class Clock:
    """A clock that stands still until it is told to go on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def line(text: str) -> LogLine:
    return LogLine(Level.ERROR, text)


def note(text: str) -> LogLine:
    return LogLine(Level.WARNING, text)


def test_the_first_lines_of_a_minute_are_logged_and_the_others_counted() -> None:
    clock = Clock()
    flood = Flood("junk", clock)
    for number in range(LINES):
        assert flood.admit(line(str(number))) == [line(str(number))]
    assert flood.admit(line("x")) == [note("too many lines about junk: for a minute they are only counted")]
    assert [flood.admit(line("x")) for _ in range(50)] == [[]] * 50
    clock.now += SECONDS
    assert flood.admit(line("next")) == [note("51 more lines about junk were not logged"), line("next")]
    assert flood.admit(line("next")) == [line("next")]


def test_a_slow_stream_of_lines_is_logged_whole() -> None:
    clock = Clock()
    flood = Flood("junk", clock)
    for _ in range(5 * LINES):
        assert flood.admit(line("x")) == [line("x")]
        clock.now += SECONDS / (LINES - 1)
