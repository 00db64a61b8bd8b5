# SPDX-License-Identifier: GPL-2.0-or-later
"""The file with the counts, alone and with real servers that stop, are killed, and start again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.daemon.history import HISTORY_NAME, History, format_history, parse_history
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.tally import Tally
from postgrey_py.daemon.worker import Worker
from postgrey_py.greylist.decision import Action, Decision, Reason
from tests.daemon.conftest import StartServer
from tests.support.control import ControlClient
from tests.support.logs import Memory
from tests.support.policy import ask

NOW = 1_700_000_400
NEW = Decision(Action.GREYLIST, Reason.NEW, wait=300)
RETURNED = Decision(Action.PASS, Reason.TRIPLET_FOUND, waited=310)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def make(dbdir: Path, memory: Memory) -> tuple[Tally, History]:
    tally = Tally(NOW)
    return tally, History(str(dbdir), tally, Log(memory), lambda: NOW, dbdir.exists)


def test_counts_come_back_as_they_were(tmp_path: Path, memory: Memory, worker: Worker) -> None:
    tally, history = make(tmp_path, memory)
    for decision in (NEW, NEW, RETURNED):
        tally.count(decision, NOW)
    asyncio.run(history.write(worker))
    later, read = make(tmp_path, memory)
    read.read()
    assert later.spans(NOW) == tally.spans(NOW)
    assert memory.lines == []


def test_no_file_is_no_trouble(tmp_path: Path, memory: Memory) -> None:
    _, history = make(tmp_path, memory)
    history.read()
    assert memory.lines == []


GOOD: dict[str, Any] = json.loads(format_history(Tally(NOW).spans(NOW)))
SPAN = GOOD["spans"][0]


WRONG: list[dict[str, Any]] = [
    {"start": "x"},
    {"start": True},
    {"unseen": -1},
    {"returned": 1.5},
    {"counts": []},
    {"counts": {"new": "many"}},
    {"waits": {"x": 1}},
    {"waits": {"1": None}},
    {"waits": 7},
]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps({**GOOD, "version": 2}).encode(),
        json.dumps({**GOOD, "spans": [1]}).encode(),
        *(json.dumps({**GOOD, "spans": [{**SPAN, **wrong}]}).encode() for wrong in WRONG),
    ],
)
def test_damaged_file_is_told_of_and_counts_nothing(tmp_path: Path, memory: Memory, content: bytes) -> None:
    (tmp_path / HISTORY_NAME).write_bytes(content)
    tally, history = make(tmp_path, memory)
    history.read()
    assert [sum(span.counts) for span in tally.spans(NOW)] == [0]
    assert len(memory.lines) == 1
    assert f"{HISTORY_NAME} is damaged" in memory.lines[0]


def test_reason_of_a_later_version_is_left_out() -> None:
    spans = [{**SPAN, "counts": {"new": 2, "a later reason": 3}}]
    (span,) = parse_history(json.dumps({**GOOD, "spans": spans}).encode())
    assert sum(span.counts) == span.count_of(Reason.NEW) == 2


def test_file_that_can_not_be_written_is_told_of_once(tmp_path: Path, memory: Memory, worker: Worker) -> None:
    (tmp_path / f"{HISTORY_NAME}.new").mkdir()
    _, history = make(tmp_path, memory)
    for _ in range(3):
        asyncio.run(history.write(worker))
    assert len(memory.lines) == 1
    assert "can't write" in memory.lines[0]


def test_nothing_is_written_where_the_database_is_not_any_more(tmp_path: Path, memory: Memory, worker: Worker) -> None:
    dbdir = tmp_path / "away"
    _, history = make(dbdir, memory)
    asyncio.run(history.write(worker))
    assert memory.lines == []
    assert list(tmp_path.iterdir()) == []


def test_file_that_can_not_be_read_is_told_of(tmp_path: Path, memory: Memory) -> None:
    (tmp_path / HISTORY_NAME).mkdir()
    _, history = make(tmp_path, memory)
    history.read()
    assert "can't read" in memory.lines[0]


def today(dbdir: Path) -> dict[str, Any]:
    with ControlClient(dbdir) as client:
        found: dict[str, Any] = client.result("status")["today"]
    return found


def test_server_goes_on_counting_after_a_restart(start: StartServer, tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("white.example\n")
    options = (f"--whitelist-clients={clients}", "--delay=1")
    server = start(*options)
    ask(server.port)
    ask(server.port, client_name="mail.white.example", client_address="198.51.100.1")
    # The same mail, seconds later.
    ask(server.port, policy_test_time=str(4), sender="time@example.com")
    ask(server.port, policy_test_time=str(9), sender="time@example.com")
    before = today(server.dbdir)
    assert before["decisions"] == [
        {"action": "pass", "reason": "client whitelist", "count": 1},
        {"action": "greylist", "reason": "new", "count": 2},
        {"action": "pass", "reason": "triplet found", "count": 1},
    ]
    assert (before["unseen"], before["delays"]) == (0, {"count": 1, "median": 5, "p95": 5})
    server.stop()
    assert today(start(*options, dbdir=server.dbdir).dbdir) == before
