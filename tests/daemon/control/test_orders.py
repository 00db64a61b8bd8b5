# SPDX-License-Identifier: GPL-2.0-or-later
"""Orders to a real server: they count at once, are told of in the log, and outlive kill -9."""

from __future__ import annotations

import json
import os

from postgrey_py.daemon.control.arguments import MOST_CHARACTERS
from postgrey_py.daemon.control.orders import MOST_SECONDS
from tests.daemon.conftest import StartServer
from tests.support.control import ControlClient
from tests.support.policy import PolicyClient, ask, make_request

PASSED = "DUNNO"


def test_allowed_mail_passes_and_the_log_says_by_which_order(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        allowance = client.result("allow", seconds=900, sender="example.com", comment="the code for Bob")
        assert allowance["number"] == 1
        assert allowance["by"]
        assert ask(server.port) == PASSED
        assert ask(server.port, sender="carol@example.net") != PASSED
        assert client.ask("allowed")["items"] == [allowance]
        assert client.result("disallow", number=1)["number"] == 1
        assert ask(server.port, recipient="carol@example.org") != PASSED
    log = server.log()
    assert "allowance 1: sender=example.com, by " in log
    assert "the code for Bob" in log
    assert "action=pass, reason=allowed (1), client_name=mail.example.com" in log


def test_two_mails_that_arrive_together_share_an_allowance_for_one(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.result("allow", seconds=900, sender="example.com", once=True)
        together = [PolicyClient(server.port) for _ in range(2)]
        for number, mail in enumerate(together):
            mail.send(make_request(instance=f"mail.{number}", recipient=f"user{number}@example.org"))
        replies = [mail.read_reply() for mail in together]
        for mail in together:
            mail.close()
        assert sorted(reply == PASSED for reply in replies) == [False, True]
        lucky = replies.index(PASSED)
        # The other recipients of that mail, and nobody else.
        assert ask(server.port, instance=f"mail.{lucky}", recipient="carol@example.org") == PASSED
        assert ask(server.port, instance="mail.2", recipient="dave@example.org") != PASSED
        assert client.ask("allowed")["items"][0]["used"]


def test_requests_of_one_turn_share_it_too(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client, PolicyClient(server.port) as mail:
        client.result("allow", seconds=900, sender="example.com", once=True)
        mail.send(b"".join(make_request(instance=f"m{n}", recipient=f"u{n}@example.org") for n in range(20)))
        assert [mail.read_reply() for _ in range(20)].count(PASSED) == 1


def test_pause_lets_everything_through_and_writes_records(start: StartServer) -> None:
    server = start("--delay=1")
    with ControlClient(server.dbdir) as client:
        assert client.result("pause", seconds=3600)["until"] is not None
        assert ask(server.port) == PASSED
        status = client.result("status")
        assert status["healthy"]
        assert any("paused by" in text for text in status["warnings"])
        assert status["databases"]["triplets"]["records"] == 1
        client.result("resume")
        assert ask(server.port, recipient="carol@example.org") != PASSED
    log = server.log()
    assert "action=pass, reason=paused (by " in log
    assert "pause ended by " in log


def test_orders_outlive_a_kill(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.result("allow", seconds=900, sender="example.com")
        client.result("allow", seconds=900, sender="example.net", once=True)
        client.result("pause")
    server.kill()
    server.start()
    with ControlClient(server.dbdir) as client:
        assert [one["number"] for one in client.ask("allowed")["items"]] == [1, 2]
        assert ask(server.port, sender="dave@other.example") == PASSED
        client.result("resume")
        assert client.result("allow", seconds=900, client="192.0.2.9")["number"] == 3
        assert ask(server.port) == PASSED


def test_orders_hold_without_a_control_socket(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.result("pause")
    server.stop()
    again = start("--control=none", dbdir=server.dbdir)
    assert ask(again.port) == PASSED


def test_reload_keeps_orders(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.result("allow", seconds=900, sender="example.com")
        client.result("reload")
        assert ask(server.port) == PASSED


def test_used_up_allowance_stays_used_after_a_restart(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.result("allow", seconds=900, sender="example.com", once=True)
        assert ask(server.port, instance="first") == PASSED
        # Written behind the answer.
        client.result("allow", seconds=900, sender="example.net")
    server.kill()
    assert json.loads((server.dbdir / "postgrey.orders").read_bytes())["allowances"][0]["used_by"] == "first"
    server.start()
    assert ask(server.port, instance="second", recipient="carol@example.org") != PASSED


def test_file_that_is_damaged_is_set_aside(start: StartServer) -> None:
    server = start()
    server.stop()
    (server.dbdir / "postgrey.orders").write_bytes(b'{"version":1,"next":')
    os.chown(server.dbdir / "postgrey.orders", os.geteuid(), os.getegid())
    server.start()
    assert ask(server.port) != PASSED
    assert "postgrey.orders is damaged, orders in it are not in force" in server.log()
    assert (server.dbdir / "postgrey.orders.damaged").read_bytes() == b'{"version":1,"next":'


def test_orders_have_limits(start: StartServer) -> None:
    with ControlClient(start().dbdir) as client:
        for arguments in (
            {"seconds": MOST_SECONDS + 1, "client": "192.0.2.1"},
            {"seconds": 0, "client": "192.0.2.1"},
            {"seconds": 60, "client": "192.0.2.1", "comment": "x" * (MOST_CHARACTERS + 1)},
            {"seconds": 60},
        ):
            assert "error" in client.ask("allow", **arguments), arguments
        assert "error" in client.ask("pause", seconds=MOST_SECONDS + 1)
        assert client.result("allowed") == {"count": 0}
