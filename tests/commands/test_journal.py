# SPDX-License-Identifier: GPL-2.0-or-later
"""Logs that are objects: what journalctl makes for machines, and what Docker keeps."""

from __future__ import annotations

import io
import json

import pytest

from postgrey_py.commands.events import Event, Kind
from postgrey_py.commands.journal import as_lines
from postgrey_py.commands.logfiles import LogFile, LogText
from postgrey_py.commands.maillog import EventReader, compile_greylist_text
from postgrey_py.daemon.json_lines import JsonFormat
from postgrey_py.greylist.loglines import Level, LogLine
from tests.commands.test_maillog import PASS, PASSED

MESSAGE = PASS.partition("]: ")[2]
STAMP = "1795250913.123456"
ENTRY = {
    "__CURSOR": "s=1",
    "__REALTIME_TIMESTAMP": STAMP.replace(".", ""),
    "_HOSTNAME": "mx",
    "_PID": "77",
    "SYSLOG_IDENTIFIER": "postgrey",
    "MESSAGE": MESSAGE,
    "PRIORITY": "5",
}
LINE = f"{STAMP} mx postgrey[77]: {MESSAGE}\n".encode()


def lines(*blocks: bytes) -> bytes:
    return b"".join(as_lines(iter(blocks)))


@pytest.mark.parametrize("before", ["", "\x1e", "data: "], ids=["json", "json-seq", "json-sse"])
def test_objects_of_the_journal_are_lines(before: str) -> None:
    assert lines(f"{before}{json.dumps(ENTRY)}\n".encode() * 3) == LINE * 3


def test_message_that_is_no_text_is_an_array_of_octets() -> None:
    entry = ENTRY | {"MESSAGE": list(MESSAGE.replace("alice", "al\xefce").encode("latin-1"))}
    assert lines(json.dumps(entry).encode() + b"\n") == LINE.replace(b"alice", b"al\xefce")


def test_message_of_several_lines_is_one() -> None:
    assert lines(json.dumps(ENTRY | {"MESSAGE": f"a\n{MESSAGE}"}).encode() + b"\n").count(b"\n") == 1


def export(entry: dict[str, str], binary: bytes | None = None) -> bytes:
    fields = b"".join(
        f"{name}={value}\n".encode() for name, value in entry.items() if binary is None or name != "MESSAGE"
    )
    return (
        fields + (b"" if binary is None else b"MESSAGE\n" + len(binary).to_bytes(8, "little") + binary + b"\n") + b"\n"
    )


def test_export_of_the_journal_is_read() -> None:
    assert lines(export(ENTRY), export(ENTRY) + export(ENTRY)) == LINE * 3


def test_export_may_lack_its_last_empty_line() -> None:
    assert lines(export(ENTRY), export(ENTRY)[:-1]) == LINE * 2


def test_binary_fields_may_hold_empty_lines_and_what_looks_like_fields() -> None:
    entries = export(ENTRY, b"x\n\nMESSAGE=y\n") + export(ENTRY)
    for cut in range(1, len(entries)):
        assert lines(b"__CURSOR=s=0\n\n", entries[:cut], entries[cut:]).endswith(b"x  MESSAGE=y\n" + LINE)


def test_what_docker_keeps_is_read() -> None:
    text = json.dumps({"log": f"{MESSAGE}\n", "stream": "stderr", "time": "2026-11-21T08:57:34.123456789Z"}) + "\n"
    events = list(
        EventReader(LogText([LogFile("log", io.BytesIO(text.encode()))]), compile_greylist_text("Greylisted"))
    )
    assert events == [PASSED._replace(stamp="2026-11-21T08:57:34.123456789Z")]


@pytest.mark.parametrize(
    "text", [b"{", b'{"MESSAGE":null}', b"{}", b'{"a":' * 3000, b"\xff", b"Nov 21 {", b'{"MESSAGE":1}']
)
def test_other_lines_stay_as_they_are(text: bytes) -> None:
    assert lines(json.dumps(ENTRY).encode() + b"\n" + text + b"\n") == LINE + text + b"\n"
    assert lines(text + b"\n") == text + b"\n"


def test_lines_that_can_not_be_read_are_counted_by_their_number() -> None:
    text = f"{json.dumps(ENTRY)}\n{{}}\n".encode()
    log = LogText([LogFile("log", io.BytesIO(text))])
    events = list(EventReader(log, compile_greylist_text("Greylisted")))
    assert [type(event) for event in events] == [Event]
    assert events[0].kind is Kind.RETURNED
    assert log.complaint() == "1 line could not be read and was skipped: log line 2: '{}'"


# Messages that are objects themselves: the server's, with --log-format=json.
OBJECT = JsonFormat(lambda: 1795250913.123)(LogLine(Level.NOTICE, MESSAGE, fields={"action": "pass"}))


def test_object_in_a_line_of_syslog_is_the_text_in_it() -> None:
    other = "Nov 21 09:40:00 mx postfix/smtpd[1]: connect from unknown[192.0.2.7]\n"
    text = f"{other}Nov 21 09:40:00 mx postgrey[77]: {OBJECT}\n{other}"
    assert lines(text.encode()) == f"{other}Nov 21 09:40:00 mx postgrey[77]: {MESSAGE}\n{other}".encode()


def test_object_in_the_journal_and_in_its_export_is_the_text_in_it() -> None:
    entry = ENTRY | {"MESSAGE": OBJECT}
    assert lines(json.dumps(entry).encode() + b"\n") == LINE
    assert lines(export(entry)) == LINE


def test_object_that_docker_keeps_is_the_text_in_it() -> None:
    entry = {"log": f"{OBJECT}\n", "stream": "stderr", "time": "2026-11-21T09:40:00.5Z"}
    assert lines(json.dumps(entry).encode() + b"\n") == f"2026-11-21T09:40:00.5Z {MESSAGE}\n".encode()


def test_log_of_objects_alone_is_read() -> None:
    time = json.loads(OBJECT)["time"]
    assert lines(f"{OBJECT}\n".encode() * 2) == f"{time} {MESSAGE}\n".encode() * 2
    log = LogText([LogFile("log", io.BytesIO(f"{OBJECT}\n".encode()), False)])
    (event,) = EventReader(log, compile_greylist_text("Greylisted"))
    assert (event.kind, event.delay) == (Kind.RETURNED, PASSED.delay)


def test_octets_in_an_object_come_back_and_control_characters_are_shown() -> None:
    text = JsonFormat(lambda: 0.0)(LogLine(Level.NOTICE, "a\xefb\nc"))
    assert lines(f"mx postgrey[1]: {text}\n".encode()) == b"mx postgrey[1]: a\xefb%0Ac\n"


@pytest.mark.parametrize(
    "message", ['{"time":"x"', '{"time":"x","message":5}', '{"time":"x"}', '{"time":"' + "[" * 9000 + '"}', '{"a":1}']
)
def test_object_without_a_text_stays(message: str) -> None:
    line = f"Nov 21 09:40:00 mx postgrey[77]: {message}\n".encode()
    assert lines(line) == line
