# SPDX-License-Identifier: GPL-2.0-or-later
"""What is for Prometheus and Grafana, with a real Prometheus that scrapes a real server."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import StartServer, start
from tests.daemon.processes import wait_until
from tests.daemon.web.serving import WebServer
from tests.support.policy import PolicyClient
from tests.support.servers import ROOT, free_port

__all__ = ["start"]

MONITORING = ROOT / "doc/monitoring"
RULES = MONITORING / "postgrey-alerts.yml"
TESTS = sorted(MONITORING.glob("*.test.yml"))
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "postgrey-dashboard.json").read_text())
EXPRESSIONS = {target["expr"]: panel["title"] for panel in DASHBOARD["panels"] for target in panel["targets"]}

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: postgrey
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """A Prometheus that listens on loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def answers(self) -> bool:
        try:
            self.get("status/buildinfo")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


@contextmanager
def prometheus(directory: Path, scraped_port: int) -> Iterator[Prometheus]:
    configuration = directory / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(rules=RULES, port=scraped_port))
    port = free_port()
    command = (
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with open(directory / "prometheus.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        found = Prometheus(port)
        wait_until(found.answers)
        yield found
    finally:
        process.terminate()
        process.wait(30)


def promtool(*arguments: str | Path) -> None:
    result = subprocess.run(("promtool", *arguments), capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_rules_are_sound() -> None:
    promtool("check", "rules", RULES)


def test_rules_alert_of_what_they_should() -> None:
    promtool("test", "rules", *TESTS)


def test_every_alert_has_a_test() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tests = "".join(path.read_text() for path in TESTS)
    tested = re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n", tests)
    assert set(tested) == alerts


def test_metrics_are_as_prometheus_wants_them(start: StartServer) -> None:
    text = WebServer(start).get("/metrics").body
    result = subprocess.run(("promtool", "check", "metrics"), input=text, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_prometheus_finds_all_that_rules_and_dashboard_ask_for(start: StartServer, tmp_path: Path) -> None:
    web = WebServer(start)
    with prometheus(tmp_path, web.port) as scraper, PolicyClient(web.server.port) as client:

        def is_scraped() -> bool:
            client.ask(policy_test_time=str(1_700_000_000))
            client.ask(policy_test_time=str(1_700_000_400))
            return bool(scraper.query("rate(postgrey_wait_seconds_count[1m]) > 0"))

        wait_until(is_scraped, 60)
        (up,) = scraper.query("up")
        assert up["value"][1] == "1"
        for expression, title in EXPRESSIONS.items():
            asked = expression.replace("$job", "postgrey").replace("$instance", ".*").replace("$__rate_interval", "1m")
            # Nothing passed because of an outage.
            if "unjudged" not in asked:
                assert scraper.query(asked), title
        rules = [rule for group in scraper.get("rules")["groups"] for rule in group["rules"]]
        assert len(rules) == 8
        wait_until(
            lambda: all(rule["health"] == "ok" for group in scraper.get("rules")["groups"] for rule in group["rules"])
        )
        for name in set(re.findall(r"postgrey_\w+", RULES.read_text())):
            assert scraper.query(name), name


def test_dashboard_asks_for_nothing_twice() -> None:
    targets = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert sorted(targets) == sorted(EXPRESSIONS)


@pytest.mark.parametrize("one", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_panels_overlap_nobody(one: dict[str, Any]) -> None:
    def area(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    assert not any(area(one) & area(other) for other in DASHBOARD["panels"] if other["id"] != one["id"])
