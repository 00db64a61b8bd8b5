# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import socket
import stat
import syslog
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from postgrey_py.daemon import logs, standard_error
from postgrey_py.daemon.logs import (
    Log,
    StderrSink,
    SyslogLibrarySink,
    SyslogSink,
    find_facility,
    find_syslog_trouble,
    open_log,
)
from postgrey_py.errors import UsageError
from postgrey_py.greylist.loglines import Level, LogLine, complaint
from postgrey_py.greylist.settings import Settings

untimed = hypothesis_settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

# How long a test waits for what must come.
PATIENCE = 30.0

MANY = [(Level.NOTICE, f"line {number:04} {'x' * 90}") for number in range(2000)]


def notices(*texts: str) -> list[tuple[Level, str]]:
    return [(Level.NOTICE, text) for text in texts]


# Standard error as a file.


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file, and a descriptor that appends to it."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield path, descriptor
    os.close(descriptor)


def test_a_file_gets_the_lines_without_any_prefix(file: tuple[Path, int]) -> None:
    path, descriptor = file
    sink = StderrSink(descriptor)
    assert sink.write([(Level.NOTICE, "first"), (Level.CRITICAL, "second")]) == 0
    assert sink.write([(Level.DEBUG, "third")]) == 0
    assert path.read_bytes() == b"first\nsecond\nthird\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", b""),
        (" ~!{}<5>%s%%", b" ~!{}<5>%s%%"),
        ("a\nb", b"a%0Ab"),
        ("a\r\tb\x00\x1b[31m", b"a%0D%09b%00%1B[31m"),
        ("\x7f", b"%7F"),
        ("caf\xe9 \xff\x80\xa0", b"caf%E9 %FF%80%A0"),
        ("\xc3\xa9", b"%C3%A9"),
    ],
)
def test_what_is_not_printable_ascii_is_escaped(text: str, written: bytes, file: tuple[Path, int]) -> None:
    path, descriptor = file
    assert StderrSink(descriptor).write(notices(text, "next")) == 0
    assert path.read_bytes() == written + b"\nnext\n"


def test_a_file_takes_any_number_of_lines_of_any_length(file: tuple[Path, int]) -> None:
    path, descriptor = file
    assert StderrSink(descriptor).write([*MANY, (Level.NOTICE, "y" * 100_000)]) == 0
    assert path.read_text().splitlines() == [*(text for _, text in MANY), "y" * 100_000]


def test_lines_that_a_file_does_not_take_are_counted(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    descriptor = os.open(tmp_path / "log", os.O_RDONLY)
    try:
        assert StderrSink(descriptor).write(notices("one", "two", "three")) == 3
    finally:
        os.close(descriptor)


# Standard error as a pipe.


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_all(reader: int) -> bytes:
    """All that is in this pipe now."""
    octets = b""
    while select.select([reader], [], [], 0)[0]:
        octets += os.read(reader, 65536)
    return octets


def fill(writer: int) -> None:
    """Fill this pipe to the last byte."""
    os.set_blocking(writer, False)
    for size in (65536, 1):
        try:
            while True:
                os.write(writer, b"." * size)
        except BlockingIOError:
            continue
    os.set_blocking(writer, True)


def returns(act: Callable[[], int]) -> int | None:
    """What `act` returns, or None where it has not returned after a long while."""
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(act()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return results[0] if results else None


def test_a_pipe_gets_the_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    assert StderrSink(writer).write(notices("one", "\xe9", "three")) == 0
    assert os.read(reader, 1000) == b"one\n%E9\nthree\n"


def test_a_pipe_that_is_read_gets_every_line(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    expected = "".join(f"{text}\n" for _, text in MANY).encode()
    received: list[bytes] = []

    def read() -> None:
        while sum(map(len, received)) < len(expected):
            received.append(os.read(reader, 65536))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert StderrSink(writer).write(MANY) == 0
    thread.join(PATIENCE)
    assert b"".join(received) == expected


def test_a_full_pipe_that_nobody_reads_loses_lines_and_counts_them(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    sink = StderrSink(writer)
    assert returns(lambda: sink.write(MANY)) == len(MANY)
    assert returns(lambda: sink.write(notices("one more"))) == 1
    assert set(read_all(reader)) == set(b".")
    # Then it goes on.
    assert sink.write(notices("again")) == 0
    assert read_all(reader) == b"again\n"


def test_a_pipe_that_becomes_full_has_whole_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lost = returns(lambda: StderrSink(writer).write(MANY))
    lines = read_all(reader).decode().splitlines(keepends=True)
    assert lost is not None
    assert 0 < lost < len(MANY)
    assert len(lines) + lost == len(MANY)
    assert lines == [f"{text}\n" for _, text in MANY[: len(lines)]]


@pytest.mark.parametrize("length", [select.PIPE_BUF - 1, select.PIPE_BUF, 6000, 70_000, 200_000])
def test_a_long_line_never_waits_for_a_pipe_that_nobody_reads(length: int, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    # Room for one write that is not split, and for no more.
    os.read(reader, select.PIPE_BUF)
    sink = StderrSink(writer)
    lost = returns(lambda: sink.write([(Level.NOTICE, "y" * length)]))
    read_all(reader)
    assert lost == (length >= select.PIPE_BUF)


def test_a_long_line_comes_whole_where_it_is_read(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = notices("before", "y" * 10_000, "behind", "\xe9" * 5000, "end")
    assert StderrSink(writer).write(lines) == 0
    expected = f"before\n{'y' * 10_000}\nbehind\n{'%E9' * 5000}\nend\n"
    assert read_all(reader).decode() == expected


def test_a_pipe_is_written_in_whole_lines_as_long_as_they_fit() -> None:
    # A pipe of packets, each of which is one write. With their line ends, those of each row fill one.
    rows = [[50, select.PIPE_BUF - 52], [0], [select.PIPE_BUF - 1], [7, 2000, select.PIPE_BUF - 2010]]
    reader, writer = os.pipe2(os.O_DIRECT)
    try:
        assert StderrSink(writer).write(notices(*("y" * length for row in rows for length in row))) == 0
        writes = []
        while select.select([reader], [], [], 0)[0]:
            writes.append(os.read(reader, 65536))
    finally:
        os.close(reader)
        os.close(writer)
    assert [[len(line) for line in write.decode().splitlines()] for write in writes] == rows
    assert all(write.endswith(b"\n") for write in writes)


def test_a_busy_pipe_is_waited_for_a_little(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pipe
    fill(writer)
    monkeypatch.setattr(standard_error, "LONGEST_WAIT_MS", 1000 * PATIENCE)
    reads_soon = threading.Timer(0.05, lambda: os.read(reader, 65536))
    reads_soon.start()
    assert StderrSink(writer).write(notices("text")) == 0
    reads_soon.join()
    assert read_all(reader).endswith(b"text\n")


def test_a_pipe_without_reader_loses_lines() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert StderrSink(writer).write(notices("one", "two")) == 2
    finally:
        os.close(writer)


def test_a_descriptor_that_was_closed_loses_lines() -> None:
    reader, writer = os.pipe()
    sink = StderrSink(writer)
    os.close(reader)
    os.close(writer)
    assert sink.write(notices("one", "two")) == 2


def test_a_pipe_that_does_not_block_loses_lines(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    fcntl.fcntl(writer, fcntl.F_SETFL, fcntl.fcntl(writer, fcntl.F_GETFL) | os.O_NONBLOCK)
    assert 0 < StderrSink(writer).write(MANY) < len(MANY)


# Standard error as systemd's journal, which is a stream socket.


def stream_of(descriptor: int) -> str:
    """What systemd puts into JOURNAL_STREAM for this descriptor."""
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}"


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, int]]:
    """The journal's end of a stream, and a descriptor of ours."""
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs, ours:
        monkeypatch.setenv("JOURNAL_STREAM", stream_of(ours.fileno()))
        yield theirs, ours.fileno()


def test_the_journal_gets_a_priority_before_each_line(journal: tuple[socket.socket, int]) -> None:
    theirs, descriptor = journal
    sink = StderrSink(descriptor)
    assert sink.write([(level, f"{level.name} \xe9") for level in Level]) == 0
    assert sink.write(notices("next")) == 0
    assert theirs.recv(1000).decode() == (
        "<2>CRITICAL %E9\n<3>ERROR %E9\n<4>WARNING %E9\n<5>NOTICE %E9\n<6>INFO %E9\n<7>DEBUG %E9\n<5>next\n"
    )


def test_a_journal_that_does_not_read_loses_lines(journal: tuple[socket.socket, int]) -> None:
    theirs, descriptor = journal
    sink = StderrSink(descriptor)
    for _ in range(100):
        lost = returns(lambda: sink.write(MANY))
        if lost:
            break
    assert lost
    assert read_all(theirs.fileno()).startswith(b"<5>line 0000 ")
    assert sink.write(notices("again")) == 0
    assert theirs.recv(100) == b"<5>again\n"


@pytest.mark.parametrize("stream", [None, "", "0:0", "rubbish"])
def test_anything_else_gets_no_priority(
    stream: str | None, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if stream is None:
        monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    else:
        monkeypatch.setenv("JOURNAL_STREAM", stream)
    assert StderrSink(pipe[1]).write(notices("text")) == 0
    assert os.read(pipe[0], 100) == b"text\n"


def test_another_stream_of_the_journal_does_not_count(
    journal: tuple[socket.socket, int], file: tuple[Path, int]
) -> None:
    path, descriptor = file
    assert StderrSink(descriptor).write(notices("text")) == 0
    assert path.read_bytes() == b"text\n"


# Syslog.


class SyslogDaemon:
    """A syslog daemon's socket; it holds what it gets until it is asked for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.fspath(path))
        self.socket.setblocking(False)

    def messages(self) -> list[bytes]:
        """What has come since the last time."""
        messages = []
        try:
            while True:
                messages.append(self.socket.recv(1 << 20))
        except BlockingIOError:
            return messages

    def texts(self) -> list[str]:
        """The same without priority, time and identity."""
        return [message.split(b"]: ", 1)[1].decode("latin-1") for message in self.messages()]

    def stop(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def syslogd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyslogDaemon]:
    # The path of a socket must be short.
    daemon = SyslogDaemon(tmp_path_factory.mktemp("syslog") / "log")
    yield daemon
    daemon.stop()


def make_sink(daemon: SyslogDaemon, facility: int = syslog.LOG_MAIL) -> SyslogSink:
    return SyslogSink(facility, os.fspath(daemon.path))


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("facility", [syslog.LOG_MAIL, syslog.LOG_LOCAL0])
def test_syslog_gets_priority_time_and_identity(level: Level, facility: int, syslogd: SyslogDaemon) -> None:
    assert make_sink(syslogd, facility).write([(level, "action=pass, 100%")]) == 0
    (message,) = syslogd.messages()
    # RFC 3164: the day of the month has two places.
    form = rb"<(\d+)>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d postgrey\[(\d+)\]: (.*)"
    match = re.fullmatch(form, message)
    assert match is not None, message
    assert int(match[1]) == facility | level
    assert int(match[2]) == os.getpid()
    assert match[3] == b"action=pass, 100%"


def test_levels_are_those_of_syslog() -> None:
    numbers = (
        syslog.LOG_CRIT,
        syslog.LOG_ERR,
        syslog.LOG_WARNING,
        syslog.LOG_NOTICE,
        syslog.LOG_INFO,
        syslog.LOG_DEBUG,
    )
    assert tuple(Level) == numbers


def test_each_line_is_a_message(syslogd: SyslogDaemon) -> None:
    sink = make_sink(syslogd)
    assert sink.write(notices("one", "two")) == 0
    assert sink.write(notices("", "y" * 3000)) == 0
    assert syslogd.texts() == ["one", "two", "", "y" * 3000]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (" ~%s<5>", b" ~%s<5>"),
        ("a\nb\r\tc\x00\x1b\x7f", b"a%0Ab%0D%09c%00%1B%7F"),
        # All else as the bytes that came.
        ("caf\xe9 \xff\x80\xa0", b"caf\xe9 \xff\x80\xa0"),
        ("\xc3\xa9\n", b"\xc3\xa9%0A"),
    ],
)
def test_control_characters_are_escaped_for_syslog(text: str, written: bytes, syslogd: SyslogDaemon) -> None:
    assert make_sink(syslogd).write(notices(text)) == 0
    (message,) = syslogd.messages()
    assert message.split(b"]: ", 1)[1] == written


def test_a_syslog_daemon_that_was_restarted_is_found_again(syslogd: SyslogDaemon) -> None:
    sink = make_sink(syslogd)
    assert sink.write(notices("one")) == 0
    assert syslogd.texts() == ["one"]
    syslogd.stop()
    assert sink.write(notices("two", "three")) == 2
    again = SyslogDaemon(syslogd.path)
    try:
        assert sink.write(notices("four", "five")) == 0
        assert again.texts() == ["four", "five"]
    finally:
        again.stop()


def test_a_restart_between_two_lines_costs_none(syslogd: SyslogDaemon) -> None:
    sink = make_sink(syslogd)
    assert sink.write(notices("one")) == 0
    syslogd.stop()
    again = SyslogDaemon(syslogd.path)
    try:
        assert sink.write(notices("two")) == 0
        assert again.texts() == ["two"]
    finally:
        again.stop()


def test_a_syslog_daemon_that_starts_late_is_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("syslog") / "log"
    sink = SyslogSink(syslog.LOG_MAIL, os.fspath(path))
    assert sink.write(notices("one", "two")) == 2
    daemon = SyslogDaemon(path)
    try:
        assert sink.write(notices("three")) == 0
        assert daemon.texts() == ["three"]
    finally:
        daemon.stop()


def test_a_syslog_daemon_that_does_not_read_loses_lines_and_they_are_counted(syslogd: SyslogDaemon) -> None:
    sink = make_sink(syslogd)
    lost = returns(lambda: sink.write(MANY))
    texts = syslogd.texts()
    assert lost is not None
    assert 0 < lost < len(MANY)
    assert texts == [text for _, text in MANY[: len(texts)]]
    assert len(texts) + lost == len(MANY)
    # Then it goes on.
    assert sink.write(notices("again")) == 0
    assert syslogd.texts() == ["again"]


def test_a_line_too_long_for_a_datagram_costs_that_line_only(syslogd: SyslogDaemon) -> None:
    sink = make_sink(syslogd)
    assert sink.write(notices("one", "y" * (8 << 20), "three")) == 1
    assert syslogd.texts() == ["one", "three"]


# syslog(3), where syslog is no socket.


def test_the_library_gets_what_it_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, written = [], []
    monkeypatch.setattr(syslog, "openlog", lambda *arguments: opened.append(arguments))
    # As the real one does: it takes a text that has a form in UTF-8.
    monkeypatch.setattr(syslog, "syslog", lambda level, text: written.append((level, text.encode("utf-8"))))
    sink = SyslogLibrarySink(syslog.LOG_MAIL)
    assert sink.write([(Level.NOTICE, "a\nb"), (Level.ERROR, "\xc3\xa9"), (Level.CRITICAL, "caf\xe9")]) == 0
    assert opened == [("postgrey", syslog.LOG_PID, syslog.LOG_MAIL)]
    assert written == [(5, b"a%0Ab"), (3, b"\xc3\xa9"), (2, b"caf\\xe9")]


# Whatever comes.


@untimed
@given(st.lists(st.binary(max_size=20).map(lambda octets: octets.decode("latin-1")) | st.text(max_size=5), max_size=4))
def test_sinks_take_any_text_as_one_line(texts: list[str]) -> None:
    reader, writer = os.pipe()
    try:
        assert StderrSink(writer).write(notices(*texts)) == 0
        written = read_all(reader)
    finally:
        os.close(reader)
        os.close(writer)
    assert written.count(b"\n") == len(texts)
    assert re.fullmatch(rb"[ -~\n]*", written)


@untimed
@given(st.lists(st.binary(max_size=20).map(lambda octets: octets.decode("latin-1")) | st.text(max_size=5), max_size=4))
def test_syslog_takes_any_text_as_one_message(texts: list[str]) -> None:
    # No fixture: each example needs a socket of its own.
    address = f"\0postgrey-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(address)
        assert SyslogSink(syslog.LOG_MAIL, address).write(notices(*texts)) == 0
        for _ in texts:
            assert not re.search(rb"[\x00-\x1f\x7f]", daemon.recv(1000, socket.MSG_DONTWAIT))
        with pytest.raises(BlockingIOError):
            daemon.recv(1000, socket.MSG_DONTWAIT)


# The log.


class FickleSink:
    """Takes lines while it has room for them."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.lines: list[tuple[Level, str]] = []

    def write(self, lines: list[tuple[Level, str]]) -> int:
        taken, refused = lines[: self.room], lines[self.room :]
        self.room -= len(taken)
        self.lines += taken
        return len(refused)


ONE_OF_EACH = [LogLine(level, level.name) for level in Level]


@pytest.mark.parametrize("threshold", Level)
def test_what_is_below_the_threshold_is_dropped(threshold: Level) -> None:
    sink = FickleSink()
    Log(sink, threshold).write(ONE_OF_EACH)
    assert sink.lines == [(level, level.name) for level in Level if level <= threshold]


def test_lines_stay_in_order() -> None:
    sink = FickleSink()
    log = Log(sink)
    log.write([LogLine(Level.NOTICE, "one"), LogLine(Level.CRITICAL, "two")])
    log.write([])
    log.line(Level.WARNING, "three")
    log.complain("four")
    assert sink.lines == [
        (Level.NOTICE, "one"),
        (Level.CRITICAL, "two"),
        (Level.WARNING, "three"),
        (Level.WARNING, "four"),
    ]


def test_complaints_have_a_mark_where_1_37_has_one() -> None:
    lines = [complaint("can't"), LogLine(Level.WARNING, "whitelisted: x"), LogLine(Level.NOTICE, "action=pass")]
    plain, marked = FickleSink(), FickleSink()
    Log(plain).write(lines)
    Log(marked, marks_complaints=True).write(lines)
    assert [text for _, text in plain.lines] == ["can't", "whitelisted: x", "action=pass"]
    assert [text for _, text in marked.lines] == ["WARNING: can't", "whitelisted: x", "action=pass"]
    Log(marked, marks_complaints=True).complain("again")
    assert marked.lines[-1] == (Level.WARNING, "WARNING: again")


def test_lost_lines_are_told_once_the_log_takes_lines_again() -> None:
    sink = FickleSink(room=1)
    log = Log(sink)
    log.write([LogLine(Level.NOTICE, text) for text in ("one", "two", "three")])
    log.line(Level.NOTICE, "four")
    assert sink.lines == notices("one")
    sink.room = 1000
    log.line(Level.NOTICE, "five")
    log.line(Level.NOTICE, "six")
    told = (Level.WARNING, "3 lines lost: the log did not take them")
    assert sink.lines == [*notices("one"), told, *notices("five", "six")]


def test_a_lost_line_about_lost_lines_is_no_lost_line() -> None:
    sink = FickleSink(room=0)
    log = Log(sink)
    for _ in range(5):
        log.line(Level.NOTICE, "lost")
    sink.room = 1
    log.line(Level.NOTICE, "lost")
    assert sink.lines == [(Level.WARNING, "5 lines lost: the log did not take them")]
    sink.room = 1000
    log.line(Level.NOTICE, "there")
    assert sink.lines[1:] == [(Level.WARNING, "1 lines lost: the log did not take them"), (Level.NOTICE, "there")]


def test_lines_below_the_threshold_are_neither_lost_nor_a_reason_to_tell() -> None:
    sink = FickleSink(room=0)
    log = Log(sink, Level.WARNING)
    log.line(Level.NOTICE, "dropped")
    sink.room = 1000
    log.line(Level.WARNING, "there")
    assert sink.lines == [(Level.WARNING, "there")]
    sink.room = 0
    log.line(Level.WARNING, "lost")
    sink.room = 1000
    log.line(Level.NOTICE, "dropped")
    assert sink.lines == [(Level.WARNING, "there")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", "\xc3\xa9"),
        ("\N{EURO SIGN}", "\xe2\x82\xac"),
        (os.fsdecode(b"/etc/\xe9\xff"), "/etc/\xe9\xff"),
    ],
)
def test_a_text_of_the_servers_own_is_logged_as_bytes(text: str, line: str) -> None:
    sink = FickleSink()
    log = Log(sink)
    log.line(Level.ERROR, text)
    log.complain(text)
    assert sink.lines == [(Level.ERROR, line), (Level.WARNING, line)]


# Which log it is.

AT_LEAST = {
    "quiet": [Level.CRITICAL, Level.ERROR, Level.WARNING],
    "default": [Level.CRITICAL, Level.ERROR, Level.WARNING, Level.NOTICE],
    "verbose": [Level.CRITICAL, Level.ERROR, Level.WARNING, Level.NOTICE, Level.INFO],
}
# 1.37: --quiet wins.
OPTIONS = [
    ({"quiet": True}, "quiet"),
    ({}, "default"),
    ({"verbose": True}, "verbose"),
    ({"quiet": True, "verbose": True}, "quiet"),
]


@pytest.mark.parametrize(("options", "name"), OPTIONS)
def test_in_the_foreground_it_is_standard_error(
    options: dict[str, bool], name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    log = open_log(Settings(quiet=options.get("quiet", False), verbose=options.get("verbose", False)))
    log.write(ONE_OF_EACH)
    log.complain("without a mark")
    assert capfd.readouterr() == ("", "".join(f"{level.name}\n" for level in AT_LEAST[name]) + "without a mark\n")


@pytest.mark.parametrize(("options", "name"), OPTIONS)
def test_in_the_background_it_is_syslog(
    options: dict[str, bool],
    name: str,
    syslogd: SyslogDaemon,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", os.fspath(syslogd.path))
    monkeypatch.setattr(logs, "SyslogSink", partial(SyslogSink, path=os.fspath(syslogd.path)))
    settings = Settings(
        daemonize=True,
        syslog_facility="local3",
        quiet=options.get("quiet", False),
        verbose=options.get("verbose", False),
    )
    log = open_log(settings)
    log.write(ONE_OF_EACH)
    messages = syslogd.messages()
    assert [int(message[1 : message.index(b">")]) for message in messages] == [
        syslog.LOG_LOCAL3 | level for level in AT_LEAST[name]
    ]
    log.complain("with a mark")
    assert syslogd.texts() == ["WARNING: with a mark"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("mail", syslog.LOG_MAIL),
        ("MAIL", syslog.LOG_MAIL),
        ("LOG_MAIL", syslog.LOG_MAIL),
        ("log_local7", syslog.LOG_LOCAL7),
        ("local0", syslog.LOG_LOCAL0),
        ("daemon", syslog.LOG_DAEMON),
        ("user", syslog.LOG_USER),
    ],
)
def test_facilities(name: str, number: int) -> None:
    assert find_facility(name) == number


@pytest.mark.parametrize("name", ["", "nonsense", "mail ", "local8", "16", "log_", "emerg", "pid"])
@pytest.mark.parametrize("daemonize", [False, True])
def test_what_is_no_facility(name: str, daemonize: bool) -> None:
    message = rf"^--syslog-facility={re.escape(name)}: no such facility; one of auth, .*\bmail\b.*\blocal7$"
    with pytest.raises(UsageError, match=message):
        open_log(Settings(syslog_facility=name, daemonize=daemonize))


@pytest.mark.root
def test_dev_log_is_no_socket_where_syslog_is_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(syslog, "openlog", lambda *arguments: opened.append(arguments))
    door = tmp_path / "log"
    # A device, as on illumos.
    os.mknod(door, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", os.fspath(door))
    open_log(Settings(daemonize=True))
    assert opened == [("postgrey", syslog.LOG_PID, syslog.LOG_MAIL)]
    assert find_syslog_trouble(str(door)) is None


# Syslog that takes nothing.


def test_syslog_that_takes_lines_is_no_trouble(syslogd: SyslogDaemon) -> None:
    assert find_syslog_trouble(str(syslogd.path)) is None
    assert syslogd.messages() == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "{path}: No such file or directory"),
        ("dangling", "{path}: No such file or directory"),
        ("dead", "nobody listens at {path}"),
        ("full", "nobody reads from {path}"),
        ("file", "{path} is no socket"),
        ("directory", "{path} is no socket"),
        ("stream", "{path}: Protocol wrong type for socket"),
    ],
)
def test_syslog_that_takes_none(kind: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as daemon:
        if kind == "dangling":
            path.symlink_to("nothing")
        elif kind == "file":
            path.touch()
        elif kind == "directory":
            path.mkdir()
        elif kind != "missing":
            daemon.bind(str(path))
        if kind == "stream":
            daemon.listen()
        if kind == "dead":
            daemon.close()
        if kind == "full":
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(BlockingIOError):
                sender.setblocking(False)
                sender.connect(str(path))
                while True:
                    sender.send(b"x")
        assert find_syslog_trouble(str(path)) == reason.format(path=path)
