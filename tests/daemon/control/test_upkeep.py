# SPDX-License-Identifier: GPL-2.0-or-later
"""`reload` and `clean-up` of a real server."""

from __future__ import annotations

import time
from pathlib import Path

from postgrey_py.daemon.control.upkeep import clean_up, reload
from tests.daemon.conftest import StartServer
from tests.database.dbdirs import fill
from tests.support.control import ControlClient


def test_clean_up_tells_what_it_removed(start: StartServer, tmp_path: Path) -> None:
    assert clean_up.__doc__
    now = int(time.time())
    old = now - 40 * 86400
    fill(
        tmp_path / "db",
        {
            b"192.0.2.0/a@example.com/b@example.org": b"%d,%d" % (old, old),
            b"192.0.2.0/c@example.com/b@example.org": b"%d,%d" % (now, now),
        },
    )
    server = start(dbdir=tmp_path / "db")
    with ControlClient(server.dbdir) as client:
        assert client.result("clean-up")["triplets"] == {"before": 2, "after": 1}
    assert "cleaning main database finished. before: 2, after: 1" in server.log()


def test_clean_up_that_is_refused_says_why_and_may_be_insisted_on(start: StartServer, tmp_path: Path) -> None:
    # Records of the future: the clock may be wrong.
    future = int(time.time()) + 400 * 86400
    fill(tmp_path / "db", {b"192.0.2.%d/a@example.com/b" % n: b"%d,%d" % (future, future) for n in range(10)})
    server = start(dbdir=tmp_path / "db")
    with ControlClient(server.dbdir) as client:
        error = client.ask("clean-up")["error"]
        assert error["code"] == "refused"
        assert "the clock may be wrong" in error["message"]
        assert client.result("clean-up")["triplets"]["before"] == 10


def test_reload_tells_what_is_wrong(start: StartServer, tmp_path: Path) -> None:
    assert reload.__doc__
    recipients = tmp_path / "recipients"
    recipients.write_text("bob@example.org\n")
    server = start(f"--whitelist-recipients={recipients}")
    recipients.write_text("bob@example.org\nno one at all\n")
    with ControlClient(server.dbdir) as client:
        found = client.result("reload")
    assert found["failures"] == 1
    assert found["complaints"][0].startswith(f"{recipients} line 2: ")
    assert "reloading whitelists..." in server.log()
    assert "HUP" not in server.log()
