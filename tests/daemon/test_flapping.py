# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that fails in one place, or now and then: few words, all of them true, and nothing lost that was answered."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.daemon.conftest import StartServer
from tests.daemon.processes import stop_once
from tests.daemon.test_failures import FAILED, WORKS, Load, check_promises, set_aside, start_at_journal
from tests.support.faults import Faults
from tests.support.servers import PolicyServer

LOGS = "log.0*"
TABLES = "postgrey.db"


@pytest.fixture
def server(faults: Faults, start: StartServer, tmp_path: Path) -> PolicyServer:
    return start_at_journal(start, tmp_path, tmp_path / "db", env=faults.env)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def check_words(server: PolicyServer, criticals: int = 1, returns: int = 1) -> None:
    """So many lines at most at critical level, and exactly so many that greylisting is back, the last of all."""
    told = [line for line in server.log().splitlines() if line.startswith("<2>") or WORKS in line]
    assert told[0].startswith(f"<2>{FAILED}")
    assert told[-1].startswith(f"<4>{WORKS}")
    assert len([line for line in told if line.startswith("<2>")]) <= criticals
    assert len([line for line in told if WORKS in line]) == returns


def check_end(server: PolicyServer, load: Load) -> None:
    assert load.errors == []
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    assert "Traceback" not in server.log()
    check_promises(server, load)


def test_log_that_cannot_be_flushed_for_twelve_seconds(server: PolicyServer, faults: Faults) -> None:
    with Load(server) as load:
        load.wait_for(deferred=500)
        faults.begin("EIO", "fsync", LOGS)
        load.wait_for(passed=1000)
        time.sleep(12)
        assert WORKS not in server.log()
        faults.end()
        server.wait_for_log(WORKS, 60)
        load.wait_for(deferred=500)
    check_words(server)
    check_end(server, load)


def test_quiet_server_needs_no_mail_to_find_out(server: PolicyServer, faults: Faults) -> None:
    with Load(server) as load:
        load.wait_for(deferred=500)
        faults.begin("EIO", "fsync", LOGS)
        load.wait_for(passed=100)
    before = processor_seconds(server.pid)
    time.sleep(4)
    # Generous: opening the database takes a tenth of that.
    assert processor_seconds(server.pid) - before < 2
    assert WORKS not in server.log()
    faults.end()
    server.wait_for_log(WORKS, 60)
    check_words(server)
    check_end(server, load)


@pytest.mark.parametrize(("bad", "good"), [(1, 1), (1, 5), (3, 40)])
def test_log_that_is_flushed_now_and_then(bad: int, good: int, server: PolicyServer, faults: Faults) -> None:
    with Load(server) as load:
        load.wait_for(deferred=500)
        faults.begin("EIO", "fsync", LOGS, f"turns={bad}/{good}")
        load.wait_for(passed=1000)
        time.sleep(8)
        faults.end()
        load.wait_for(deferred=500)
    # At once, and once more where the first return was none.
    criticals = [line for line in server.log().splitlines() if line.startswith("<2>")]
    assert 1 <= len(criticals) <= 2
    assert server.log().count(WORKS) <= 1
    check_end(server, load)


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_checkpoint_that_fails(call: str, server: PolicyServer, faults: Faults) -> None:
    """The log takes everything; the database files do not."""
    with Load(server) as load:
        load.wait_for(deferred=2000)
        faults.begin("EIO", call, TABLES)
        server.signal(signal.SIGUSR1)
        server.wait_for_log(f"<2>{FAILED}can't write a checkpoint in ")
        load.wait_for(passed=500)
        faults.end()
        server.wait_for_log(WORKS, 60)
        load.wait_for(deferred=500)
    check_words(server)
    check_end(server, load)


def test_last_checkpoint_that_fails_is_reported_and_costs_nothing(
    server: PolicyServer, faults: Faults, start: StartServer
) -> None:
    with Load(server) as load:
        load.wait_for(deferred=500)
    faults.begin("EIO", "fsync", TABLES)
    assert stop_once(server.process) == 0
    assert "<4>can't write a checkpoint in " in server.log()
    assert "; the next start brings the database files up to date from the logs" in server.log()
    faults.end()
    again = start(dbdir=server.dbdir)
    check_end(again, load)


def test_old_log_that_cannot_be_removed_is_no_failure(server: PolicyServer, faults: Faults) -> None:
    faults.begin("EIO", "unlink", LOGS)
    with Load(server) as load:
        # Several log files.
        load.wait_for(deferred=40_000)
        for _ in range(2):
            done = server.log().count("cleaning clients database finished.")
            server.signal(signal.SIGUSR1)
            deadline = time.monotonic() + 20
            while server.log().count("cleaning clients database finished.") == done and time.monotonic() < deadline:
                time.sleep(0.05)
        server.wait_for_log("<4>can't remove ")
        load.wait_for(deferred=500)
    assert FAILED not in server.log()
    # Each file is complained of once.
    complaints = [line for line in server.log().splitlines() if "can't remove " in line]
    assert len(complaints) == len(set(complaints))
    check_end(server, load)
