# SPDX-License-Identifier: GPL-2.0-or-later
"""What senders, recipients and Postfix see of greylisting when mail is real."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

import pytest

from tests.postfix.conftest import StartMailSystem
from tests.postfix.instance import RECIPIENT, UNKNOWN_CLIENT, Postfix, XClient, offer, retry
from tests.support.servers import POSTGREY

pytestmark = pytest.mark.root

FIRST = XClient("198.51.100.7")
NEIGHBOUR = XClient("198.51.100.200", "mail2.example.com")
STRANGER = XClient("203.0.113.7", "mail.example.net")

ACCEPTED = "250 2.1.5 Ok"
DEFERRED = (
    f"450 4.2.0 <{RECIPIENT}>: Recipient address rejected: "
    "Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"
)


def seconds_delayed(message: Message) -> int:
    """The delay in the message's one X-Greylist header."""
    (header,) = message.get_all("X-Greylist", [])
    match = re.fullmatch(r"delayed (\d+) seconds by postgrey-[\w.]+ at mx\.example\.org; (.*)", header)
    assert match is not None, header
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d .+", match[2]), header
    return int(match[1])


def is_deferred(reply: str) -> bool:
    return reply.startswith("450 4.2.0 ") and "Recipient address rejected: Greylisted" in reply


def wait_for_the_delay(postfix: Postfix) -> None:
    """Return once everything that has been deferred so far may pass, because something deferred later does."""
    retry(lambda: postfix.offer(XClient("192.0.2.1"), "pacemaker@example.org"), until=ACCEPTED.__eq__)


def test_first_try_is_deferred_and_retry_of_a_neighbour_is_delivered(
    start_mail_system: StartMailSystem, command: Sequence[str]
) -> None:
    policy, postfix = start_mail_system(command, "--delay=2", "--hostname=mx.example.org")
    assert postfix.offer(FIRST) == DEFERRED
    wait_for_the_delay(postfix)
    (message,) = postfix.send(NEIGHBOUR)
    assert seconds_delayed(message) >= 2
    assert message.get_payload() == "The body.\n"
    (message,) = postfix.send(FIRST)
    assert "X-Greylist" not in message
    assert postfix.offer(STRANGER) == DEFERRED
    assert "action=greylist, reason=new, client_name=mail.example.com, client_address=198.51.100.7" in policy.log()
    assert re.search(
        r"action=pass, reason=triplet found, delay=\d+, client_name=mail2\.example\.com, "
        r"client_address=198\.51\.100\.200, sender=alice@example\.com, recipient=bob@example\.org\n",
        policy.log(),
    )
    assert postfix.complaints() == []


def test_mail_without_a_sender_is_greylisted_too(start_mail_system: StartMailSystem, command: Sequence[str]) -> None:
    policy, postfix = start_mail_system(command, "--delay=1", "--hostname=mx.example.org")
    assert postfix.offer(FIRST, sender="") == DEFERRED
    (message,) = retry(lambda: postfix.send(FIRST, sender=""))
    assert seconds_delayed(message) >= 1
    assert "reason=new, client_name=mail.example.com, client_address=198.51.100.7, recipient=" in policy.log()
    assert postfix.complaints() == []


def test_message_to_two_recipients_gets_one_header(start_mail_system: StartMailSystem, command: Sequence[str]) -> None:
    _, postfix = start_mail_system(command, "--delay=1", "--hostname=mx.example.org")
    recipients = [RECIPIENT, "carol@example.org"]
    with postfix.connect(FIRST) as smtp:
        assert all(map(is_deferred, offer(smtp, recipients)))
    messages = retry(lambda: postfix.send(FIRST, recipients))
    assert len(messages) == 2
    assert all(seconds_delayed(message) >= 1 for message in messages)
    assert is_deferred(postfix.offer(FIRST, "dave@example.org"))
    assert postfix.complaints() == []


def test_client_that_passed_once_is_whitelisted(start_mail_system: StartMailSystem, command: Sequence[str]) -> None:
    policy, postfix = start_mail_system(command, "--delay=1", "--auto-whitelist-clients=1")
    assert postfix.offer(FIRST) == DEFERRED
    retry(lambda: postfix.send(FIRST))
    assert "whitelisted: mail.example.com[198.51.100.7]" in policy.log()
    (message,) = postfix.send(FIRST, ["carol@example.org"], sender="erin@example.net")
    assert "X-Greylist" not in message
    assert "action=pass, reason=client AWL, client_name=mail.example.com" in policy.log()
    assert is_deferred(postfix.offer(NEIGHBOUR, "carol@example.org", sender="erin@example.net"))
    assert postfix.complaints() == []


def test_ipv6_client_passes_after_its_neighbour(start_mail_system: StartMailSystem, command: Sequence[str]) -> None:
    policy, postfix = start_mail_system(command, "--delay=1", "--hostname=mx.example.org")
    assert postfix.offer(XClient("IPV6:2001:db8::1")) == DEFERRED
    wait_for_the_delay(postfix)
    (message,) = postfix.send(XClient("IPV6:2001:db8::ABCD:2"))
    assert seconds_delayed(message) >= 1
    assert re.search(
        r"reason=triplet found, delay=\d+, .*, client_address=2001:db8::abcd:2, ", policy.log(), re.IGNORECASE
    )
    assert postfix.offer(XClient("IPV6:2001:db8:0:1::1")) == DEFERRED
    assert postfix.complaints() == []


def test_whitelisted_clients_and_recipients_pass_at_once(
    start_mail_system: StartMailSystem, command: Sequence[str], tmp_path: Path
) -> None:
    clients = tmp_path / "clients"
    clients.write_text("# who may pass\nexample.net\n192.0.2.0/24\n/^out\\d+\\.example\\.com$/\n2001:db8:5::/48\n")
    recipients = tmp_path / "recipients"
    recipients.write_text("postmaster@\nabuse@example.org\n")
    policy, postfix = start_mail_system(
        command, f"--whitelist-clients={clients}", f"--whitelist-recipients={recipients}"
    )
    for client in (
        XClient("203.0.113.9", "mx1.example.net"),
        XClient("192.0.2.77"),
        XClient("203.0.113.9", "OUT42.example.com"),
        XClient("IPV6:2001:db8:5:1::9"),
    ):
        assert postfix.offer(client) == ACCEPTED, client
    assert policy.log().count("reason=client whitelist") == 4
    for recipient in ("postmaster@example.org", "postmaster+spam@example.org", "abuse@example.org"):
        assert postfix.offer(FIRST, recipient) == ACCEPTED, recipient
    assert policy.log().count("reason=recipient whitelist") == 3
    (message,) = postfix.send(FIRST, ["postmaster@example.org"])
    assert "X-Greylist" not in message
    assert postfix.offer(FIRST) == DEFERRED
    assert postfix.complaints() == []


@pytest.mark.parametrize("name", [UNKNOWN_CLIENT.name, "mail.example.com"])
def test_client_of_unknown_address_passes(start_mail_system: StartMailSystem, name: str) -> None:
    # unlike 1.37: it dies of this address.
    policy, postfix = start_mail_system(POSTGREY)
    (message,) = postfix.send(UNKNOWN_CLIENT._replace(name=name))
    assert "X-Greylist" not in message
    assert "can't parse client_address: unknown" in policy.log()
    assert postfix.offer(FIRST) == DEFERRED
    assert postfix.complaints() == []


def test_postfix_asks_over_a_unix_socket(start_mail_system: StartMailSystem, tmp_path: Path) -> None:
    # Perl Postgrey serves either --inet, which the fixture needs, or --unix.
    path = tmp_path / "postfix" / "queue" / "postgrey.socket"
    _, postfix = start_mail_system(POSTGREY, f"--unix={path}", "--delay=1", service="unix:postgrey.socket")
    assert postfix.offer(FIRST) == DEFERRED
    wait_for_the_delay(postfix)
    assert postfix.offer(NEIGHBOUR) == ACCEPTED
    assert postfix.complaints() == []
