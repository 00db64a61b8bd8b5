# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from postgrey_py.daemon.web.markup import NARROW
from postgrey_py.daemon.web.view import BUCKET_SECONDS, Bucket, Mode, Trouble
from postgrey_py.daemon.web.words import (
    Mood,
    add_up,
    bound,
    last_day,
    lede,
    percent,
    plural,
    silence,
    span,
    statement,
    trend,
)
from tests.daemon.web.views import EMPTY, NOW, busy_view

HOUR, DAY = 3600, 86_400


def spaced(text: str) -> str:
    return text.replace(NARROW, " ")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (61, 100, "61 %"),
        (0, 100, "0 %"),
        (100, 100, "100 %"),
        (1, 3, "33 %"),
        # Hardly anything is not nothing, and nearly everything is not all.
        (1, 10**9, "0.1 %"),
        (10**9 - 1, 10**9, "99.9 %"),
        (5, 1000, "0.5 %"),
        (0, 0, "0 %"),
    ],
)
def test_a_share(part: int, whole: int, text: str) -> None:
    assert spaced(percent(part, whole)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (90, "90 s"),
        (120, "2 min"),
        (372, "6 min"),
        (4980, "83 min"),
        (7199, "2 h"),
        (7200, "2 h"),
        (33_000, "9 h 10 min"),
        (2 * DAY, "2 days"),
        (12 * DAY + 5, "12 days"),
        (10**9, "11,574 days"),
    ],
)
def test_a_span(seconds: int, text: str) -> None:
    assert spaced(span(seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(300, "5 min"), (3600, "1 h"), (DAY, "1 day"), (2 * DAY, "2 days"), (90, "90 s"), (30, "30 s"), (5400, "90 min")],
)
def test_a_bound_has_one_unit(seconds: int, text: str) -> None:
    assert spaced(bound(seconds)) == text


def test_plurals() -> None:
    assert [plural(n, "mail") for n in (0, 1, 2000)] == ["0 mails", "1 mail", "2,000 mails"]
    assert plural(2, "first try", "first tries") == "2 first tries"


@pytest.mark.parametrize(
    ("today", "yesterday", "text"),
    [
        (100, 0, ""),
        (100, 100, "as the day before"),
        (1005, 1000, "as the day before"),
        (110, 100, "10 % more than the day before"),
        (50, 100, "50 % fewer than the day before"),
    ],
)
def test_a_trend(today: int, yesterday: int, text: str) -> None:
    assert spaced(trend(today, yesterday)) == text


def test_a_sum_has_every_number() -> None:
    one = Bucket(600, 1, 2, 3, 4, 5, 6, 7)
    assert add_up([one, one]) == Bucket(600, 2, 4, 6, 8, 10, 12, 14)
    assert add_up([]) == Bucket(0)


def test_the_last_day_and_the_one_before_share_nothing() -> None:
    view = replace(EMPTY, buckets=tuple(Bucket(NOW - hours * HOUR, first=1) for hours in range(1, 50)))
    assert last_day(view).first == 24
    assert last_day(view, days_ago=1).first == 24


# What has just been asked, so that nobody is missed.
ASKED = (Bucket(NOW - BUCKET_SECONDS, known=1),)
GRAVE, SLIGHT = Trouble("It burns.", is_grave=True), Trouble("It smells.")


@pytest.mark.parametrize(
    ("view", "mood", "text"),
    [
        (EMPTY, Mood.WELL, "Greylisting is ready."),
        (replace(EMPTY, buckets=ASKED), Mood.WELL, "Greylisting works."),
        (replace(EMPTY, buckets=ASKED, troubles=(SLIGHT,)), Mood.WORRY, "Greylisting works, with a remark."),
        (replace(EMPTY, troubles=(SLIGHT, SLIGHT)), Mood.WORRY, "Greylisting works, with remarks."),
        (replace(EMPTY, troubles=(SLIGHT, GRAVE)), Mood.BAD, "Greylisting works, but needs you."),
        (replace(EMPTY, mode=Mode.TRAINING), Mood.PAUSED, "Greylisting is in training."),
        (replace(EMPTY, mode=Mode.PAUSED, troubles=(GRAVE,)), Mood.PAUSED, "Greylisting is paused."),
        (replace(EMPTY, mode=Mode.DOWN, troubles=(SLIGHT,)), Mood.BAD, "Greylisting is off: the database fails."),
    ],
)
def test_the_worst_is_said_first(view: object, mood: Mood, text: str) -> None:
    assert statement(view) == (mood, text)  # type: ignore[arg-type]


def test_a_server_that_is_not_asked_any_more_is_a_worry() -> None:
    busy = tuple(Bucket(NOW - BUCKET_SECONDS * number, known=10) for number in range(40, 8, -1))
    view = replace(EMPTY, buckets=busy)
    assert silence(view) == 8 * BUCKET_SECONDS
    assert statement(view) == (Mood.WORRY, "Greylisting works, but nobody asks.")


def test_a_quiet_server_may_be_quiet() -> None:
    assert silence(replace(EMPTY, buckets=(Bucket(NOW - 20 * HOUR, known=3), Bucket(NOW - 9 * HOUR, known=3)))) is None
    assert silence(EMPTY) is None
    assert silence(busy_view()) is None


@pytest.mark.parametrize(
    ("buckets", "text"),
    [
        ((), "No mail has come yet."),
        ((Bucket(NOW - 30 * HOUR, known=1),), "No mail has come in the last 24 hours."),
        ((Bucket(NOW - HOUR, known=1),), "1 decision in the last 24 hours; nothing was new."),
        (
            (Bucket(NOW - HOUR, first=1, returned=1),),
            "1 decision in the last 24 hours. Of 1 mail that was new, 0 never came back.",
        ),
        (
            (Bucket(NOW - HOUR, first=2000, returned=500, known=1412),),
            "3,412 decisions in the last 24 hours. Of 2,000 mails that were new, 1,500 never came back.",
        ),
    ],
)
def test_the_lede(buckets: tuple[Bucket, ...], text: str) -> None:
    assert lede(replace(EMPTY, buckets=buckets)) == text
