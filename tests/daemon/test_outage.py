# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of an outage, and how often the database is tried, on a clock that skips what is waited for."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable
from typing import Any

import pytest

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import (
    CALM_SECONDS,
    COMPLAINT_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Outage,
    next_pause,
)
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.loglines import Level

FAILURE = DatabaseError("can't commit: the disk is full")
FAILED = f"the database failed, mail passes without greylisting: {FAILURE}"
STILL = f"the database still fails, {{}} requests passed without greylisting: {FAILURE}"
WORKS = "the database works again, mail is greylisted; {} requests passed without"


class SkippingSelector(selectors.DefaultSelector):
    """Instead of waiting, moves its clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class World:
    """A database that works or not, by the second, and a log that knows when each line came."""

    def __init__(self, works_at: Callable[[float], bool]) -> None:
        self._selector = SkippingSelector()
        self._works_at = works_at
        self.lines: list[tuple[float, Level, str]] = []
        self.tries: list[float] = []
        self.outage = Outage(self._reopen, Log(self), self.clock)

    def clock(self) -> float:
        return self._selector.now

    def write(self, lines: list[tuple[Level, str]]) -> int:
        self.lines += [(round(self.clock(), 1), level, text) for level, text in lines]
        return 0

    async def _reopen(self) -> None:
        self.tries.append(round(self.clock(), 1))
        if not self._works_at(self.clock()):
            raise FAILURE

    def run(self, seconds: float, ask_every: float = 0.1) -> None:
        """Send requests, all of which write, from now on for so long."""

        async def ask() -> None:
            while self.clock() < seconds:
                if self.outage.is_down:
                    self.outage.passed()
                elif not self._works_at(self.clock()):
                    self.outage.passed()
                    self.outage.failed(FAILURE)
                await asyncio.sleep(ask_every)

        async def both() -> None:
            running = asyncio.ensure_future(self.outage.run())
            await ask()
            running.cancel()

        loop = asyncio.SelectorEventLoop(self._selector)
        loop.time = self.clock  # type: ignore[method-assign]
        try:
            loop.run_until_complete(both())
        finally:
            loop.close()

    def told(self, level: Level) -> list[str]:
        return [text for _, told, text in self.lines if told == level]


def test_pauses_double_up_to_a_bound() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(next_pause(pauses[-1]))
    assert pauses[1] == FIRST_PAUSE_SECONDS
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_more_errors_of_one_outage_are_not_told() -> None:
    world = World(lambda _: False)
    world.outage.failed(FAILURE)
    world.outage.failed(DatabaseError("another one"))
    assert world.lines == [(0.0, Level.CRITICAL, FAILED)]
    assert world.outage.is_down


def test_outage_tells_how_long_it_lasts() -> None:
    for seconds, lasted in ((0.5, 1), (5.5, 5)):
        world = World(lambda _: False)
        assert world.outage.seconds == 0
        world.outage.failed(FAILURE)
        assert world.outage.seconds == 1
        world.run(seconds)
        assert world.outage.seconds == lasted
    world = World(lambda now: now > 0.05)
    world.outage.failed(FAILURE)
    world.run(5)
    assert world.outage.seconds == 0


def test_a_short_failure_is_over_at_once() -> None:
    world = World(lambda now: now > 0.05)
    world.outage.failed(FAILURE)
    world.run(300)
    assert world.lines[0][2] == FAILED
    assert world.told(Level.WARNING) == [WORKS.format(11)]
    assert world.tries == [0.0, 1.0]


def test_twelve_seconds_cost_two_lines_and_five_tries() -> None:
    world = World(lambda now: not 5 <= now < 17)
    world.run(200)
    assert world.told(Level.CRITICAL) == [FAILED]
    (text,) = world.told(Level.WARNING)
    assert text.startswith("the database works again")
    assert [round(at - 5) for at in world.tries] == [0, 1, 3, 7, 15]


def test_a_lasting_failure_is_told_at_once_and_then_once_a_minute() -> None:
    world = World(lambda now: now < 1)
    world.run(1 + 3600)
    times = [at for at, _, _ in world.lines]
    assert times[0] == pytest.approx(1, abs=0.2)
    assert world.lines[0][2] == FAILED
    distances = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(distances) >= COMPLAINT_SECONDS
    assert max(distances) <= COMPLAINT_SECONDS + LONGEST_PAUSE_SECONDS
    # Each tells of all requests since the beginning.
    last = int(world.lines[-1][2].split(" requests")[0].split(", ")[1])
    assert world.lines[-1][2] == STILL.format(last)
    assert last == pytest.approx((times[-1] - 1) * 10, rel=0.01)
    assert len(world.tries) <= 3600 / LONGEST_PAUSE_SECONDS + 6


@pytest.mark.parametrize(("works", "fails"), [(0.15, 0.15), (1, 1), (5, 5), (0.3, 4), (8, 1), (2, 15)])
def test_one_that_works_now_and_then_is_believed_once(works: float, fails: float) -> None:
    """Half an hour of that, and then it works."""
    world = World(lambda now: now > 1800 or now % (works + fails) < works)
    world.run(2400)
    criticals, warnings = world.told(Level.CRITICAL), world.told(Level.WARNING)
    assert criticals.count(FAILED) <= 2
    assert len(criticals) <= 2 + 1800 / COMPLAINT_SECONDS
    # After the first failure, and when it is all over.
    assert len(warnings) <= 2
    assert world.lines[-1][2].startswith("the database works again")
    assert world.lines[-1][0] >= 1800
    assert len(world.tries) <= 1900 / LONGEST_PAUSE_SECONDS + 10


def test_what_fails_again_after_a_calm_time_is_another_outage() -> None:
    period = CALM_SECONDS * 2
    world = World(lambda now: now % period > 0.5)
    world.run(period * 5 - 1)
    assert world.told(Level.CRITICAL) == [FAILED] * 5
    assert len(world.told(Level.WARNING)) == 5
    # The pauses begin anew.
    assert [round(at % period) for at in world.tries] == [0, 1] * 5


def test_the_last_word_of_the_log_is_true() -> None:
    """Whatever the database does, the log says that it fails while it does, and for a minute at most after that."""
    world = World(lambda now: int(now / 7) % 3 != 1 or now > 500)
    world.run(700)
    last: tuple[float, bool] = (0.0, False)
    for at, level, _ in world.lines:
        assert (level == Level.CRITICAL, last[1]) != (False, False)
        last = (at, level == Level.CRITICAL)
    assert not last[1]
