# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from urllib.parse import unquote

import pytest

from postgrey_py.daemon.web.page import HEADERS, render
from postgrey_py.daemon.web.view import (
    BUCKETS,
    Bucket,
    ListFile,
    Mode,
    Trouble,
    View,
    WaitBin,
    Waiting,
    WaitingNetwork,
    Waits,
)
from tests.daemon.web.pages import Balance, parse, section, text_of
from tests.daemon.web.test_markup import HOSTILE
from tests.daemon.web.views import EMPTY, NOW, busy_view, troubled_view

HUGE = 10**15
LAST = NOW - NOW % 600


def hostile_view(text: str) -> View:
    """A view with this text wherever a text is."""
    return replace(
        busy_view(),
        version=text,
        host=text,
        mode=Mode.PAUSED,
        mode_detail=text,
        troubles=(Trouble(text), Trouble(text, is_grave=True)),
        waiting=Waiting(NOW, 9, 9, 1, (WaitingNetwork(text, 2, NOW),)),
        lists=(ListFile(text, (text, text), 1, 1, NOW),),
    )


VIEWS = {
    "empty": EMPTY,
    "busy": busy_view(),
    "troubled": troubled_view(),
    "one bucket": replace(EMPTY, buckets=(Bucket(LAST, first=1),)),
    "training": replace(busy_view(), mode=Mode.TRAINING, mode_detail="What would be deferred passes."),
    "paused": replace(busy_view(), mode=Mode.PAUSED, mode_detail="By root, until 14:05."),
    "hashes": replace(busy_view(), waiting=Waiting(NOW, 12, 0, 12)),
    "huge": replace(
        busy_view(),
        started_at=0,
        buckets=tuple(
            Bucket(start, HUGE, 1, HUGE, HUGE, HUGE, HUGE, HUGE) for start in range(LAST - 600 * BUCKETS, LAST + 1, 600)
        ),
        waits=Waits((WaitBin(300, HUGE), WaitBin(None, HUGE)), HUGE, HUGE),
        waiting=Waiting(NOW, HUGE, HUGE, HUGE, (WaitingNetwork("192.0.2.0", HUGE, 0),)),
        triplets=HUGE,
        clients=HUGE,
    ),
    "a clock that jumped": replace(
        busy_view(),
        started_at=NOW + 1000,
        waiting=Waiting(NOW + 9, 1, 1, 0, (WaitingNetwork("192.0.2.0", 1, NOW + 99),)),
        lists=(ListFile("client", (), 1, 0, NOW + 99),),
    ),
    **{f"hostile {number}": hostile_view(text) for number, text in enumerate(HOSTILE)},
}
views = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)


@views
def test_the_page_is_well_formed_by_both_kinds_of_parser(view: View) -> None:
    assert parse(view).tag == "html"
    balance = Balance()
    balance.feed(render(view).decode("utf-8"))
    balance.close()
    assert balance.open == []


@views
def test_the_page_has_nothing_active_and_nothing_from_elsewhere(view: View) -> None:
    elements = list(parse(view).iter())
    assert {element.tag for element in elements}.isdisjoint({"script", "img", "iframe", "form", "object", "base"})
    names = {name for element in elements for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or name in {"style", "src", "srcset", "action"}}
    links = {element.attrib["href"] for element in elements if "href" in element.attrib}
    assert all(link == "" or link.startswith("data:image/svg+xml,%3Csvg") for link in links)
    assert "url(" not in text_of(next(element for element in elements if element.tag == "style"))


@views
def test_the_page_can_be_found_around_in(view: View) -> None:
    page = parse(view)
    assert page.attrib["lang"] == "en"
    assert [len(page.findall(f"body/{landmark}")) for landmark in ("header", "main", "footer")] == [1, 1, 1]
    levels = [element.tag for element in page.iter() if re.fullmatch(r"h\d", element.tag)]
    assert levels == ["h1", "h2", "h2", "h2", "h2"]
    ids = [element.attrib["id"] for element in page.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    for element in page.iter():
        assert set(element.attrib.get("aria-labelledby", "").split()) <= set(ids)
    for table in page.iter("table"):
        assert table.findtext("caption")
        assert all(th.attrib["scope"] in {"col", "row", "colgroup"} for th in table.iter("th"))
    for picture in page.iter("svg"):
        is_inner = "viewBox" in picture.attrib and "preserveAspectRatio" in picture.attrib
        assert is_inner or picture.attrib.get("role") == "img" or picture.attrib.get("aria-hidden") == "true"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_text_wherever_it_stands(text: str) -> None:
    # The same elements as with a harmless text, in the same order.
    assert [element.tag for element in parse(hostile_view(text)).iter()] == [
        element.tag for element in parse(hostile_view("harmless")).iter()
    ]


def test_the_style_is_allowed_by_its_hash_and_nothing_else_is() -> None:
    style = re.search("<style>(.*?)</style>", render(EMPTY).decode(), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_style_needs_no_escaping() -> None:
    """It stands in the page as it is, in XML as in HTML."""
    style = parse(EMPTY).findtext("head/style")
    assert style
    assert f"<style>{style}</style>" in render(EMPTY).decode()


def test_the_other_headers() -> None:
    assert HEADERS["Content-Type"] == "text/html; charset=utf-8"
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Referrer-Policy"] == "no-referrer"
    assert HEADERS["Cache-Control"] == "no-store"


def test_the_state_is_said_first() -> None:
    page = parse(busy_view())
    assert page.findtext("head/title") == "Greylisting works · mx1.example.org"
    main = page.find("body/main")
    assert main is not None
    assert text_of(main).startswith("Greylisting works. 4,926 decisions in the last 24 hours. Of 1,618 mails")


def test_what_is_wrong_is_said_before_what_could_be_better() -> None:
    health = section(parse(troubled_view()), "health")
    assert health.attrib["class"] == "health bad"
    items = [(item.attrib["class"], text_of(item)) for item in health.iter("li")]
    assert [kind for kind, _ in items] == ["bad", "worry"]
    assert items[0][1].startswith("/var/lib/postgrey/log.0000000012: No space left on device:")


def test_a_server_that_is_not_asked_says_so() -> None:
    buckets = tuple(replace(one, start=one.start - 7200) for one in busy_view().buckets)
    health = section(parse(replace(busy_view(), buckets=buckets)), "health")
    assert "Nobody has asked for" in text_of(health)


def test_the_sign_in_the_tab_is_a_picture_of_the_state() -> None:
    icons = set()
    for view in (busy_view(), troubled_view(), VIEWS["training"]):
        link = parse(view).find("head/link")
        assert link is not None
        icons.add(link.attrib["href"])
        assert ET.fromstring(unquote(link.attrib["href"]).partition(",")[2]).tag.endswith("svg")
    assert len(icons) == 3


# Colours: relative luminance and contrast as WCAG 2.2 has them.


def colors(scheme: str) -> dict[str, str]:
    """The colours of the style sheet by name."""
    style = parse(EMPTY).findtext("head/style") or ""
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light if scheme == "light" else dark))


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    parts = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


def test_contrast_is_computed_as_the_guidelines_have_it() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@schemes
@pytest.mark.parametrize("name", ["ink", "faint", "well", "worry", "bad", "paused"])
def test_text_can_be_read(scheme: str, name: str) -> None:
    assert contrast(colors(scheme)[name], colors(scheme)["paper"]) >= (7 if name == "ink" else 5)


@schemes
@pytest.mark.parametrize("name", ["known", "listed", "waited", "unchecked", "lost", "returned", "early", "focus"])
def test_shapes_can_be_seen(scheme: str, name: str) -> None:
    assert contrast(colors(scheme)[name], colors(scheme)["paper"]) >= 3


@schemes
@pytest.mark.parametrize(
    ("one", "other"),
    [("known", "listed"), ("listed", "waited"), ("waited", "unchecked"), ("lost", "returned"), ("returned", "early")],
)
def test_neighbours_differ_in_lightness(scheme: str, one: str, other: str) -> None:
    """Who does not see colours can tell them apart."""
    assert contrast(colors(scheme)[one], colors(scheme)[other]) >= 1.25


def test_both_schemes_have_all_colours_that_are_used() -> None:
    style = parse(EMPTY).findtext("head/style") or ""
    assert set(colors("light")) == set(colors("dark")) == set(re.findall(r"var\(--(\w+)\)", style))
