# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose mail to whom Postfix refused, whatever strangers write into sender, recipient and HELO."""

from __future__ import annotations

import pytest

from postgrey_py.commands.rejection import Rejection, is_rejection, read_rejection, unquote

ALICE, BOB = "alice@example.com", "bob@example.org"
REJECTED = Rejection(False, "RCPT", "mail.example.com", "198.51.100.7", "4", ALICE, BOB)


def line(sender: str = ALICE, recipient: str = BOB, helo: str = "mail.example.com", reply: str | None = None) -> str:
    """The message, with these addresses as Postfix quotes them; the reply has the recipient without quotes."""
    reply = f"<{unquote(recipient)}>: Recipient address rejected: Greylisted" if reply is None else reply
    return (
        f"NOQUEUE: reject: RCPT from mail.example.com[198.51.100.7]: 450 4.2.0 {reply}; "
        f"from=<{sender}> to=<{recipient}> proto=ESMTP helo=<{helo}>"
    )


SPOOF = "; from=<q@x.example> to=<r@x.example> proto=ESMTP helo=<x"
FIRST = f"r@x.example>: Recipient address rejected: Greylisted{SPOOF}"


@pytest.mark.parametrize("helo", [SPOOF, f"y>{SPOOF}", SPOOF.replace("r@x.example", BOB), f'"{SPOOF}', SPOOF * 300])
def test_helo_is_not_believed(helo: str) -> None:
    assert read_rejection(line(helo=helo), 0) == REJECTED


@pytest.mark.parametrize("said", [SPOOF, FIRST, SPOOF * 3, "; from=<", "> to=<", f"x\\\\{SPOOF}"])
def test_recipient_is_read_whole(said: str) -> None:
    found = read_rejection(line(recipient=f'"{said}"@example.org'), 0)
    assert found == REJECTED._replace(recipient=f"{said}@example.org".replace("\\\\", "\\"))


@pytest.mark.parametrize(
    "said", [SPOOF, FIRST, SPOOF * 3, "; from=<", "> to=<", "> to=<r@x.example> proto=SMTP helo=<"]
)
def test_sender_is_read_whole(said: str) -> None:
    assert read_rejection(line(sender=f'"{said}"@example.com'), 0) == REJECTED._replace(sender=f"{said}@example.com")


@pytest.mark.parametrize(
    "reply",
    [
        f"<{ALICE}>: Sender address rejected: Greylisted",
        "<mail.example.com[198.51.100.7]>: Client host rejected: Greylisted",
        f"<{BOB}>: Recipient address rejected: Greylisted; come back",
        "Greylisted",
    ],
)
def test_other_replies_are_read_too(reply: str) -> None:
    assert read_rejection(line(reply=reply), 0) == REJECTED
    assert read_rejection(line(reply=reply, helo=SPOOF), 0) == REJECTED


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("reject: ", "reject_warning: ", {"is_warning": True}),
        ("reject: ", "milter-reject: ", {}),
        ("reject: ", "proxy-reject: ", {}),
        ("NOQUEUE: ", "", {}),
        ("RCPT", "END-OF-MESSAGE", {"stage": "END-OF-MESSAGE"}),
        ("450 4.2.0", "550 5.7.1", {"code": "5"}),
        ("450 4.2.0", "450", {}),
        ("mail.example.com[198.51.100.7]: ", "unknown[2001:db8::7]:2525: ", {"client_name": "unknown"}),
    ],
)
def test_rejections_are_read_in_all_their_forms(old: str, new: str, changed: dict[str, object]) -> None:
    found = read_rejection(line().replace(old, new, 1), 0)
    expected = REJECTED._replace(**changed)  # type: ignore[arg-type]
    assert found == (expected._replace(client_address="2001:db8::7") if "2525" in new else expected)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("NOQUEUE: reject: CONNECT from x[192.0.2.1]: 421 later", True),
        ("NOQUEUE: reject: RCPT from [192.0.2.1]:1: 450 later; from=<a>, to=<b>, proto=ESMTP, helo=<c>", True),
        ("warning: reject: RCPT", True),
        ("warning: x[192.0.2.1]: reject: RCPT", False),
        ("rejected", False),
    ],
)
def test_what_says_nothing_of_a_mail_is_none(text: str, is_one: bool) -> None:
    assert is_rejection(text, 0) == is_one
    assert read_rejection(text, 0) is None
