# SPDX-License-Identifier: GPL-2.0-or-later
"""`--log-format=json`: every line of the log is an object, and that of a decision has all that was decided."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.daemon.json_lines import LEVELS, JsonFormat
from postgrey_py.daemon.logs import Log
from postgrey_py.greylist.loglines import Level, LogLine, complaint
from tests.support.policy import ask
from tests.support.servers import POSTGREY, PolicyServer

NOW = 1_795_250_913.123456
FORMAT = JsonFormat(lambda: NOW)


def read(line: LogLine) -> dict[str, Any]:
    found = json.loads(FORMAT(line))
    assert isinstance(found, dict)
    return found


def test_line_has_time_level_and_text() -> None:
    found = read(complaint("a pattern is wrong"))
    assert datetime.fromisoformat(found.pop("time")).timestamp() == pytest.approx(NOW, abs=0.001)
    assert found == {"level": "warning", "message": "a pattern is wrong"}


def test_fields_follow() -> None:
    line = LogLine(Level.NOTICE, "action=pass", fields={"action": "pass", "entry": None})
    assert list(read(line)) == ["time", "level", "message", "action", "entry"]


def test_all_levels_have_names() -> None:
    assert LEVELS.keys() == set(Level)


@given(st.text(st.characters(max_codepoint=255)))
def test_any_octets_make_a_line_of_ascii(text: str) -> None:
    line = FORMAT(LogLine(Level.NOTICE, text))
    assert line.isascii()
    assert line.isprintable()
    octets = text.encode("latin-1")
    assert json.loads(line)["message"].encode("utf-8", "surrogateescape") == octets


class Sink:
    """A sink that takes lines only when it is willing."""

    def __init__(self) -> None:
        self.is_willing = True
        self.lines: list[tuple[Level, str]] = []

    def write(self, lines: list[tuple[Level, str]]) -> int:
        if not self.is_willing:
            return len(lines)
        self.lines += lines
        return 0


def test_lost_lines_are_told_by_an_object_too() -> None:
    sink = Sink()
    log = Log(sink, format_line=FORMAT)
    sink.is_willing = False
    log.line(Level.NOTICE, "one")
    sink.is_willing = True
    log.line(Level.INFO, "below the threshold")
    log.line(Level.NOTICE, "two")
    messages = [json.loads(text)["message"] for _, text in sink.lines]
    assert messages == ["1 lines lost: the log did not take them", "two"]


def test_log_of_a_server(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("# ours\nwhite.example\n")
    options = ["--log-format=json", f"--whitelist-clients={clients}"]
    with PolicyServer(POSTGREY, tmp_path / "db", options) as server:
        ask(server.port, sender="ali\xefce@example.com", instance="m.1", queue_id="4XYZ")
        ask(server.port, client_name="mx.white.example")
        ask(server.port, sender=None)
        ask(server.port, policy_test_time=1_700_000_000, recipient="carol@example.org", instance="a")
        ask(server.port, policy_test_time=1_700_000_400, recipient="carol@example.org", instance="b")
        server.stop()
        objects = [json.loads(line) for line in server.log().splitlines()]
    assert all({"time", "level", "message"} <= one.keys() for one in objects)
    deferred, listed, missing, first, passed = (one for one in objects if "action" in one)
    assert deferred["message"].startswith("4XYZ: action=greylist, reason=new, client_name=mail.example.com")
    key = "192.0.2.0/ali\udcefce@example.com/bob@example.org"
    (value,) = deferred["triplets"].values()
    time = int(value.split(",")[0])
    assert {name: value for name, value in deferred.items() if name not in ("time", "message")} == {
        "level": "notice",
        "action": "greylist",
        "reason": "new",
        "detail": "",
        "wait": 300,
        "delay": None,
        "entry": None,
        "client_address": "192.0.2.7",
        "client_name": "mail.example.com",
        "sender": "ali\udcefce@example.com",
        "recipient": "bob@example.org",
        "queue_id": "4XYZ",
        "suspicions": [],
        "instance": "m.1",
        "waited": None,
        "notes": [],
        "triplets": {key: f"{time},{time}"},
        "clients": {},
    }
    assert listed["entry"] == {"file": os.fspath(clients), "line": 2, "text": "white.example"}
    assert (missing["level"], missing["reason"], missing["detail"]) == ("warning", "attribute missing", "sender")
    assert first["wait"] == 300
    assert (passed["waited"], passed["delay"], passed["clients"]) == (400, 400, {"192.0.2.7": "1,1700000400"})
