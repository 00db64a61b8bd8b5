# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the page as a browser and a screen reader would."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser

from postgrey_py.daemon.web.page import render
from postgrey_py.daemon.web.view import View

VOID = {"meta", "link", "br"}


def parse(view: View) -> ET.Element:
    """The page as XML, which is stricter than HTML."""
    return ET.fromstring(render(view).decode("utf-8"))


def text_of(element: ET.Element) -> str:
    """The words in an element."""
    return " ".join(" ".join(element.itertext()).split())


def section(page: ET.Element, name: str) -> ET.Element:
    """The section with this heading."""
    found = page.find(f".//section[@aria-labelledby='{name}']")
    assert found is not None
    return found


def rows_of(element: ET.Element) -> list[list[str]]:
    """The cells of the first table in an element, without its head."""
    return [[text_of(cell) for cell in row] for row in element.findall(".//tbody/tr")]


class Balance(HTMLParser):
    """Checks that the elements of a page, read as HTML, are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), tag
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # HTML knows this form for its void elements and in SVG only.
        assert tag in VOID or "svg" in self.open or tag == "svg", tag
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
