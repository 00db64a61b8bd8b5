# SPDX-License-Identifier: GPL-2.0-or-later
"""When the clock is trusted; and servers whose clock jumps, which forget nothing for that."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from postgrey_py.daemon.clock import (
    DISTRUST_SECONDS,
    Evidence,
    Reading,
    Trust,
    distrust,
    format_span,
    read_clocks,
    update_trust,
)
from postgrey_py.greylist.settings import Settings
from tests.daemon.conftest import StartServer
from tests.daemon.processes import stop_once
from tests.database.dbdirs import fill, read_dbdir
from tests.support.policy import PolicyClient
from tests.support.servers import PolicyServer

HOUR, DAY = 3600, 86400
NOW = 1_700_000_000


def look_at(*steps: tuple[float, float], trust: Trust | None = None) -> Trust:
    """The trust after looks at times when the wall and the steady clock had gone on by so much."""
    trust = trust or Trust(Reading(NOW, 1000.0))
    for wall, steady in steps:
        trust = update_trust(trust, Reading(trust.last.wall + wall, trust.last.steady + steady))
    return trust


# What the steady clock tells.


@pytest.mark.parametrize(
    "steps",
    [
        [(5, 5)] * 100,
        # Set right by NTP, in one step or slowly; not looked at for long; suspended for a month, which is counted.
        [(5, 5), (12, 5), (5, 5)],
        [(-115, 5), (5, 5)],
        [(HOUR + 5, 5)],
        [(-HOUR + 5, 5)],
        [(5.1, 5)] * 100_000,
        [(7 * DAY, 7 * DAY)],
        [(30 * DAY + 3, 30 * DAY)],
    ],
)
def test_a_clock_that_goes_on_is_trusted(steps: list[tuple[float, float]]) -> None:
    assert look_at(*steps).is_given()


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([(40 * DAY + 5, 5)], "it jumped ahead by 40 days"),
        ([(HOUR + 7, 5)], "it jumped ahead by 1 hours"),
        ([(-365 * DAY, 5)], "it jumped back by 365 days"),
        ([(5 - 2 * HOUR, 5)], "it jumped back by 2 hours"),
        # For a minute: the way back is another jump.
        ([(40 * DAY, 5), (60, 60), (-40 * DAY, 5)], "it jumped back by 40 days"),
        # A machine that was suspended, without a clock that counts it.
        ([(3 * DAY, 5)], "it jumped ahead by 3 days"),
    ],
)
def test_a_clock_that_has_jumped_is_not_trusted_for_a_day(steps: list[tuple[float, float]], reason: str) -> None:
    trust = look_at(*steps)
    assert not trust.is_given()
    assert trust.reason == reason
    assert trust.remaining() == DISTRUST_SECONDS
    assert look_at((DAY / 2, DAY / 2), trust=trust).remaining() == DISTRUST_SECONDS - DAY / 2
    assert not look_at((DAY - 1, DAY - 1), trust=trust).is_given()
    assert look_at((DAY, DAY), trust=trust).is_given()
    # The wall clock does not decide when the day is over.
    assert not look_at((DAY, 5), trust=trust).is_given()


def test_doubts_about_the_start_last_a_day() -> None:
    trust = distrust(Trust(Reading(NOW, 1000.0)), "why")
    assert not trust.is_given()
    assert look_at((DAY, DAY), trust=trust).is_given()


def test_the_clocks_go_on() -> None:
    trust = Trust(read_clocks())
    assert update_trust(trust, read_clocks()).is_given()
    assert abs(read_clocks().wall - time.time()) < HOUR


@pytest.mark.parametrize(("seconds", "text"), [(3700, "1 hours"), (2 * DAY, "48 hours"), (40 * DAY + 5, "40 days")])
def test_spans_are_told_in_days_or_hours(seconds: float, text: str) -> None:
    assert format_span(seconds) == text


# What the records tell.


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ([], ""),
        ([b"junk", b"5", b""], ""),
        ([f"{NOW - 50 * DAY},{NOW - 60}"], ""),
        ([f"1,{NOW - 40 * DAY}", f"1,{NOW - DAY}"], ""),
        ([f"1,{NOW - 2 * DAY}"], ""),
        # Ahead at the start, or a backup that is old.
        ([f"1,{NOW - 40 * DAY}"] * 3, "at the start the newest record was 40 days old"),
        ([f"1,{NOW - 41 * DAY}", f"1,{NOW - 3 * DAY}"], "at the start the newest record was 3 days old"),
        # Times in the future: of an earlier jump, beside sound ones; or of a clock that is behind.
        ([f"1,{NOW + 40 * DAY}", f"1,{NOW - DAY}"], ""),
        ([f"1,{NOW + HOUR}"], ""),
        ([f"1,{NOW + 365 * DAY}"] * 3, "at the start all records were from the future"),
        ([f"1,{NOW + 365 * DAY}", f"1,{NOW - 40 * DAY}"], "at the start the newest record was 40 days old"),
    ],
)
def test_records_tell_whether_the_clock_was_right(values: list[str | bytes], doubt: str) -> None:
    evidence = Evidence(NOW, Settings())
    for value in values:
        evidence.see(value.encode() if isinstance(value, str) else value)
    assert evidence.doubt() == doubt


def test_one_recent_record_is_enough() -> None:
    evidence = Evidence(NOW, Settings())
    assert not evidence.see(b"1,%d" % (NOW - 40 * DAY))
    assert evidence.see(b"1,%d" % (NOW - 60))
    assert evidence.see(b"1,%d" % (NOW - 40 * DAY))


def test_a_shorter_max_age_is_a_shorter_window() -> None:
    evidence = Evidence(NOW, Settings(max_age=DAY))
    evidence.see(b"1,%d" % (NOW - DAY - HOUR))
    assert evidence.doubt() == "at the start the newest record was 25 hours old"


# Real servers.

FINISHED = "cleaning clients database finished."
REFUSED = "no clean-up for 24 hours, the clock may be wrong: "
AGAIN = "; where it is right, send SIGUSR1 again within ten minutes"


class WallClock:
    """The wall clock of a server under test."""

    def __init__(self, directory: Path) -> None:
        self._offset = directory / "offset"
        self._library = directory / "wallclock.so"
        source = Path(__file__).with_name("wallclock.c")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(source)], check=True)

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "WALLCLOCK": str(self._offset)}

    def set(self, ahead: int) -> None:
        """Let the clock be so many seconds ahead."""
        new = self._offset.with_name("new")
        new.write_text(f"{ahead}\n")
        new.rename(self._offset)


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def known(age: int = 0) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Triplets, passed ones and pending ones, and clients; the youngest were seen so long ago."""
    now = int(time.time()) - age
    ages = [0, HOUR, DAY, 20 * DAY, 34 * DAY]
    triplets = {b"192.0.2.0/passed@example.com/%d" % old: b"%d,%d" % (now - old - 400, now - old) for old in ages}
    triplets[b"192.0.2.0/pending@example.com/x"] = b"%d,%d" % (now, now)
    return triplets, {b"192.0.2.%d" % number: b"5,%d" % (now - old) for number, old in enumerate(ages)}


def check_all_known(dbdir: Path, expected: tuple[Mapping[bytes, bytes], Mapping[bytes, bytes]]) -> None:
    triplets, clients = read_dbdir(dbdir)
    assert expected[0].items() <= triplets.items()
    assert expected[1].items() <= clients.items()


def ask_for_clean_up(server: PolicyServer, answer: str) -> None:
    before = server.log().count(answer)
    server.signal(signal.SIGUSR1)
    deadline = time.monotonic() + 20
    while server.log().count(answer) == before:
        assert time.monotonic() < deadline, f"{answer!r} did not appear in the log:\n{server.log()}"
        time.sleep(0.02)


@pytest.mark.parametrize("jump", [40 * DAY, -365 * DAY])
def test_clock_that_jumps_for_a_while_costs_no_record(
    jump: int, start: StartServer, tmp_path: Path, wall_clock: WallClock
) -> None:
    expected = known()
    fill(tmp_path / "db", *expected)
    server = start(env=wall_clock.environment())
    ask_for_clean_up(server, FINISHED)
    wall_clock.set(jump)
    with PolicyClient(server.port) as client:
        client.ask(sender="jump@example.com")
    ask_for_clean_up(server, f"{REFUSED}it jumped ")
    assert AGAIN in server.log()
    wall_clock.set(0)
    ask_for_clean_up(server, f"{REFUSED}it jumped ")
    server.wait_for_log(": the next clean-up waits a day")
    assert stop_once(server.process) == 0
    assert server.log().count(FINISHED) == 1
    check_all_known(tmp_path / "db", expected)


@pytest.mark.parametrize(
    ("ahead", "age", "reason"),
    [
        (40 * DAY, 0, "at the start the newest record was 40 days old"),
        (5 * DAY, 0, "at the start the newest record was 5 days old"),
        (0, 40 * DAY, "at the start the newest record was 40 days old"),
        (-365 * DAY, 0, "at the start all records were from the future"),
    ],
    ids=["clock ahead", "clock days ahead", "old backup", "clock behind"],
)
def test_start_with_a_clock_that_does_not_fit_the_records(
    ahead: int, age: int, reason: str, start: StartServer, tmp_path: Path, wall_clock: WallClock
) -> None:
    expected = known(age)
    fill(tmp_path / "db", *expected)
    wall_clock.set(ahead)
    server = start(env=wall_clock.environment())
    server.wait_for_log(f"the clock may be wrong ({reason}): the first clean-up waits a day")
    with PolicyClient(server.port) as client:
        # What comes in now is no evidence.
        client.ask(sender="new@example.com")
    ask_for_clean_up(server, REFUSED + reason + AGAIN)
    assert stop_once(server.process) == 0
    check_all_known(tmp_path / "db", expected)


def test_who_insists_is_obeyed(start: StartServer, tmp_path: Path, wall_clock: WallClock) -> None:
    fill(tmp_path / "db", *known())
    wall_clock.set(40 * DAY)
    server = start(env=wall_clock.environment())
    ask_for_clean_up(server, REFUSED)
    ask_for_clean_up(server, "cleaning main database finished. before: 6, after: 0")
    server.wait_for_log("cleaning clients database finished. before: 5, after: 0")
    assert stop_once(server.process) == 0


def test_clock_that_is_set_right_by_minutes_delays_nothing(
    start: StartServer, tmp_path: Path, wall_clock: WallClock
) -> None:
    expected = known()
    fill(tmp_path / "db", *expected)
    server = start(env=wall_clock.environment())
    for ahead in (200, -200, 1800):
        wall_clock.set(ahead)
        ask_for_clean_up(server, FINISHED)
    assert "the clock may be wrong" not in server.log()
    assert stop_once(server.process) == 0
    check_all_known(tmp_path / "db", expected)
