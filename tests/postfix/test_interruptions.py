# SPDX-License-Identifier: GPL-2.0-or-later
"""Restarts and reloads of the policy server under a Postfix that holds connections to it."""

from __future__ import annotations

import signal
import smtplib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from email.message import Message
from functools import partial
from pathlib import Path

import pytest

from tests.postfix.conftest import MailSystem, StartMailSystem
from tests.postfix.instance import XClient, offer, retry
from tests.support.servers import PolicyServer

pytestmark = pytest.mark.root

CLIENTS = [XClient("192.0.2.7"), XClient("198.51.100.7"), XClient("203.0.113.7")]


@contextmanager
def deferred_sessions(mail: MailSystem) -> Iterator[list[smtplib.SMTP]]:
    """An SMTP connection from each of CLIENTS, open and deferred once.

    Each has a process of Postfix to itself, which keeps its connection to the policy server.
    """
    with ExitStack() as stack:
        sessions = [stack.enter_context(mail.postfix.connect(client)) for client in CLIENTS]
        assert all(is_deferred(smtp) for smtp in sessions)
        assert len(policy_connections(mail.policy)) == len(CLIENTS)
        yield sessions


def is_deferred(smtp: smtplib.SMTP) -> bool:
    """Whether Postfix defers now; AssertionError when it neither defers nor accepts, as in a 451 4.3.5."""
    (reply,) = offer(smtp)
    assert reply.startswith(("450 4.2.0 ", "250 ")), reply
    return reply.startswith("450 ")


def policy_connections(policy: PolicyServer) -> set[str]:
    """The inodes of the sockets that are connected to the policy server."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    server, established = f"0100007F:{policy.port:04X}", "01"
    return {
        inode for _, _, remote, state, _, _, _, _, _, inode, *_ in sockets if (remote, state) == (server, established)
    }


@pytest.mark.parametrize("end", [PolicyServer.stop, PolicyServer.kill], ids=["stopped", "killed"])
def test_restart_between_two_tries_goes_unnoticed(
    start_mail_system: StartMailSystem, command: Sequence[str], end: Callable[[PolicyServer], object]
) -> None:
    mail = start_mail_system(command, "--delay=1")

    def deliver(smtp: smtplib.SMTP) -> list[Message]:
        return [] if is_deferred(smtp) else mail.postfix.finish(smtp)

    with deferred_sessions(mail) as sessions:
        before = policy_connections(mail.policy)
        end(mail.policy)
        mail.policy.start()
        for smtp in sessions:
            (message,) = retry(partial(deliver, smtp))
            assert message["X-Greylist"] is not None
        assert not before & policy_connections(mail.policy)
    # Nothing that was deferred before is new after it. (Postfix sleeps for a second when it finds its connection
    # closed, so no retry is called new for coming in the second of the first try.)
    assert mail.policy.log().count("reason=new") == len(CLIENTS)
    # Postfix connects anew and finds that not worth a warning.
    assert mail.postfix.complaints() == []


def test_reload_keeps_connections(start_mail_system: StartMailSystem, command: Sequence[str], tmp_path: Path) -> None:
    whitelist = tmp_path / "clients"
    whitelist.write_text("")
    mail = start_mail_system(command, f"--whitelist-clients={whitelist}")
    with deferred_sessions(mail) as sessions:
        before = policy_connections(mail.policy)
        whitelist.write_text("198.51.100.0/24\n")
        mail.policy.signal(signal.SIGHUP)
        retry(lambda: not is_deferred(sessions[1]))
        assert [is_deferred(smtp) for smtp in sessions] == [True, False, True]
        assert policy_connections(mail.policy) == before
    assert "HUP received: reloading whitelists..." in mail.policy.log()
    assert mail.postfix.complaints() == []
