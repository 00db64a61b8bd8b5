# SPDX-License-Identifier: GPL-2.0-or-later
"""explain of a server that is stopped, beside what it said while it ran."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from postgrey_py.commands.control.stopped import find_settings
from tests.support.policy import ask
from tests.support.servers import POSTGREY, ROOT, PolicyServer

POSTGREYCTL = (sys.executable, str(ROOT / "scripts" / "postgreyctl"))
MAIL = ("192.0.2.7", "alice@example.com", "bob@example.org", "--helo=mail.partner.example")


def explain(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*POSTGREYCTL, "explain", *MAIL, "--format=json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_files_say_what_the_server_said(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("mail.partner.example\n")
    options = (f"--whitelist-clients={clients}", "--delay=600", "--ipv4cidr=20", "--retry-window=5h")
    with PolicyServer(POSTGREY, tmp_path / "db", options) as server:
        ask(server.port)
        at = f"--at={json.loads(explain(f'--control={server.dbdir}/postgrey.control').stdout)['time'] + 60}"
        running = explain(f"--control={server.dbdir}/postgrey.control", at)
    assert running.returncode == 0, running
    defaults = tmp_path / "defaults"
    defaults.write_text(f'POSTGREY_OPTS="--dbdir={server.dbdir} {" ".join(options)}"\n')
    before = {path.name: path.read_bytes() for path in server.dbdir.iterdir()}
    stopped = explain(f"--server-options={defaults}", at)
    assert stopped.returncode == 0, stopped
    assert stopped.stderr.startswith("postgreyctl: no server runs there: ")
    assert "this is what its files say" in stopped.stderr
    found = json.loads(stopped.stdout)
    assert found == json.loads(running.stdout)
    assert (found["reason"], found["triplet"]["key"]) == ("early-retry", "192.0.0.0/alice@example.com/bob@example.org")
    assert "could not verify the name" in found["remarks"][0]
    assert {path.name: path.read_bytes() for path in server.dbdir.iterdir()} == before


def test_no_server_and_no_database(tmp_path: Path) -> None:
    done = explain(f"--dbdir={tmp_path / 'nowhere'}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "nowhere") in done.stderr.splitlines()[-1]


def test_list_that_can_not_be_read_is_told_of(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db"):
        pass
    defaults = tmp_path / "defaults"
    defaults.write_text(f'POSTGREY_OPTS="--dbdir={tmp_path / "db"} --whitelist-clients={tmp_path / "none"}"\n')
    done = explain(f"--server-options={defaults}")
    assert done.returncode == 0
    assert str(tmp_path / "none") in done.stderr


def test_settings_are_those_that_decide(tmp_path: Path) -> None:
    defaults = tmp_path / "defaults"
    defaults.write_text('POSTGREY_OPTS="--delay=7 --training --privacy --inet=1 --auto-whitelist-clients=0"\n')
    settings = find_settings("/db", str(defaults))
    assert (settings.delay, settings.training, settings.privacy, settings.dbdir) == (7, True, True, "/db")
    assert settings.auto_whitelist_clients == 0
