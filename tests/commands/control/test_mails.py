# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from datetime import datetime, timezone

import pytest

from postgrey_py.commands.control.mails import Mail, read_log_line, read_operands, read_time
from postgrey_py.errors import UsageError

NOW = datetime(2026, 11, 27, 14, 0, 5, tzinfo=timezone.utc)
STAMP = int(NOW.timestamp())

ANSWER = "450 4.2.0 <bob@example.org>: Recipient address rejected: Greylisted"
REJECTION = f"RCPT from unknown[192.0.2.7]: {ANSWER}; from=<alice@example.com> to=<bob@example.org> proto=ESMTP"
DECISION = "action=greylist, reason=new, client_name=mx.example, client_address=192.0.2.7, sender=alice@example.com"
HEADS = (
    "",
    "Nov 27 12:00:00 mx postfix/smtpd[1]: ",
    "2026-11-27T12:00:00.123456+01:00 mx postfix/submission/smtpd[1]: ",
    "<22>Nov 27 12:00:00 mx postfix-in/smtpd[1]: ",
)


def test_operands() -> None:
    assert read_operands("192.0.2.7", "a@b", "c@d", None, None) == Mail("192.0.2.7", "a@b", "c@d", "unknown", "")
    assert read_operands("[2001:db8::1]", "<>", "<c@d>", "mx", "he") == Mail("2001:db8::1", "", "c@d", "mx", "he")
    assert read_operands("::1", "j\xf6@b", "c\udcff@d", None, None).sender == "j\xc3\xb6@b"


@pytest.mark.parametrize("client", ["mail.example.com", "192.0.2.0/24", "192.0.2", "", "unknown"])
def test_client_is_an_address(client: str) -> None:
    with pytest.raises(UsageError, match="is no address of a client"):
        read_operands(client, "a@b", "c@d", None, None)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("queue_id", ["NOQUEUE: ", "4F1A2B3C4D: "])
@pytest.mark.parametrize("kind", ["reject", "reject_warning"])
def test_line_of_postfix(head: str, queue_id: str, kind: str) -> None:
    line = f"{head}{queue_id}{kind}: {REJECTION} helo=<mx.sender.example>\n"
    mail = Mail("192.0.2.7", "alice@example.com", "bob@example.org", "unknown", "mx.sender.example")
    assert read_log_line(line, None, None) == mail
    assert read_log_line(line, "n", "h") == mail._replace(name="n", helo="h")


@pytest.mark.parametrize("head", ["", "Nov 27 12:00:00 mx postgrey[12]: ", "<5>", "2026-11-27T12:00:00Z mx postgrey: "])
def test_line_of_the_server(head: str) -> None:
    mail = Mail("192.0.2.7", "alice@example.com", "bob@example.org", "mx.example")
    assert read_log_line(f"{head}{DECISION}, recipient=bob@example.org", None, None) == mail
    passed = DECISION.replace("greylist, reason=new", "pass, reason=triplet found, delay=301")
    assert read_log_line(f"{head}4F1A: {passed}, recipient=bob@example.org", None, None) == mail


@pytest.mark.parametrize(
    "line", ["", "nonsense", f"{HEADS[1]}connect from unknown[192.0.2.7]", f"{HEADS[1]}NOQUEUE: reject: RCPT", "\0"]
)
def test_other_lines_are_told_what_is_understood(line: str) -> None:
    with pytest.raises(UsageError, match="whose mail to whom is not understood"):
        read_log_line(line, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1795788005", 1_795_788_005),
        ("+15m", STAMP + 900),
        ("+1h30m", STAMP + 5400),
        ("14:05", STAMP + 295),
        ("9:00", STAMP - 18_005),
        ("14:05:10", STAMP + 305),
        ("tomorrow 14:05", STAMP + 295 + 86_400),
        ("2026-11-28T14:00:05+00:00", STAMP + 86_400),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert read_time(text, NOW) == seconds


@pytest.mark.parametrize("text", ["", "now", "25:00", "14", "+", "+15", "2026-13-01", "yesterday 14:05", "9" * 30])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is no time such as"):
        read_time(text, NOW)
