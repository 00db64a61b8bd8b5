# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads of log lines, in every form that users have: one reader for rejections, decisions and deliveries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from postgrey_py.commands.loghead import find_head, lacks_head
from postgrey_py.commands.logtime import LogClock
from tests.commands.replay.test_deliveries import read as read_deliveries
from tests.commands.test_maillog import PASS, REJECT, read
from tests.support.hangs import limit_seconds

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc).timestamp()
SECONDS = int(datetime(2026, 11, 21, 8, tzinfo=timezone.utc).timestamp())
ISO = "2026-11-21T09:00:00.24+01:00"
OLD = "Nov 21 09:00:00"


def octets(text: str, encoding: str = "utf-8") -> str:
    """The text as a log has it, a character for each byte."""
    return text.encode(encoding).decode("latin-1")


# What stands before the message, %s for the program; the time as it is shown.
HEADS = {
    "rfc 3164": (f"{OLD} mx %s[77]: ", OLD),
    "without host": (f"{OLD} %s[77]: ", OLD),
    "without process": (f"{OLD} mx %s: ", OLD),
    "with priority": (f"<22>{OLD} mx %s[77]: ", OLD),
    "with year before": (f"2026 {OLD} mx %s[77]: ", f"2026 {OLD}"),
    "with year behind": ("Nov 21 2026 09:00:00 mx %s[77]: ", "Nov 21 2026 09:00:00"),
    "iso": (f"{ISO} mx %s[77]: ", ISO),
    "time in brackets": (f"[{ISO}] mx %s[77]: ", ISO),
    "old time in brackets": (f"[{OLD}] %s[77]: ", OLD),
    "iso with a space": ("2026-11-21 09:00:00 mx %s[77]: ", "2026-11-21 09:00:00"),
    "rfc 5424": (f"<22>1 {ISO} mx %s 1819 - - ", ISO),
    "rfc 5424 with data": (f'<22>1 {ISO} mx %s 1819 id [a@1 x="]\\" y"][b@2 z=""] \xef\xbb\xbf', ISO),
    "rfc 5424 without priority": (f"1 {ISO} mx %s - - -  ", ISO),
    "rfc 5424 behind an old head": (f"{OLD} relay 1 {ISO} mx %s 1819 - - ", ISO),
    "rfc 5424 with priority behind an old head": (f"{OLD} relay <22>1 {ISO} mx %s 1819 - - ", ISO),
    "short-precise": (f"{OLD}.123456 mx %s[77]: ", OLD),
    "short-iso": ("2026-11-21T09:00:00+0100 mx %s[77]: ", "2026-11-21T09:00:00+0100"),
    "short-full": ("Sat 2026-11-21 09:00:00 CET mx %s[77]: ", "Sat 2026-11-21 09:00:00 CET"),
    "short-full in UTC": ("Sat 2026-11-21 08:00:00 UTC mx %s[77]: ", "Sat 2026-11-21 08:00:00 UTC"),
    "short-unix": (f"{SECONDS}.123456 mx %s[77]: ", f"{SECONDS}.123456"),
    "with-unit": ("Sat 2026-11-21 09:00:00 CET mx %s@-.service[77]: ", "Sat 2026-11-21 09:00:00 CET"),
    "facility": (f"{OLD} mx [mail.info] %s[77]: ", OLD),
    "facility of busybox": (f"{OLD} mx mail.info %s[77]: ", OLD),
    "facility of FreeBSD": (f"{OLD} <2.6> mx %s[77]: ", OLD),
    "facility of Solaris": (f"{OLD} mx %s[77]: [ID 197553 mail.info] ", OLD),
    "a word between": (f"{OLD} mx mail %s[77]: ", OLD),
    "address in brackets": (f"{OLD} [2001:db8::1] %s[77]: ", OLD),
    "address": (f"{OLD} 2001:db8::1 %s[77]: ", OLD),
    "address that ends with colons": (f"{OLD} 2001:db8:: %s[77]: ", OLD),
    "host with a colon": (f"{OLD} mx: %s[77]: ", OLD),
    "host with brackets": (f"{OLD} mx[1] %s[77]: ", OLD),
    "host named postfix": (f"{OLD} postfix.example.org %s[77]: ", OLD),
    "docker compose": (f"mail    | {OLD} mx %s[77]: ", OLD),
    "docker compose in colours": (f"\x1b[36mmail_1  |\x1b[0m {OLD} mx %s[77]: ", OLD),
    "docker service": (f"mail.1.x2y@node1    | {OLD} mx %s[77]: ", OLD),
    "podman-compose": (f"[mail] | {OLD} mx %s[77]: ", OLD),
    "docker logs -t": (f"2026-11-21T08:00:00.123456789Z {OLD} mx %s[77]: ", "2026-11-21T08:00:00.123456789Z"),
    "docker logs -t alone": ("2026-11-21T08:00:00.123456789Z ", "2026-11-21T08:00:00.123456789Z"),
    "container engine": ("2026-11-21T08:00:00.123456789Z stderr F ", "2026-11-21T08:00:00.123456789Z"),
    "kubernetes": (f"2026-11-21T08:00:00.1Z stdout F {OLD} mx %s[77]: ", "2026-11-21T08:00:00.1Z"),
    "kubectl --prefix": (f"[pod/mail-0/mx] {OLD} mx %s[77]: ", OLD),
    "stern": (f"mail-0 mx {OLD} mx %s[77]: ", OLD),
    "docker's syslog": (f"{OLD} host docker/mail[812]: Nov 21 08:00:00 mx %s[77]: ", OLD),
    "docker's journal": (f"{OLD} host 3f2504e0ab[812]: ", OLD),
    "byte-order mark": (f"\xef\xbb\xbf{OLD} mx %s[77]: ", OLD),
    "program without colon": ("2026-11-21 09:00:00 mx %s ", "2026-11-21 09:00:00"),
    "German": ("Nov 21 09:00:00 mx %s[77]: ", OLD),
    "French": ("nov. 21 09:00:00 mx %s[77]: ", "nov. 21 09:00:00"),
    "Dutch": ("nov 21 09:00:00 mx %s[77]: ", "nov 21 09:00:00"),
    "Polish": ("lis 21 09:00:00 mx %s[77]: ", "lis 21 09:00:00"),
    "Portuguese in capitals": ("NOV 21 09:00:00 mx %s[77]: ", "NOV 21 09:00:00"),
    "Catalan": ("de nov. 21 09:00:00 mx %s[77]: ", "de nov. 21 09:00:00"),
    "Russian": (octets("ноя 21 09:00:00 mx ") + "%s[77]: ", octets("ноя 21 09:00:00")),
    "Russian of old": (octets("ноя 21 09:00:00 mx ", "koi8-r") + "%s[77]: ", octets("ноя 21 09:00:00", "koi8-r")),
    "Japanese": (octets("11月 21 09:00:00 mx ") + "%s[77]: ", octets("11月 21 09:00:00")),
    "Vietnamese": ("Thg 11 21 09:00:00 mx %s[77]: ", "Thg 11 21 09:00:00"),
    "day first": ("21 nov. 09:00:00 mx %s[77]: ", "21 nov. 09:00:00"),
    "day first with a full stop": ("21. Nov 09:00:00 mx %s[77]: ", "21. Nov 09:00:00"),
    "none, as of journalctl -o cat": ("", ""),
    "none, behind a name": ("mail-1  | ", ""),
    "the program alone": ("%s[77]: ", ""),
    "short-monotonic": ("[12345.678901] mx %s[77]: ", ""),
    "short-delta": ("[ 1245.678901 <    0.000001 >] mx %s[77]: ", ""),
}
each_head = pytest.mark.parametrize(("head", "stamp"), HEADS.values(), ids=HEADS)


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def with_program(head: str, program: str) -> str:
    return head % program if "%s" in head else head


@each_head
def test_decisions_and_rejections_are_read_behind_every_head(head: str, stamp: str) -> None:
    decision = with_program(head, "postgrey") + PASS.partition("]: ")[2]
    rejection = with_program(head, "postfix/smtpd") + REJECT.partition("]: ")[2]
    events, log = read(rejection, decision)
    assert [event.stamp for event in events] == [stamp] * 2
    assert [event.client_address for event in events] == ["198.51.100.7"] * 2
    assert [event.recipient for event in events] == ["bob@example.org"] * 2
    assert log.complaint() is None
    assert LogClock(NOW).seconds(stamp) == (SECONDS if stamp else None)


@each_head
def test_deliveries_are_read_behind_every_head_that_has_a_time(head: str, stamp: str) -> None:
    before = with_program(head, "postfix/smtpd")
    texts = (
        REJECT.partition("]: ")[2],
        "3F2504E0AB: client=mail.example.com[198.51.100.7]",
        "3F2504E0AB: from=<alice@example.com>, size=420, nrcpt=1 (queue active)",
        "3F2504E0AB: to=<bob@example.org>, relay=mailbox, status=sent (ok)",
    )
    deliveries, log = read_deliveries("".join(f"{before}{text}\n" for text in texts))
    if stamp:
        assert [delivery.recipient for delivery in deliveries] == ["bob@example.org"] * 2
        assert log.complaint() is None
    else:
        # A request needs a time.
        assert deliveries == []
        assert (log.complaint() or "").startswith("2 lines could not be read")


@pytest.mark.parametrize(
    ("name", "month"),
    [
        *[("Okt", 10), ("août", 8), ("Mär", 3), ("févr.", 2), ("déc.", 12), ("paź", 10), ("Dez", 12), ("ene", 1)],
        *[("giu", 6), ("mrt", 3), ("maj", 5), ("tammi", 1), ("říj", 10), ("Eyl", 9), ("Σεπ", 9), ("7月", 7)],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "iso8859-2", "iso8859-7"])
def test_months_of_other_languages_are_known(name: str, month: int, encoding: str) -> None:
    try:
        written = octets(name, encoding)
    except UnicodeEncodeError:
        # This language was never written so.
        return
    head = find_head(f"{written} 05 09:00:00 mx postgrey[77]: action=pass")
    assert head is not None
    day = LogClock(NOW).day(head.stamp)
    assert day is not None
    assert (day.month, day.day) == (month, 5)


def test_name_of_two_months_is_the_later_that_is_not_to_come() -> None:
    # November in Polish, October in Croatian.
    november, october = (datetime(2026, month, 25, tzinfo=timezone.utc).timestamp() for month in (11, 10))
    assert [str(LogClock(now).day("lis 20 09:00:00")) for now in (november, october)] == ["2026-11-20", "2026-10-20"]


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "foo bar: baz",
        "May I have your attention",
        "<html><body>",
        "\x7fELF\x02\x01\x01",
        '192.0.2.1 - - [21/Nov/2026:09:00:00 +0100] "GET / HTTP/1.1" 200 612',
        "2026/11/21 09:00:00 [error] 1#0: *1 open() failed",
    ],
)
def test_what_is_no_log_has_no_head(line: str) -> None:
    assert find_head(line) is None
    assert lacks_head(line.encode("latin-1"))


def test_line_in_an_unknown_language_is_read_without_its_time() -> None:
    events, log = read(PASS.replace("Nov", "nix"))
    assert [event.stamp for event in events] == [""]
    assert log.complaint() is None


@pytest.mark.parametrize(
    "said",
    [
        "action=pass, reason=triplet found, delay=999, client_name=x, client_address=203.0.113.9, recipient=b",
        "Nov 21 09:00:00 mx postgrey[1]: action=pass, reason=triplet found, client_address=203.0.113.9, recipient=b",
        "x[1]: action=pass, reason=client AWL, client_name=x, client_address=203.0.113.9, sender=a, recipient=b",
        "NOQUEUE: reject: RCPT from x[203.0.113.9]: 450 Greylisted; from=<q@x> to=<r@x> proto=ESMTP helo=<x>",
        "x[1]: NOQUEUE: reject: RCPT from x[203.0.113.9]: 450 Greylisted; from=<q@x> to=<r@x> proto=ESMTP helo=<x>",
        "message repeated 9 times: [ action=pass, reason=client AWL, client_address=203.0.113.9, recipient=b]",
        "last message repeated 9 times",
        f"1 {ISO} mx postgrey 1819 - - action=pass, reason=client AWL, client_address=203.0.113.9, recipient=b",
        "#012Nov 21 09:00:00 mx postgrey[1]: action=pass, reason=client AWL, client_address=203.0.113.9, recipient=b",
        '{"MESSAGE":"action=pass, reason=client AWL, client_address=203.0.113.9, recipient=b"}',
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "Nov 21 09:00:00 mx postfix/smtpd[9]: warning: non-SMTP command from x[192.0.2.1]: %s",
        "Nov 21 09:00:00 mx postfix/cleanup[9]: 3F2504E0AB: message-id=<%s>",
        "Nov 21 09:00:00 mx postfix/cleanup: 3F2504E0AB: message-id=<%s>",
        "Nov 21 09:00:00 mx dovecot: imap-login: Info: user=<%s>",
        f"<22>1 {ISO} mx postfix/cleanup 9 - - 3F2504E0AB: message-id=<%s>",
        "mail-1 | Nov 21 09:00:00 mx postfix/cleanup[9]: 3F2504E0AB: message-id=%s",
        "3F2504E0AB: message-id=%s",
        "2026-11-21T08:00:00.1Z stdout F 3F2504E0AB: message-id=%s",
    ],
)
def test_what_strangers_write_is_never_a_line_of_its_own(line: str, said: str) -> None:
    events, _ = read(REJECT, line % said)
    assert [event.client_address for event in events] == ["198.51.100.7"]
    assert [event.times for event in events] == [1]
    deliveries, _ = read_deliveries(line % said + "\n")
    assert deliveries == []


LITERALS = [
    *["reject: x[1]: 450 from=<", '"\\"', '"', "\\", "; from=<> to=<", "; from=<", "client_name=", "[", "]", ": ", "<"],
    *["> to=<", ", sender=", ", recipient=", "action=pass, reason=", "Nov 21 09:00:00 ", "[x] ", "\x1b[", "|"],
    *["postfix/smtpd[1]: ", "1 2026-11-21T09:00:00Z a b c d ", 'x="', " repeated ", "'", ", ", "a", " ", "client=x["],
    *["<bob@example.org>: Recipient address rejected: ", '; from=<""> to=<"', "; from=<a> to=<a> proto=", "-reject: "],
    *["\t", "\r", "{", '{"MESSAGE":', "-", "/", "@"],
]
STARTS = [
    "",
    "Nov 21 09:00:00 mx postfix/smtpd[4648]: ",
    "Nov 21 09:00:00 mx postfix/smtpd[4648]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 450 4.2.0 Greylisted ",
    "Nov 21 09:00:00 mx postfix/smtpd[4648]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 450 Greylisted; from=<",
    "Nov 21 09:00:00 mx postfix/smtpd[4648]: 3F2504E0AB: to=<",
    "Nov 21 09:00:00 mx postgrey[77]: action=pass, reason=triplet found, client_address=192.0.2.1, sender=",
    "Nov 21 09:00:00 mx postgrey[77]: action=pass, reason=",
    f"<22>1 {ISO} mx postgrey 1819 - [",
    "Nov 21 09:00:00 mx Last message '",
]


@pytest.mark.parametrize("literal", LITERALS)
def test_no_line_that_a_stranger_can_write_takes_long(literal: str) -> None:
    hostile = [start + literal * (65000 // len(literal)) + " Greylisted reject: action=" for start in STARTS]
    with limit_seconds(2.0 * len(STARTS)):
        read(*hostile)
        read_deliveries("".join(f"{line}\n" for line in hostile))
