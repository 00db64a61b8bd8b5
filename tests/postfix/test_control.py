# SPDX-License-Identifier: GPL-2.0-or-later
"""Orders by `postgreyctl`, as senders behind a real Postfix see them."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.snapshot import open_snapshot
from tests.postfix.conftest import MailSystem, StartMailSystem
from tests.postfix.instance import RECIPIENT, SENDER, XClient, offer
from tests.support.servers import POSTGREY, ROOT

pytestmark = pytest.mark.root

FIRST = XClient("198.51.100.7")
SECOND = XClient("203.0.113.7", "mail.example.net")


def order(mail: MailSystem, *arguments: str) -> str:
    """What `postgreyctl` prints."""
    command = [sys.executable, str(ROOT / "scripts" / "postgreyctl"), *arguments]
    command.append(f"--control={mail.policy.dbdir}/postgrey.control")
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def is_deferred(mail: MailSystem, client: XClient) -> bool:
    return mail.postfix.offer(client).startswith("450 4.2.0 ")


def test_allowance_for_one_mail_is_used_once_by_two_that_arrive_together(start_mail_system: StartMailSystem) -> None:
    mail = start_mail_system(POSTGREY)
    assert is_deferred(mail, FIRST)
    order(mail, "allow", f"--sender={SENDER}", "--for=15m", "--once", "--comment=the code for Bob")
    recipients = [RECIPIENT, "carol@example.org"]
    replies: list[list[str]] = [[], []]
    together = threading.Barrier(2)
    with ExitStack() as stack:
        connections = [stack.enter_context(mail.postfix.connect(client)) for client in (FIRST, SECOND)]

        def offer_together(number: int) -> None:
            together.wait(timeout=30)
            replies[number] = offer(connections[number], recipients)

        threads = [threading.Thread(target=offer_together, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # The mail that passes does so with all its recipients, and the other with none.
        codes = sorted([reply[:3] for reply in one] for one in replies)
        assert codes == [["250", "250"], ["450", "450"]]
        passed = next(number for number in range(2) if replies[number][0].startswith("250"))
        messages = mail.postfix.finish(connections[passed], recipients)
        assert len(messages) == 2
    assert mail.policy.log().count("action=pass, reason=allowed (1), ") == 2
    assert all(is_deferred(mail, client) for client in (FIRST, SECOND))
    assert "used, by " in order(mail, "allowed")
    assert mail.postfix.complaints() == []


def test_allowance_ends_when_it_is_told_to(start_mail_system: StartMailSystem) -> None:
    mail = start_mail_system(POSTGREY)
    order(mail, "allow", f"--client={FIRST.address}")
    assert len(mail.postfix.send(FIRST)) == 1
    assert is_deferred(mail, SECOND)
    order(mail, "disallow", "1")
    assert is_deferred(mail, FIRST)
    assert order(mail, "allowed") == ""


def test_pause_lets_mail_through_that_is_known_when_it_ends(start_mail_system: StartMailSystem) -> None:
    mail = start_mail_system(POSTGREY)
    assert is_deferred(mail, FIRST)
    assert "until" in order(mail, "pause", "--for=1h")
    assert len(mail.postfix.send(SECOND)) == 1
    assert len(mail.postfix.send(FIRST)) == 1
    assert "paused by " in mail.policy.log()
    assert "reason=paused" in mail.policy.log()
    # It was recorded meanwhile, and now is a first try.
    with open_snapshot(str(mail.policy.dbdir), [TRIPLETS]) as snapshot:
        assert {key.split(b"/")[0] for key, _ in snapshot.triplets} == {b"198.51.100.0", b"203.0.113.0"}
    order(mail, "resume")
    assert is_deferred(mail, FIRST)
    assert is_deferred(mail, SECOND)
    assert mail.postfix.complaints() == []


def test_deferred_mail_is_explained_from_the_line_in_the_log(start_mail_system: StartMailSystem) -> None:
    mail = start_mail_system(POSTGREY)
    assert is_deferred(mail, FIRST)
    (line,) = [line for line in mail.postfix.log().splitlines() if "NOQUEUE: reject: RCPT" in line]
    text = order(mail, "explain", f"--line={line}", "--at=+1m")
    assert text.startswith("DEFERRED: it comes back too early [reason=early-retry]\n")
    assert f"from {SENDER}, to {RECIPIENT}, " in text
    assert "first seen" in text


def test_released_mail_is_delivered_at_the_next_try(start_mail_system: StartMailSystem) -> None:
    mail = start_mail_system(POSTGREY)
    assert is_deferred(mail, FIRST)
    assert order(mail, "release", f"--sender={SENDER}").startswith("1 triplet; the first: ")
    assert is_deferred(mail, SECOND)
    (message,) = mail.postfix.send(FIRST)
    assert message["X-Greylist"].startswith("delayed 30")
