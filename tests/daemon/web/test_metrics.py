# SPDX-License-Identifier: GPL-2.0-or-later
"""/metrics of real servers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from postgrey_py import __version__
from postgrey_py.daemon.web.metrics import label
from postgrey_py.greylist.decision import Reason
from tests.daemon.conftest import StartServer
from tests.daemon.processes import wait_until
from tests.daemon.web.serving import WebServer
from tests.support.control import ControlClient
from tests.support.policy import PolicyClient


def parse_text(body: str) -> list[Metric]:
    return list(text_string_to_metric_families(body))


def parse_openmetrics(body: str) -> list[Metric]:
    return list(openmetrics.text_string_to_metric_families(body))  # type: ignore[no-untyped-call]


@pytest.fixture
def web(start: StartServer) -> WebServer:
    return WebServer(start)


def test_decisions_are_counted_by_action_and_reason(web: WebServer) -> None:
    with PolicyClient(web.server.port) as client:
        for _ in range(3):
            client.ask(policy_test_time=str(1_700_000_000))
        client.ask(policy_test_time=str(1_700_000_400))
        client.ask(client_address="nonsense")
    wait_until(lambda: web.metric('postgrey_decisions_total{action="greylist",reason="new"}') == 3)
    assert web.metric('postgrey_decisions_total{action="pass",reason="triplet_found"}') == 1
    assert web.metric('postgrey_decisions_total{action="pass",reason="unknown_address"}') == 1
    assert web.metric('postgrey_wait_seconds_bucket{le="300"}') == 0
    assert web.metric('postgrey_wait_seconds_bucket{le="600"}') == 1
    assert web.metric("postgrey_wait_seconds_sum") == 400


def test_each_request_is_measured_once(web: WebServer) -> None:
    with PolicyClient(web.server.port) as one, PolicyClient(web.server.port) as two:
        for client in (one, two, one):
            client.ask()
    wait_until(lambda: web.metric("postgrey_request_duration_seconds_count") == 3)
    assert web.metric("postgrey_batch_requests_sum") == 3
    assert web.metric("postgrey_request_duration_seconds_sum") > 0
    # Each turn with a new triplet is one flush, those at the start have made some more.
    assert web.metric("postgrey_commit_duration_seconds_count") >= 1


def test_state_of_the_server(web: WebServer) -> None:
    with ControlClient(web.server.dbdir) as control:
        control.result("pause")
        control.result("allow", seconds=900, sender="example.com")
        control.result("clean-up")
    wait_until(lambda: web.metric("postgrey_paused") == 1)
    assert web.metric("postgrey_allowances") == 1
    assert web.metric("postgrey_database_up") == 1
    assert web.metric("postgrey_clean_up_running") == 0
    assert web.metric('postgrey_last_clean_up_removed_records{database="triplets"}') == 0
    assert web.metric('postgrey_database_bytes{database="triplets"}') == os.path.getsize(
        web.server.dbdir / "postgrey.db"
    )
    assert re.search(f'postgrey_build_info{{.*version="{re.escape(__version__)}"}} 1.0', web.get("/metrics").body)


def test_database_that_is_away(web: WebServer, tmp_path: Path) -> None:
    os.rename(web.server.dbdir, tmp_path / "away")

    def is_told() -> bool:
        with PolicyClient(web.server.port) as client:
            client.ask()
        return web.metric("postgrey_database_up") == 0 and web.metric("postgrey_unjudged_requests_total") > 0

    wait_until(is_told)
    assert web.metric("postgrey_outages_total") == 1
    health = web.get("/health")
    assert (health.status, health.body.startswith("the database is down")) == (503, True)
    # It still answers.
    assert web.get("/ready").status == 200


def test_both_formats_are_well_formed(web: WebServer) -> None:
    text = web.get("/metrics")
    assert text.headers["Content-Type"].startswith("text/plain; version=")
    # This parser has no type for information.
    names = {family.name.removesuffix("_info") for family in parse_text(text.body)}
    accepted = web.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert accepted.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(accepted.body)} == names
    assert all(name.startswith(("postgrey_", "process_")) for name in names)


def test_labels_take_few_values(web: WebServer) -> None:
    """Nothing that strangers can choose."""
    with PolicyClient(web.server.port) as client:
        client.ask(sender='evil"}\\ 1@example.com', client_name='x{a="b"}', recipient="who@example.org")
    body = web.get("/metrics").body
    assert "evil" not in body
    assert "example.org" not in body
    found = set(re.findall(r'reason="([^"]*)"', body))
    assert found == {label(reason) for reason in Reason}
