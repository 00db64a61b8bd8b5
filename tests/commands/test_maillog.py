# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lines of a mail log say about greylisting."""

from __future__ import annotations

import io

import pytest

from postgrey_py.commands import logfiles
from postgrey_py.commands.events import Event, Kind
from postgrey_py.commands.logfiles import LogText
from postgrey_py.commands.maillog import EventReader, compile_greylist_text
from postgrey_py.errors import UsageError

REJECT = (
    "Nov 21 09:57:31 mx postfix/smtpd[4648]: NOQUEUE: reject: RCPT from mail.example.com[198.51.100.7]: "
    "450 4.2.0 <bob@example.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/"
    "example.org.html; from=<alice@example.com> to=<bob@example.org> proto=ESMTP helo=<mail.example.com>"
)
REJECTED = Event(
    Kind.REJECTED, "Nov 21 09:57:31", "mail.example.com", "198.51.100.7", "alice@example.com", "bob@example.org", None
)
PASS = (
    "Nov 21 09:57:34 mx postgrey[77]: action=pass, reason=triplet found, delay=302, client_name=mail.example.com, "
    "client_address=198.51.100.7, sender=alice@example.com, recipient=bob@example.org"
)
PASSED = REJECTED._replace(kind=Kind.RETURNED, stamp="Nov 21 09:57:34", delay=302)


def read(*lines: str) -> tuple[list[Event], LogText]:
    """The events of these lines, and the text they were in."""
    text = "".join(f"{line}\n" for line in lines).encode("latin-1")
    log = LogText([logfiles.LogFile("log", io.BytesIO(text))])
    return list(EventReader(log, compile_greylist_text("Greylisted"))), log


def test_rejections_of_postfix_and_passes_of_the_server_are_read() -> None:
    events, log = read(REJECT, "Nov 21 09:57:33 mx postfix/smtpd[4648]: connect from unknown[192.0.2.1]", PASS)
    assert events == [REJECTED, PASSED]
    assert log.complaint() is None
    assert log.total == 3


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("mail.example.com[198", "unknown[198", {"client_name": "unknown"}),
        ("198.51.100.7]", "2001:db8::7]", {"client_address": "2001:db8::7"}),
        ("198.51.100.7]", "198.51.100.7]:57134", {}),
        ("198.51.100.7]", "unknown]", {"client_address": "unknown"}),
        ("from=<alice@example.com>", "from=<>", {"sender": ""}),
        ("450 4.2.0", "451 4.7.1", {}),
        ("450 4.2.0", "421", {}),
        ("NOQUEUE", "3F2504E0AB", {}),
        ("NOQUEUE", "4jWngf3ytXzJ9y0", {}),
        ("Nov 21 09:57:31", "2026-11-21T09:57:31.1+01:00", {"stamp": "2026-11-21T09:57:31.1+01:00"}),
        ("postfix/smtpd[4648]", "postfix-mx2/smtpd[4648]", {}),
        ("postfix/smtpd[4648]", "postfix/smtpd", {}),
        ("[4648]: ", "[4648]: [ID 197553 mail.info] ", {}),
        (" proto=ESMTP helo=<mail.example.com>", "", {}),
        ("<alice@", '<"alice and bob"@', {"sender": "alice and bob@example.com"}),
        ("<alice@", r'<"a\"b\\c"@', {"sender": r'a"b\c@example.com'}),
        ("<alice@", "<alice/x=y@", {"sender": "alice/x=y@example.com"}),
        ("<alice@", '<"a> to=<x"@', {"sender": "a> to=<x@example.com"}),
        ("to=<bob@", 'to=<"x; from=<q> to=<r> "@', {"recipient": "x; from=<q> to=<r> @example.org"}),
        ("450 4.2.0 <bob@", "450 4.2.0 <x; from=<q> to=<r>@", {}),
        ("helo=<mail.example.com>", "helo=<x; from=<q@evil.example> to=<r@evil.example> proto=>", {}),
        ("helo=<mail.example.com>", "helo=<x reject: RCPT from y[192.0.2.9]: 450 Greylisted>", {}),
        ("Nov 21 09:57:31", "mail-1 | Nov 21 09:57:31", {}),
    ],
)
def test_rejections_are_read_in_all_their_forms(old: str, new: str, changed: dict[str, str]) -> None:
    assert old in REJECT
    events, log = read(REJECT.replace(old, new, 1))
    assert events == [REJECTED._replace(**changed)]  # type: ignore[arg-type]
    assert log.complaint() is None


@pytest.mark.parametrize("end", ['"b@example.com>', '"b@example.com', '"b"' * 20, "; from=<" * 200])
def test_address_with_a_single_quote_does_not_take_for_ever(end: str) -> None:
    line = REJECT.partition("alice@")[0] + "a" * 1000 + end
    events, log = read(line, f"{line} to=<bob@example.org> proto=ESMTP helo=<x>")
    assert len(events) + log.skipped == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Greylisted, see", "Try again, see"),
        ("450 4.2.0", "550 5.7.1"),
        ("NOQUEUE: reject: ", "NOQUEUE: warn: "),
    ],
)
def test_other_lines_of_postfix_are_not_about_greylisting(old: str, new: str) -> None:
    assert old in REJECT
    events, log = read(REJECT.replace(old, new, 1))
    assert (events, log.complaint()) == ([], None)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("triplet found, delay=302", "triplet found", {"kind": Kind.KNOWN, "delay": None}),
        ("triplet found, delay=302", "client whitelist", {"kind": Kind.WHITELISTED, "delay": None}),
        ("triplet found, delay=302", "recipient whitelist", {"kind": Kind.WHITELISTED, "delay": None}),
        ("triplet found, delay=302", "client AWL", {"kind": Kind.AUTO_WHITELISTED, "delay": None}),
        ("pass, reason=triplet found, delay=302", "greylist, reason=new", {"kind": Kind.GREYLISTED, "delay": None}),
        (
            "pass, reason=triplet found, delay=302",
            "greylist, reason=early-retry (298s missing)",
            {"kind": Kind.GREYLISTED, "delay": None},
        ),
        (", sender=alice@example.com", "", {"sender": ""}),
        (", client_name=mail.example.com", "", {"client_name": ""}),
        (", recipient=bob@example.org", "", {"recipient": ""}),
        ("=alice@", "=a, b@", {"sender": "a, b@example.com"}),
        (": action", ": 4jWngf3ytXzJ9y0: action", {}),
        ("198.51.100.7", "2001:db8::7", {"client_address": "2001:db8::7"}),
        ("postgrey[77]", "postgrey", {}),
        ("198.51.100.7", "198.51.100.7/32", {}),
        ("198.51.100.7", "2001:db8::7/128", {"client_address": "2001:db8::7"}),
        ("alice@", "a, recipient=carol@example.org, b@", {"sender": "a, recipient=carol@example.org, b@example.com"}),
        ("bob@example.org", "bob@example.org\r", {}),
    ],
)
def test_lines_of_the_server_are_read_in_all_their_forms(old: str, new: str, changed: dict[str, object]) -> None:
    assert old in PASS
    events, log = read(PASS.replace(old, new, 1))
    assert events == [PASSED._replace(**changed)]  # type: ignore[arg-type]
    assert log.complaint() is None


def test_action_in_the_words_of_a_client_is_no_decision() -> None:
    line = PASS.replace("postgrey[77]: ", "postfix/smtpd[1]: warning: non-SMTP command from x[192.0.2.1]: ")
    events, log = read(line, "Nov 21 09:57:34 mx policyd[7]: action=PREPEND Received-SPF: pass")
    assert (events, log.complaint()) == ([], None)


def test_deferrals_of_the_server_are_left_out_where_postfix_tells_of_them() -> None:
    greylist = PASS.replace("pass, reason=triplet found, delay=302", "greylist, reason=new")
    events, _ = read(greylist, REJECT, greylist, REJECT, PASS)
    assert [event.kind for event in events] == [Kind.REJECTED, Kind.REJECTED, Kind.RETURNED]
    events, _ = read(greylist, greylist, PASS)
    assert [event.kind for event in events] == [Kind.GREYLISTED, Kind.GREYLISTED, Kind.RETURNED]


# Repeated lines

OF_RSYSLOG = "Nov 21 09:58:00 mx postgrey[77]: message repeated 3 times: [ {}]"


def test_message_that_rsyslog_repeats_counts_as_often() -> None:
    text = PASS.partition("]: ")[2]
    events, log = read(PASS, OF_RSYSLOG.format(text), OF_RSYSLOG.format(REJECT.partition("]: ")[2]))
    assert events == [
        PASSED,
        PASSED._replace(stamp="Nov 21 09:58:00", times=3),
        REJECTED._replace(stamp="Nov 21 09:58:00", times=3),
    ]
    assert log.complaint() is None


@pytest.mark.parametrize(
    "line",
    [
        "Nov 21 09:58:00 mx last message repeated 3 times",
        "Nov 21 09:58:00 last message repeated 3 times",
        "Nov 21 09:58:00 mx syslogd: last message repeated 3 times",
        "Nov 21 09:58:00 mx --- last message repeated 3 times ---",
        "Nov 21 09:58:00 mx syslog-ng[1]: Last message 'NOQUEUE: reject: RCP' repeated 3 times, suppressed by mx",
    ],
)
@pytest.mark.parametrize(("text", "event"), [(REJECT, REJECTED), (PASS, PASSED)])
def test_last_message_that_was_repeated_counts_as_often(line: str, text: str, event: Event) -> None:
    repeated = event._replace(stamp="Nov 21 09:58:00", times=3)
    events, log = read(text, line)
    assert events == [event, repeated]
    events, log = read(text, line, line)
    assert events == [event, repeated, repeated]
    assert log.complaint() is None


def test_repeated_message_that_tells_of_no_mail_is_nothing() -> None:
    connect = "Nov 21 09:57:33 mx postfix/smtpd[4648]: connect from unknown[192.0.2.1]"
    repeated = "Nov 21 09:58:00 mx last message repeated 3 times"
    events, log = read(repeated, REJECT, connect, repeated)
    assert (events, log.complaint()) == ([REJECTED], None)


def test_message_may_be_repeated_in_the_next_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "_BLOCK_BYTES", len(REJECT) + 1)
    events, _ = read(REJECT, "Nov 21 09:58:00 mx last message repeated 3 times")
    assert [event.times for event in events] == [1, 3]


# Postfix that only warns


def test_warning_of_postfix_is_mail_that_would_have_been_deferred() -> None:
    events, log = read(REJECT.replace("reject: ", "reject_warning: "))
    assert (events, log.complaint()) == ([REJECTED._replace(kind=Kind.WARNED)], None)


def test_log_with_warnings_alone_is_one_of_postfix() -> None:
    log = LogText(
        [logfiles.LogFile("log", io.BytesIO(REJECT.replace("reject: ", "reject_warning: ").encode() + b"\n"))]
    )
    reader = EventReader(log, compile_greylist_text("Greylisted"))
    assert len(list(reader)) == 1
    assert reader.is_of_postfix


def test_log_of_exim_in_which_a_client_says_reject_is_none_of_postfix() -> None:
    greylist = PASS.replace("pass, reason=triplet found, delay=302", "greylist, reason=new")
    events, _ = read(
        "2026-11-21 09:57:00 H=(reject: RCPT) [192.0.2.1] rejected RCPT <b@example.org>: reject: x", greylist
    )
    assert [event.kind for event in events] == [Kind.GREYLISTED]


def test_rejections_of_postscreen_are_passed_over() -> None:
    events, log = read(
        "Nov 21 09:57:31 mx postfix/postscreen[4648]: NOQUEUE: reject: RCPT from [198.51.100.7]:57134: 450 4.3.2 "
        "Service currently unavailable; from=<a@example.com>, to=<b@example.org>, proto=ESMTP, helo=<Greylisted>",
        PASS,
    )
    assert (events, log.complaint()) == ([PASSED], None)


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "\0\x01\x02",
        REJECT.replace("from=<", "form=<"),
        REJECT.replace("[198.51.100.7]", ""),
        PASS.replace("client_address=", "address="),
    ],
)
def test_lines_that_can_not_be_read_are_counted(line: str) -> None:
    events, log = read(REJECT, line, PASS)
    assert [event.kind for event in events] == [Kind.REJECTED, Kind.RETURNED]
    assert (log.complaint() or "").startswith("1 line could not be read and was skipped: log line 2: ")


def test_empty_lines_and_remarks_of_the_journal_are_nothing_to_complain_of() -> None:
    _, log = read("-- Journal begins at Mon 2026-01-05 10:00:00 CET. --", "", "-- Boot 0123456789abcdef --", REJECT)
    assert log.complaint() is None


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("Greylisted", True),
        ("Recipient address rejected", True),
        ("greylisted", False),
        ("(?i)greylisted", True),
        ("rejected: Grey.*example\\.org", True),
        ("see http://postgrey.schweikert.ch/help/%r.html", True),
        ("Recipient .* %s seconds", False),
        ("4.2.%s <bob", True),
    ],
)
def test_greylist_text_is_a_pattern_with_the_placeholders_of_the_server(pattern: str, is_found: bool) -> None:
    assert bool(compile_greylist_text(pattern)(REJECT.encode("latin-1"))) == is_found


def test_bad_greylist_text_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--greylist-text: '\\(' is no regular expression"):
        compile_greylist_text("(")
