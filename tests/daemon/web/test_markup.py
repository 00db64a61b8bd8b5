# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from postgrey_py.daemon.web.markup import NARROW, cell, column, meter, moment, number, row, show, stranger, table

HOSTILE = (
    "<script>alert(1)</script>",
    "\"' onmouseover='alert(1)",
    "</title></style></svg><img src=x onerror=alert(1)>",
    "&lt;&amp;&#0;",
    "]]><!--",
    "\0\a\b\t\n\r\x1b[31m\x7f\x80\x9f",
    "\u202eelpmaxe.\u2066moc\u2069\u200f\ufeff\u200b",
    "\ud800\udcff\ufffe\uffff\U000e0001\U0010ffff",
    "\N{HEBREW LETTER ALEF}.example",
    "{{7*7}} ${7*7} %s {0}",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_shown_is_text_and_nothing_else(text: str) -> None:
    content = ET.fromstring(f'<p title="{show(text)}">{show(text)}</p>')
    assert len(content) == 0
    assert set(content.attrib) == {"title"}
    assert content.text == content.attrib["title"]
    assert (content.text or "").isprintable()
    show(text).encode("utf-8")


def test_what_can_be_seen_is_shown_as_it_is() -> None:
    assert ET.fromstring(f"<p>{show(HOSTILE[0])}</p>").text == HOSTILE[0]
    assert show("Zürich 東京 /etc/x") == "Zürich 東京 /etc/x"


def test_what_can_not_be_seen_is_spelled_out() -> None:
    assert show("a\0\n\u202e\udcff\x85") == r"a\x00\n\u202e\udcff\x85"


def test_a_space_that_does_not_break_stays() -> None:
    assert show(f"6{NARROW}min") == f"6{NARROW}min"


def test_a_stranger_s_text_is_kept_apart() -> None:
    assert stranger("<x>") == "<bdi>&lt;x&gt;</bdi>"


def test_a_moment_is_for_people_and_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    element = ET.fromstring(moment(0, "%H:%M"))
    assert element.attrib["datetime"].startswith(("1970-01-01T", "1969-12-31T"))
    assert len(element.text or "") == 5


@pytest.mark.parametrize(
    ("part", "whole", "width"),
    [(1, 4, "25.0%"), (4, 4, "100.0%"), (9, 4, "100.0%"), (0, 4, "0.0%"), (1, 10**9, "0.8%"), (0, 0, "0.0%")],
)
def test_a_bar_has_the_width_of_its_share(part: int, whole: int, width: str) -> None:
    rect = ET.fromstring(meter(part, whole, "waited"))[0]
    assert (rect.attrib["width"], rect.attrib["class"]) == (width, "waited")


def test_a_bar_is_nothing_for_a_screen_reader() -> None:
    assert ET.fromstring(meter(1, 2, "waited")).attrib["aria-hidden"] == "true"


def test_a_table_can_be_read_and_scrolled_without_a_mouse() -> None:
    box = ET.fromstring(table("Cats & dogs", [column("Name"), column("<n>", "n")], [row("Tom", number(1))]))
    assert (box.attrib["role"], box.attrib["tabindex"], box.attrib["aria-label"]) == ("region", "0", "Cats & dogs")
    assert box.findtext("table/caption") == "Cats & dogs"
    assert [th.attrib["scope"] for th in box.iter("th")] == ["col", "col", "row"]
    assert [th.text for th in box.iter("th")] == ["Name", "<n>", "Tom"]


def test_numbers_have_separators_and_zeros_are_pale() -> None:
    assert number(1_234_567) == '<td class="n">1,234,567</td>'
    assert number(0) == '<td class="n zero">0</td>'
    assert cell("x") == "<td>x</td>"
