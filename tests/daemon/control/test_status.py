# SPDX-License-Identifier: GPL-2.0-or-later
"""`status` of a real server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from postgrey_py import __version__
from postgrey_py.daemon.control.status import COUNTING_SECONDS
from tests.daemon.conftest import StartServer
from tests.daemon.processes import wait_until
from tests.support.control import ControlClient
from tests.support.policy import ask


def test_status_of_a_new_server(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        found = client.result("status")
    assert found["healthy"]
    assert found["problems"] == found["warnings"] == found["allowances"] == []
    assert (found["version"], found["pid"], found["dbdir"]) == (__version__, server.pid, str(server.dbdir))
    assert found["listeners"] == [f"inet:127.0.0.1:{server.port}"]
    assert found["pause"] is None
    assert found["outage"] == {"down": False, "times": 0, "passed": 0, "seconds": 0}
    assert found["clean_up"]["last"] is None
    assert found["clean_up"]["next"] > found["started"]


def test_records_are_counted(start: StartServer) -> None:
    server = start()
    for number in range(5):
        ask(server.port, recipient=f"user{number}@example.org")
    with ControlClient(server.dbdir) as client:
        databases = client.result("status")["databases"]
        assert databases["triplets"]["records"] == 5
        assert databases["clients"]["records"] == 0
        assert databases["triplets"]["bytes"] == (server.dbdir / "postgrey.db").stat().st_size
        assert databases["last_checkpoint"] > 0
        client.result("clean-up")
        assert client.result("status")["clean_up"]["removed"] == {"triplets": 0, "clients": 0}


def test_more_records_than_there_is_time_to_count_are_those_of_the_last_clean_up(start: StartServer) -> None:
    """The bound is real: with none of it nothing is counted, and a clean-up makes up for that."""
    assert COUNTING_SECONDS > 0
    code = "import sys; from postgrey_py.daemon.control import status; status.COUNTING_SECONDS = 0.0;"
    server = start(
        command=(
            sys.executable,
            "-c",
            f"{code} from postgrey_py.daemon.main import main; sys.exit(main(sys.argv[1:]))",
        ),
    )
    ask(server.port)
    with ControlClient(server.dbdir) as client:
        assert client.result("status")["databases"]["triplets"]["records"] is None
        client.result("clean-up")
        found = client.result("status")
        assert found["databases"]["triplets"]["records"] == 1
        assert found["databases"]["triplets"]["counted"] == found["clean_up"]["last"]


def test_lists_are_told_with_lines_that_are_not_used(start: StartServer, tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("example.com\n192.0.2.0/99\n")
    server = start(f"--whitelist-clients={clients}")
    with ControlClient(server.dbdir) as client:
        found = client.result("status")
        one = found["lists"]["client"]
        assert one["files"] == [str(clients)]
        assert one["entries"] == 1
        assert len(one["unused"]) == 1
        assert one["unused"][0].startswith(f"{clients} line 2: ")
        assert found["warnings"] == ["1 line or file of the lists not in force: postgrey --check tells which, and why"]
        clients.write_text("example.com\nexample.net\n")
        assert client.result("reload")["failures"] == 0
        assert client.result("status")["lists"]["client"]["entries"] == 2


def test_server_whose_database_is_away_is_not_healthy(start: StartServer, tmp_path: Path) -> None:
    server = start(f"--control={tmp_path / 'control'}")
    os.rename(server.dbdir, tmp_path / "away")
    (tmp_path / "link").mkdir()
    os.symlink(tmp_path / "control", tmp_path / "link" / "postgrey.control")

    def is_down() -> bool:
        ask(server.port)
        with ControlClient(tmp_path / "link") as client:
            found = client.result("status")
        return not found["healthy"] and found["outage"]["down"] and "database is down" in found["problems"][0]

    wait_until(is_down)


def test_training_is_a_warning(start: StartServer) -> None:
    server = start("--training")
    assert ask(server.port) == "DUNNO"
    with ControlClient(server.dbdir) as client:
        found = client.result("status")
    assert found["training"]
    assert any("--training" in text for text in found["warnings"])
