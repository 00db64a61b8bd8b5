# SPDX-License-Identifier: GPL-2.0-or-later
"""Which questions to a policy server a log of Postfix tells of."""

from __future__ import annotations

import io

import pytest

from postgrey_py.commands.logfiles import LogFile, LogText
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.replay.deliveries import Delivery, DeliveryReader
from tests.commands.postfix_lines import ACCEPT, FROM, REJECT, REMOVED, SECONDS, STAMP, TO, lines

NOW = 1_790_000_000
DELIVERY = Delivery(SECONDS, "mail.example.com", "198.51.100.7", "alice@example.com", "bob@example.org", None)
ACCEPTED = DELIVERY._replace(instance=f"3F2504E0AB.{SECONDS:x}")


def read(text: str) -> tuple[list[Delivery], LogText]:
    log = LogText([LogFile("log", io.BytesIO(text.encode("latin-1")))])
    reader = DeliveryReader(log, LogClock(NOW))
    return [delivery for block in log.blocks() for delivery in reader.read(block)], log


def test_refused_recipient_is_in_one_line() -> None:
    assert read(lines(REJECT))[0] == [DELIVERY]


def test_accepted_recipient_is_put_together_from_lines_of_its_queue_id() -> None:
    other = [text.replace("3F2504E0AB", "3F2504E0AC").replace("alice", "carol") for text in (ACCEPT, FROM, TO, REMOVED)]
    mixed = [text for pair in zip((ACCEPT, FROM, TO, REMOVED), other, strict=True) for text in pair]
    deliveries, _ = read(lines(*mixed))
    assert deliveries == [
        ACCEPTED,
        ACCEPTED._replace(sender="carol@example.com", instance=f"3F2504E0AC.{SECONDS:x}"),
    ]


@pytest.mark.parametrize("queue_id", ["4jWngf3ytXzJ9y0", "3YbBcDfG1hz", "A1B2C", "0123456789ABCDEF"])
def test_queue_ids_are_short_or_long(queue_id: str) -> None:
    text = lines(ACCEPT, FROM, TO, REMOVED).replace("3F2504E0AB", queue_id)
    assert read(text)[0] == [ACCEPTED._replace(instance=f"{queue_id}.{SECONDS:x}")]


def test_each_recipient_of_a_mail_is_asked_about_once() -> None:
    carol = TO.replace("bob@", "carol@")
    deliveries, _ = read(lines(ACCEPT, FROM, TO, carol, TO, carol, REMOVED, TO))
    assert deliveries == [ACCEPTED, ACCEPTED._replace(recipient="carol@example.org")]


def test_time_is_when_the_client_was_there() -> None:
    text = lines(ACCEPT) + lines(FROM, TO, stamp="2026-07-22T00:00:00+02:00")
    assert read(text)[0] == [ACCEPTED]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("to=<bob@example.org>", "to=<root@host.example>, orig_to=<bob@example.org>", {}),
        ("from=<alice@example.com>", "from=<>", {"sender": ""}),
        ("<alice@", '<"alice and bob"@', {"sender": "alice and bob@example.com"}),
        ("198.51.100.7]", "198.51.100.7]:57134", {}),
        ("198.51.100.7]", "2001:db8::7]", {"client_address": "2001:db8::7"}),
        ("mail.example.com[198.51.100.7]", "unknown[unknown]", {"client_name": "unknown", "client_address": "unknown"}),
        ("postfix/smtpd[4648]", "postfix-mx/submission/smtpd[4648]", {}),
        ("postfix/smtpd[4648]", "postfix/smtpd", {}),
        ("[4648]: ", "[4648]: [ID 197553 mail.info] ", {}),
        (STAMP, "2026-07-21T07:57:31.123456Z", {}),
    ],
)
def test_lines_are_read_in_all_their_forms(old: str, new: str, changed: dict[str, str]) -> None:
    accepted = lines(ACCEPT, FROM, TO)
    assert old in accepted
    assert read(accepted.replace(old, new))[0] == [ACCEPTED._replace(**changed)]  # type: ignore[arg-type]
    if old in (refused := lines(REJECT)):
        if "orig_to" not in new:
            refused = refused.replace(old, new)
        assert read(refused)[0] == [DELIVERY._replace(**changed)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "texts",
    [
        (FROM, TO),
        (ACCEPT, TO),
        (ACCEPT + ", orig_queue_id=3F2504E0AA, orig_client=mail.example.com[198.51.100.7]", FROM, TO),
        ("3F2504E0AB: uid=0 from=<root>", FROM, TO),
        ("NOQUEUE: client=mail.example.com[198.51.100.7]",),
        (REJECT.replace("RCPT", "CONNECT"),),
        (REJECT.replace("reject:", "reject_warning:"),),
        ("statistics: max connection rate 1/60s", "warning: to=<bob@example.org>", "connect from x[192.0.2.1]"),
        (ACCEPT, FROM, REMOVED, TO),
        (ACCEPT, FROM, "3F2504E0AB: milter-reject: END-OF-MESSAGE; from=<a@b> to=<c@d>"),
    ],
)
def test_other_lines_are_no_requests(texts: tuple[str, ...]) -> None:
    deliveries, log = read(lines(*texts))
    assert (deliveries, log.complaint()) == ([], None)


@pytest.mark.parametrize(
    "line",
    [
        f"{STAMP} mx postfix/smtpd[4648]: message repeated 3 times: [ {REJECT}]\n",
        f"{STAMP} mx last message repeated 3 times\n",
    ],
)
def test_repeated_rejections_are_asked_about_as_often(line: str) -> None:
    assert read(lines(REJECT) + line)[0] == [DELIVERY] * 4
    assert read(lines(REJECT, "connect from x[192.0.2.1]") + line.replace(REJECT, "x"))[0] == [DELIVERY]


def test_who_is_refused_by_postscreen_was_never_asked_about() -> None:
    text = "NOQUEUE: reject: RCPT from [198.51.100.7]:57134: 450 4.3.2 later; from=<a>, to=<b>, proto=ESMTP, helo=<c>"
    deliveries, log = read(lines(text, program="postfix/postscreen[4648]") + lines(REJECT))
    assert (deliveries, log.complaint()) == ([DELIVERY], None)


@pytest.mark.parametrize(
    "text",
    [
        lines(REJECT.replace("to=<", "too=<")),
        lines(REJECT, stamp="garbage"),
        lines(ACCEPT.replace("[", "(")),
        "no line of a log\n",
    ],
)
def test_lines_that_can_not_be_read_are_counted(text: str) -> None:
    deliveries, log = read(lines(ACCEPT) + text + lines(FROM, TO))
    assert deliveries == [ACCEPTED]
    assert (log.complaint() or "").startswith("1 line could not be read and was skipped: log line 2: ")


def test_mail_whose_end_is_missing_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postgrey_py.commands.replay.deliveries.MAX_MESSAGES", 10)
    log = LogText([])
    reader = DeliveryReader(log, LogClock(NOW))
    text = lines(*(ACCEPT.replace("3F2504E0AB", f"{number:010X}") for number in range(1, 100)))
    assert list(reader.read(text.encode("latin-1"))) == []
    assert len(reader._messages) == 10
