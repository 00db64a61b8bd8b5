# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest

from postgrey_py.daemon.web import sections
from postgrey_py.daemon.web.markup import NARROW
from postgrey_py.daemon.web.view import Bucket, ListFile, View, WaitBin, Waiting, WaitingNetwork, Waits
from tests.daemon.web.pages import rows_of, text_of
from tests.daemon.web.views import EMPTY, NOW, busy_view

HOUR = 3600
LAST = NOW - NOW % 600


def read(make: Callable[[View], str], view: View) -> ET.Element:
    return ET.fromstring(make(view).replace(NARROW, " "))


def values(view: View) -> list[list[str]]:
    return [[text_of(part) for part in figure] for figure in read(sections.figures, view).findall("dl/div")]


def test_four_figures() -> None:
    assert values(busy_view()) == [
        ["Decisions in 24 hours", "4,926", "8 % fewer than the day before"],
        ["Never came back", "56 %", "of first tries, so far"],
        ["Typical wait", "6 min", "95 % within 83 min"],
        ["Waiting now", "143", "from 41 networks"],
    ]


def test_figures_of_nothing() -> None:
    assert values(EMPTY) == [
        ["Decisions in 24 hours", "0", "nothing to compare with"],
        ["Never came back", "–", "of first tries, so far"],  # noqa: RUF001
        ["Typical wait", "–", "nothing has come back yet"],  # noqa: RUF001
        ["Waiting now", "–", "not counted yet"],  # noqa: RUF001
    ]


def test_the_numbers_behind_the_chart_are_all_there() -> None:
    first, last = Bucket(LAST - 6000, 3, 1, 4, 5, 6, 7, 8), Bucket(LAST, known=1_000_000)
    section = read(sections.decisions, replace(EMPTY, buckets=(first, last)))
    rows = rows_of(section)
    assert [row[1:] for row in rows] == [
        ["1,000,000", "0", "0", "0", "0", "0", "0"],
        ["6", "7", "5", "8", "2", "1", "4"],
    ]
    heads = [[text_of(th) for th in row if row.tag == "tr"] for row in section.findall(".//thead/tr")]
    assert heads[0] == ["", "Passed", "Deferred"]
    assert len(heads[1]) == len(rows[0])


def test_the_legend_has_the_sums() -> None:
    view = replace(EMPTY, buckets=(Bucket(LAST - 600, first=2, known=3), Bucket(LAST, first=1, returned=1, known=1)))
    legend = read(sections.decisions, view).find("figure/figcaption")
    assert legend is not None
    assert text_of(legend) == "Passed 4 known 4 Deferred 3 never came back 2 came back later 1"


def test_without_mail_there_is_no_chart() -> None:
    section = read(sections.decisions, EMPTY)
    assert section.find(".//svg") is None
    assert "begins with the first mail" in text_of(section)


def test_waits_add_up_to_all() -> None:
    bins = (WaitBin(300, 0), WaitBin(600, 3), WaitBin(3600, 0), WaitBin(None, 1))
    section = read(sections.waits, replace(EMPTY, waits=Waits(bins, 400, 9000)))
    # Nothing can pass before the delay is over: what is before the first mail is left out.
    assert rows_of(section) == [
        ["5 min to 10 min", "", "3", "75 %"],
        ["10 min to 1 h", "", "0", "75 %"],
        ["over 1 h", "", "1", "100 %"],
    ]


def test_a_short_delay_has_its_bin() -> None:
    assert rows_of(read(sections.waits, replace(EMPTY, waits=Waits((WaitBin(60, 1),), 1, 1)))) == [
        ["up to 1 min", "", "1", "100 %"]
    ]


def test_when_nothing_came_back_it_says_when_it_may() -> None:
    assert "5 min after" in text_of(read(sections.waits, EMPTY))


def test_networks_that_wait() -> None:
    networks = (WaitingNetwork("192.0.2.0/24", 5, NOW - 90), WaitingNetwork("2001:db8::/64", 1, NOW - HOUR))
    now = Waiting(NOW, mails=9, all_networks=4, networks=networks)
    section = read(sections.waiting, replace(EMPTY, waiting=now))
    assert rows_of(section) == [["192.0.2.0/24", "", "5", "90 s"], ["2001:db8::/64", "", "1", "60 min"]]
    assert text_of(section).endswith("And 3 mails from 2 further networks.")


def test_with_hashes_the_number_is_all_that_is_known() -> None:
    section = read(sections.waiting, replace(EMPTY, waiting=Waiting(NOW, mails=7, hidden=7)))
    assert rows_of(section) == []
    assert "7 mails of which the network is not known" in text_of(section)
    assert "further" not in text_of(section)


@pytest.mark.parametrize(("now", "text"), [(Waiting(), "Not counted"), (Waiting(NOW), "Nothing waits.")])
def test_nothing_that_waits(now: Waiting, text: str) -> None:
    section = read(sections.waiting, replace(EMPTY, waiting=now))
    assert text in text_of(section)
    assert section.find(".//table") is None


def test_lists_with_their_files_and_age() -> None:
    lists = (
        ListFile("client", ("/etc/a", "/etc/<b>"), entries=1234, unused=0, read_at=NOW - HOUR),
        ListFile("recipient", (), entries=0, unused=2, read_at=NOW - 90, is_changed=True),
    )
    section = read(sections.lists, replace(EMPTY, lists=lists))
    client, recipient = rows_of(section)
    assert client[:3] == ["client /etc/a /etc/<b>", "1,234", "0"]
    assert client[3].startswith("60 min ago ")
    assert recipient[:3] == ["recipient", "0", "2"]
    assert recipient[3].endswith(" changed since")
    assert len(section.findall(".//tr[2]//strong[@class='worry']")) == 2


def test_no_lists() -> None:
    assert "There are none." in text_of(read(sections.lists, EMPTY))


def test_the_foot_says_what_the_server_is() -> None:
    view = replace(EMPTY, started_at=NOW - HOUR, triplets=1_000_000, clients=1)
    assert text_of(read(sections.foot, view)).startswith(
        "postgrey-py 1.0 · up 60 min · 1,000,000 triplets · 1 client · "
    )
    assert "triplet" not in text_of(read(sections.foot, EMPTY))
