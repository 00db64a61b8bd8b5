# SPDX-License-Identifier: GPL-2.0-or-later
"""The web server of real servers: what it answers, refuses, and does not let happen."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from postgrey_py.daemon.web.site import MOST_CONNECTIONS
from tests.daemon.conftest import StartServer
from tests.daemon.processes import wait_until
from tests.daemon.web.serving import WebServer
from tests.support.policy import PolicyClient, ask
from tests.support.servers import PolicyServer


@pytest.fixture
def web(start: StartServer) -> WebServer:
    return WebServer(start)


def talk(port: int, octets: bytes) -> bytes:
    """All that is answered to these octets."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(octets)
        answer = b""
        while not answer.endswith(b"\r\n\r\n") and (more := connection.recv(65536)):
            answer += more
    return answer


def test_page_shows_what_happens(web: WebServer) -> None:
    assert "Greylisting is ready." in web.get("/").body
    ask(web.server.port)

    def is_shown() -> bool:
        answer = web.get("/")
        return "Greylisting works." in answer.body and "1 decision in the last 24 hours" in answer.body

    wait_until(is_shown)
    headers = web.get("/").headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert headers["Server"] == "postgrey"


def test_page_tells_of_a_pause_and_of_lists(start: StartServer, tmp_path: Path) -> None:
    clients = tmp_path / "clients<b>"
    clients.write_text("example.com\n192.0.2.0/99\n")
    web = WebServer(start, f"--whitelist-clients={clients}", "--training")
    body = web.get("/").body
    assert "Greylisting is in training." in body
    assert "1 line or file of the lists not in force" in body
    assert "clients&lt;b&gt;" in body
    assert "changed since" not in body
    clients.write_text("example.net\n")
    os.utime(clients, (2_000_000_000, 2_000_000_000))
    wait_until(lambda: "changed since" in web.get("/").body)


@pytest.mark.parametrize(("path", "body"), [("/health", "healthy\n"), ("/ready", "ready\n")])
def test_health(web: WebServer, path: str, body: str) -> None:
    answer = web.get(path)
    assert (answer.status, answer.body, answer.headers["Cache-Control"]) == (200, body, "no-store")


@pytest.mark.parametrize("path", ["/", "/metrics", "/health", "/ready"])
def test_only_get_is_allowed(web: WebServer, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert web.get(path, method).status == 405, method
    answer = web.get(path, "HEAD")
    assert (answer.status, answer.body) == (200, "")


@pytest.mark.parametrize("path", ["/admin", "/../etc/passwd", "/%2e%2e/", "//", "/metrics/"])
def test_there_is_nothing_else(web: WebServer, path: str) -> None:
    assert web.get(path).status == 404


@pytest.mark.parametrize(
    "octets",
    [
        b"GARBAGE\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_request_gets_a_400(web: WebServer, octets: bytes) -> None:
    version, status, *_ = talk(web.port, octets).split()
    assert (version[:5], status) == (b"HTTP/", b"400")
    assert ask(web.server.port).startswith("DEFER_IF_PERMIT ")
    # It is nobody's bug.
    assert "<2>" not in web.server.log()
    assert "Traceback" not in web.server.log()


def test_too_many_connections_are_refused_and_others_go_on(web: WebServer) -> None:
    with ExitStack() as stack:
        kept = [
            stack.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=20))
            for _ in range(MOST_CONNECTIONS)
        ]
        wait_until(lambda: talk(web.port, b"").startswith(b"HTTP/1.1 503 "))
        kept[0].sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept[0].recv(65536).startswith(b"HTTP/1.1 200 ")
        assert ask(web.server.port).startswith("DEFER_IF_PERMIT ")
    wait_until(lambda: web.get("/ready").status == 200)


SHORT = "import sys; from postgrey_py.daemon.web import site; site.CONNECTION_SECONDS = 0.3;"
RUN = "from postgrey_py.daemon.main import main; sys.exit(main(sys.argv[1:]))"


def test_connection_on_which_nothing_comes_is_closed(start: StartServer) -> None:
    web = WebServer(lambda *options: start(*options, command=(sys.executable, "-c", SHORT + RUN)))
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
        connection.sendall(b"GET /ready HTT")
        assert connection.recv(100) == b""


def test_stop_waits_for_nobody(web: WebServer) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
        connection.sendall(b"GET /ready HTT")
        web.server.stop()


def test_bug_in_an_answer_is_logged_and_mail_goes_on(start: StartServer) -> None:
    code = "import sys; from postgrey_py.daemon.web import site; site.find_problems = lambda engine: 1 / 0;"
    web = WebServer(lambda *options: start(*options, command=(sys.executable, "-c", code + RUN)))
    assert web.get("/health").status == 500
    web.server.wait_for_log("a bug, in '/health' of --metrics: ZeroDivisionError")
    assert ask(web.server.port).startswith("DEFER_IF_PERMIT ")


def test_port_that_is_taken_costs_the_metrics_only(start: StartServer) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        server: PolicyServer = start(f"--metrics=127.0.0.1:{holder.getsockname()[1]}")
        assert "there are no metrics" in server.log()
        assert ask(server.port).startswith("DEFER_IF_PERMIT ")


def test_library_that_does_not_work_costs_the_metrics_only(start: StartServer) -> None:
    code = "import sys; sys.modules['aiohttp.web'] = None;"
    server: PolicyServer = start("--metrics=127.0.0.1:0", command=(sys.executable, "-c", code + RUN))
    server.wait_for_log("there are no metrics: ")
    with PolicyClient(server.port) as client:
        assert client.ask().startswith("DEFER_IF_PERMIT ")
