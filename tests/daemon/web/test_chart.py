# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from postgrey_py.daemon.web.chart import DEFERRED, HEIGHT, PASSED, draw, in_order, scale_of
from postgrey_py.daemon.web.view import BUCKET_SECONDS, BUCKETS, Bucket
from tests.daemon.web.views import EMPTY, NOW, busy_view

EVERYTHING = Bucket(0, first=3, returned=1, early=1, waited=2, known=5, listed=1, unchecked=1)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def drawn(buckets: list[Bucket]) -> ET.Element:
    return ET.fromstring(draw(buckets, "Title", "Text"))


def heights(path: str) -> list[tuple[int, float]]:
    """The corners of an area: how far to the right, and at which height it goes on from there."""
    return [(int(x), float(y)) for x, y in re.findall(r"H(\d+)V([\d.]+)", path)]


def test_all_ten_minutes_of_two_days_are_there() -> None:
    buckets = in_order(replace(EMPTY, buckets=(Bucket(NOW - NOW % 600 - 1200, first=7),)))
    assert len(buckets) == BUCKETS
    assert {after.start - before.start for before, after in pairwise(buckets)} == {600}
    assert buckets[-1].start <= NOW < buckets[-1].start + BUCKET_SECONDS
    assert [bucket.first for bucket in buckets[-4:]] == [0, 7, 0, 0]


def test_what_is_too_old_or_of_the_future_is_left_out() -> None:
    strays = (Bucket(NOW - NOW % 600 - BUCKETS * 600, first=1), Bucket(NOW - NOW % 600 + 600, first=1))
    assert sum(bucket.first for bucket in in_order(replace(EMPTY, buckets=strays))) == 0


@pytest.mark.parametrize("most", [1, 2, 7, 100, 12_345, 10**6, 10**12])
def test_the_scale_has_room_for_everything_and_a_few_marks(most: int) -> None:
    scale = scale_of([Bucket(0, known=most, first=most // 3)])
    assert scale.up >= most
    assert scale.down >= most // 3
    assert 1 <= len(scale.marks()) <= 8
    assert all(0 <= scale.y(mark) <= HEIGHT for mark in scale.marks())


def test_nothing_has_a_scale_too() -> None:
    assert scale_of([]) == scale_of([Bucket(0)])


def test_a_direction_without_mail_has_room_all_the_same() -> None:
    assert scale_of([Bucket(0, known=100)]).down == pytest.approx(15)
    assert scale_of([Bucket(0, first=100)]).up == pytest.approx(15)


def test_passed_goes_up_and_deferred_goes_down() -> None:
    buckets = [Bucket(0), EVERYTHING, Bucket(1200)]
    scale = scale_of(buckets)
    paths = {path.attrib["class"]: heights(path.attrib["d"]) for path in drawn(buckets).iter("path")}
    assert set(paths) == {layer.kind for layer in (*PASSED, *DEFERRED)}
    # Each area reaches from the line to the sum of what is nearer to it.
    for layers, sign in ((PASSED, 1), (DEFERRED, -1)):
        level = 0
        for layer in layers:
            level += layer.count(EVERYTHING)
            (left, top), (right, _), *_ = paths[layer.kind]
            assert (left, right) == (1, 2)
            assert top == pytest.approx(scale.y(sign * level), abs=0.06)


def test_the_layers_of_a_direction_add_up() -> None:
    assert sum(layer.count(EVERYTHING) for layer in PASSED) == EVERYTHING.passed()
    assert sum(layer.count(EVERYTHING) for layer in DEFERRED) == EVERYTHING.deferred()
    odd = Bucket(0, first=1, returned=5)
    assert sum(layer.count(odd) for layer in DEFERRED) == odd.deferred()


def test_the_outer_layers_do_not_hide_the_inner_ones() -> None:
    kinds = [path.attrib["class"] for path in drawn([EVERYTHING]).iter("path")]
    assert kinds == [layer.kind for layer in (*reversed(PASSED), *reversed(DEFERRED))]


def test_what_did_not_happen_is_not_drawn() -> None:
    assert [path.attrib["class"] for path in drawn([Bucket(0, known=1)]).iter("path")] == ["known"]


def test_each_ten_minutes_tell_their_numbers() -> None:
    (column,) = (rect for rect in drawn([Bucket(0), replace(EVERYTHING, start=NOW)]).iter("rect"))
    assert column.attrib["x"] == "1"
    assert column.findtext("title") == "Wed 17:08: 9 passed, 4 deferred"


def test_midnights_and_noons_are_those_of_the_wall() -> None:
    texts = [text.text for text in drawn(in_order(busy_view())).iter("text") if "hour" in text.attrib["class"]]
    assert texts == ["18:00", "Tue 25", "06:00", "12:00", "18:00", "Wed 26", "06:00", "12:00"]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "UTC"])
def test_odd_zones_have_midnights(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    days = [text.text for text in drawn(in_order(EMPTY)).iter("text") if text.attrib["class"] == "hour day"]
    assert len(days) in {1, 2}
    assert all(re.fullmatch(r"\w{3} \d{1,2}", day or "") for day in days)


def test_a_day_of_25_hours_has_its_marks() -> None:
    # 03:00 of summer is 02:00 of winter on 26 October 2025.
    texts = [
        text.text
        for text in drawn(in_order(replace(EMPTY, now=1761555600))).iter("text")
        if "day" in text.attrib["class"]
    ]
    assert texts == ["Sun 26", "Mon 27"]


def test_large_numbers_are_short() -> None:
    labels = [text.text for text in drawn([Bucket(0, known=60_000)]).iter("text") if text.attrib["class"] == "count"]
    assert labels == ["20k", "40k", "60k"]


def test_the_picture_has_a_name_and_a_description() -> None:
    chart = ET.fromstring(draw([EVERYTHING], "A & B", "<c>"))
    assert chart.attrib["role"] == "img"
    names = {element.attrib["id"]: element.text for element in chart if "id" in element.attrib}
    assert [names[name] for name in chart.attrib["aria-labelledby"].split()] == ["A & B", "<c>"]
