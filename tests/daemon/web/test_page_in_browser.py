# SPDX-License-Identifier: GPL-2.0-or-later
"""The page in a real Chromium, with the headers that it is sent with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from postgrey_py.daemon.web.page import HEADERS, render
from postgrey_py.daemon.web.view import View
from tests.daemon.conftest import StartServer
from tests.daemon.processes import wait_until
from tests.daemon.web.serving import WebServer
from tests.daemon.web.test_page import VIEWS
from tests.daemon.web.views import busy_view
from tests.support.browser import Page, open_browser
from tests.support.policy import PolicyClient

# Style that no hash allows.
PLANTED = b'<p style="color: red">planted</p><style>p { color: red }</style><script>planted()</script>'


class Host:
    """Serves one view at a time on loopback."""

    def __init__(self) -> None:
        self.octets = b""
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                for name, value in HEADERS.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(host.octets)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def show(self, view: View) -> str:
        self.octets = render(view)
        return self.url


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    thread = threading.Thread(target=host.server.serve_forever, args=(0.05,))
    thread.start()
    yield host
    host.server.shutdown()
    thread.join()
    host.server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    browser.complaints.clear()
    return browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 700, 1200])
@pytest.mark.parametrize("name", VIEWS)
def test_the_page_fits_and_breaks_no_rule(name: str, width: int, scheme: str, page: Page, host: Host) -> None:
    headers = page.open(host.show(VIEWS[name]), width, scheme=scheme)
    assert headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # The style is in force.
    paper = {"light": "rgb(251, 251, 249)", "dark": "rgb(20, 23, 27)"}[scheme]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    assert page.evaluate("document.scripts.length") == 0
    assert page.complaints == []


def test_what_breaks_the_rules_is_noticed(page: Page, host: Host) -> None:
    """The test above would fail."""
    host.octets = render(busy_view()).replace(b"<main>", b"<main>" + PLANTED)
    page.open(host.url)
    assert page.evaluate("getComputedStyle(document.querySelector('main > p')).color") != "rgb(255, 0, 0)"
    assert sum("Content Security Policy" in text for text in page.complaints) >= 2


def test_all_can_be_reached_by_the_keyboard(page: Page, host: Host) -> None:
    page.open(host.show(busy_view()))
    reached = []
    for _ in range(12):
        page.press("Tab")
        name = page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent.slice(0, 40)")
        if name in reached or page.evaluate("document.activeElement === document.body"):
            break
        reached.append(name)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if name == "The numbers behind the chart":
            page.press("Enter")
            assert page.evaluate("document.querySelector('details').open")
    assert reached == [
        "Reload",
        "The numbers behind the chart",
        "Decisions per ten minutes, the newest first",
        "Mails that came back, by the time they had waited",
        "Networks with mail that waits, the most first",
        "Lists in force",
    ]


def test_a_screen_reader_finds_its_way(page: Page, host: Host) -> None:
    page.open(host.show(busy_view()))
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named: dict[str, list[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert named["heading"] == [
        "Greylisting works.",
        "48 hours of decisions, per ten minutes",
        "How long mail waited that came back",
        "Waiting now, by network",
        "Lists",
    ]
    assert [len(named[role]) for role in ("banner", "main", "contentinfo")] == [1, 1, 1]
    # The bars and the signs are silent; the chart has its name and its sentence.
    (chart,) = named["image"]
    assert chart.startswith("Decisions per ten minutes")
    assert "mails passed" in chart
    assert all(named["table"])
    assert "rowheader" in named
    assert "columnheader" in named


def test_the_table_behind_the_chart_scrolls_in_its_own_box(page: Page, host: Host) -> None:
    page.open(host.show(busy_view()), 360)
    page.evaluate("document.querySelector('details').open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    box = "document.querySelector('details .scroll')"
    assert page.evaluate(f"{box}.scrollWidth > {box}.clientWidth")
    assert page.evaluate(f"{box}.clientHeight < 500")


def test_every_layer_is_painted_in_its_colour(page: Page, host: Host, tmp_path: Path) -> None:
    page.open(host.show(busy_view()))
    fills = page.evaluate("[...document.querySelectorAll('.chart path')].map(path => getComputedStyle(path).fill)")
    assert len(fills) == len(set(fills)) == 6
    assert "rgb(0, 0, 0)" not in fills


HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_of_a_real_server_under_hostile_traffic(
    scheme: str, page: Page, start: StartServer, tmp_path: Path
) -> None:
    clients = tmp_path / "clients'<script>"
    clients.write_text(f"example.com\n{HOSTILE}\n")
    web = WebServer(start, f"--whitelist-clients={clients}", f"--hostname={HOSTILE}", "--delay=1")
    with PolicyClient(web.server.port) as client:
        for number in range(40):
            client.ask(sender=f"{HOSTILE}@example.com", recipient=f"{HOSTILE}{number}@example.org", client_name=HOSTILE)
            client.ask(client_address=HOSTILE)
            client.ask(client_address=f"198.51.{number}.1", policy_test_time=str(1_700_000_000))
            client.ask(client_address=f"198.51.{number}.1", policy_test_time=str(1_700_000_300))

        def is_shown() -> bool:
            client.ask()
            page.complaints.clear()
            page.open(web.url, 360, scheme=scheme)
            return bool(page.evaluate("document.querySelectorAll('.chart path').length"))

        wait_until(is_shown)
    assert page.evaluate("document.scripts.length + document.images.length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.complaints == []
    text = page.evaluate("document.body.textContent")
    # Of people nothing is shown but networks.
    assert "example.org" not in text
    assert "How long mail waited" in text


def test_tables_of_waits_and_networks_fit_a_small_screen(page: Page, host: Host) -> None:
    page.open(host.show(busy_view()), 360)
    for heading in ("waits", "waiting"):
        box = f"document.querySelector('[aria-labelledby={heading}] .scroll')"
        assert page.evaluate(f"{box}.scrollWidth <= {box}.clientWidth"), heading
