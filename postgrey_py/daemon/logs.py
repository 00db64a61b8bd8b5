# SPDX-License-Identifier: GPL-2.0-or-later
"""The log and its destinations: standard error in the foreground, syslog in the background, with the levels of 1.37.

Nothing here may stop the server: a log that takes no line within a tenth of a second loses lines instead, and says
how many once it takes them again. Only syslog(3), used where syslog has no datagram socket, may block.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import stat
import syslog
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from postgrey_py.daemon.json_lines import JsonFormat
from postgrey_py.daemon.standard_error import LONGEST_WAIT_MS, Rest, StandardError
from postgrey_py.errors import UsageError
from postgrey_py.greylist.loglines import Level, LogLine, complaint
from postgrey_py.greylist.settings import JSON, Settings

IDENTITY = "postgrey"
SYSLOG_SOCKET = "/dev/log"

_UNPRINTABLE = re.compile(r"[^ -~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

FACILITIES = {
    name: getattr(syslog, f"LOG_{name.upper()}")
    for name in (
        *("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp"),
        *(f"local{number}" for number in range(8)),
    )
    if hasattr(syslog, f"LOG_{name.upper()}")
}


class Sink(Protocol):
    """A place for log lines (Latin-1 text). `write` returns how many of them it did not take; it never raises."""

    def write(self, lines: list[tuple[Level, str]]) -> int: ...


class StderrSink:
    """Standard error, one line for each; with `<N>` before each where the journal reads it."""

    def __init__(self, descriptor: int = 2) -> None:
        self._stream = StandardError(descriptor)
        self._journal = _is_journal(descriptor)

    def write(self, lines: list[tuple[Level, str]]) -> int:
        texts = [
            # 1.37: what is not printable ASCII is written as %XX here.
            text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub(_percent_escape, text)
            for _, text in lines
        ]
        if self._journal:
            texts = [f"<{int(level)}>{text}" for (level, _), text in zip(lines, texts, strict=True)]
        if self._stream.is_file:
            return 0 if self._stream.write(("\n".join(texts) + "\n").encode("latin-1")) else len(texts)
        # A pipe takes PIPE_BUF bytes whole or not at all, and not in between those of others.
        chunks: list[list[str]] = [[]]
        size = 0
        for text in texts:
            size += len(text) + 1
            if size > select.PIPE_BUF:
                chunks.append([])
                size = len(text) + 1
            chunks[-1].append(f"{text}\n")
        return sum(0 if self._stream.write("".join(chunk).encode("latin-1")) else len(chunk) for chunk in chunks)


class SyslogSink:
    """The local syslog daemon, by its datagram socket; a restart of that daemon costs the lines in between."""

    def __init__(self, facility: int, path: str = SYSLOG_SOCKET) -> None:
        self._facility = facility
        self._path = path
        self._socket: socket.socket | None = None
        self._rest = Rest()
        self._name = f"{IDENTITY}[{os.getpid()}]: ".encode("ascii")

    def write(self, lines: list[tuple[Level, str]]) -> int:
        stamp = time.strftime("%b %e %H:%M:%S ").encode("ascii") + self._name
        lost = 0
        for level, text in lines:
            message = b"<%d>%s%s" % (self._facility | level, stamp, _escape(text))
            # The second try is for a daemon that was restarted, to which the first finds no way.
            if not self._send(message) and not self._send(message):
                lost += 1
        return lost

    def _send(self, message: bytes) -> bool:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
                self._socket.connect(self._path)
            if not self._rest.is_writable(self._socket.fileno()):
                return False
            self._socket.send(message)
        except OSError:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            return False
        return True


class SyslogLibrarySink:
    """syslog(3), for systems whose syslog is no datagram socket (illumos); it may block as the library does."""

    def __init__(self, facility: int) -> None:
        syslog.openlog(IDENTITY, syslog.LOG_PID, facility)

    def write(self, lines: list[tuple[Level, str]]) -> int:
        for level, text in lines:
            # Python's syslog() refuses what is not UTF-8.
            syslog.syslog(int(level), _escape(text).decode("utf-8", "backslashreplace"))
        return 0


class Log:
    """The log of the server: drops what is below `threshold`, counts what a sink did not take.

    With `marks_complaints`, lines that complain of something begin with `WARNING: `, as in the syslog of 1.37. With
    `format_line` each line is what that makes of it; it `wants_fields` then.
    """

    def __init__(
        self,
        sink: Sink,
        threshold: Level = Level.NOTICE,
        marks_complaints: bool = False,
        format_line: Callable[[LogLine], str] | None = None,
    ) -> None:
        self._sink = sink
        self._threshold = threshold
        self._mark = "WARNING: " if marks_complaints else ""
        self._format_line = format_line
        self.wants_fields = format_line is not None
        self._lost = 0

    def write(self, lines: Sequence[LogLine]) -> None:
        """Write these lines, in order, as many as the sink takes and as memory allows."""
        try:
            self._write(lines)
        except MemoryError:
            self._lost += len(lines)

    def _write(self, lines: Sequence[LogLine]) -> None:
        chosen = self._format(lines)
        if chosen and self._lost:
            notice = LogLine(Level.WARNING, f"{self._lost} lines lost: the log did not take them")
            if not self._sink.write(self._format([notice])):
                self._lost = 0
        if chosen:
            self._lost += self._sink.write(chosen)

    def _format(self, lines: Sequence[LogLine]) -> list[tuple[Level, str]]:
        """Return level and text of these lines, but for those below the threshold."""
        threshold, mark, format_line = self._threshold, self._mark, self._format_line
        if format_line is not None:
            return [(line.level, format_line(line)) for line in lines if line.level <= threshold]
        return [
            (level, mark + text if is_complaint else text)
            for level, text, is_complaint, _ in lines
            if level <= threshold
        ]

    def complain(self, text: str) -> None:
        """Write a line about bad input or configuration."""
        self.write([complaint(_bytes_as_latin1(text))])

    def line(self, level: Level, text: str) -> None:
        """Write one line of the server's own."""
        self.write([LogLine(level, _bytes_as_latin1(text))])


def _bytes_as_latin1(text: str) -> str:
    """Any text, paths among it, as lines of the log are held: a character for each byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def open_log(settings: Settings) -> Log:
    """The log that these settings ask for: standard error in the foreground, else syslog. Raises UsageError."""
    threshold = Level.WARNING if settings.quiet else Level.INFO if settings.verbose else Level.NOTICE
    facility = find_facility(settings.syslog_facility)
    format_line = JsonFormat(time.time) if settings.log_format == JSON else None
    if not settings.daemonize:
        return Log(StderrSink(), threshold, format_line=format_line)
    return Log(_syslog_sink(facility), threshold, marks_complaints=True, format_line=format_line)


def find_syslog_trouble(path: str = SYSLOG_SOCKET) -> str | None:
    """Return why nothing would be logged to syslog now, or None where a daemon takes what is sent there."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return None if stat.S_ISCHR(os.stat(path).st_mode) else f"{path} is no socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(path)
            poll = select.poll()
            poll.register(probe, select.POLLOUT)
            return None if poll.poll(LONGEST_WAIT_MS) else f"nobody reads from {path}"
    except ConnectionRefusedError:
        return f"nobody listens at {path}"
    except OSError as error:
        return f"{path}: {error.strerror}"


def find_facility(name: str) -> int:
    """The number of a syslog facility (`mail`, `LOG_MAIL`, `local0`). Raises UsageError."""
    try:
        return int(FACILITIES[name.lower().removeprefix("log_")])
    except KeyError:
        raise UsageError(f"--syslog-facility={name}: no such facility; one of {', '.join(FACILITIES)}") from None


def _syslog_sink(facility: int) -> Sink:
    with contextlib.suppress(OSError):
        if stat.S_ISCHR(os.stat(SYSLOG_SOCKET).st_mode):
            return SyslogLibrarySink(facility)
    return SyslogSink(facility)


def _is_journal(descriptor: int) -> bool:
    """Whether this descriptor leads to systemd's journal; source: systemd.exec(5), JOURNAL_STREAM."""
    status = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _escape(text: str) -> bytes:
    """The text for syslog: control characters as %XX, all else as the bytes that came."""
    escaped = text if text.isascii() and text.isprintable() else _CONTROL.sub(_percent_escape, text)
    # What is no byte can only come from a bug, and must not become another.
    return escaped.encode("latin-1", "backslashreplace")


def _percent_escape(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"
