# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the events of a mail log: from rejections of Postfix, and from the server's own lines `action=`.

Each deferred mail has one of both kinds where Postfix asks the server, and one of the second kind where Exim does.
Text is Latin-1, one character for each byte. What the events add up to is the business of `history`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from operator import methodcaller

from postgrey_py.commands.events import Event, Kind, Reading, Unreadable, kind_of, read_line
from postgrey_py.commands.logfiles import LogText
from postgrey_py.commands.loghead import find_head, find_repetition, is_blank, lacks_head, message_start
from postgrey_py.commands.logtime import LIKELY_STARTS
from postgrey_py.commands.rejection import is_rejection
from postgrey_py.errors import PatternError, UsageError

# What nearly all lines look like; of others, the groups are empty. In a text of many lines it finds what is in each of
# them in a fraction of the time that reading them one by one takes. Host and program have no colon within, so that the
# head is one.
_USUAL_HEAD = r"([A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-[\dT:.+-]+) [^\s:\[]+ [^\s:\[]+\[\d+\]: "
_REJECTION_LINES = re.compile(
    rf"{_USUAL_HEAD}\w+: reject: RCPT from ([^\[\s]+)\[([^\]\s]*)\]: (\d)\d\d "
    r'[^;"\n]*; from=<([^">\\\n]*)> to=<([^">\\\n]*)> proto=.*\n'
    r"|.*\n",
    re.ASCII,
)
_DECISION_LINES = re.compile(
    rf"{_USUAL_HEAD}action=(greylist|pass), reason=([^,\n]*)(?:, suspect=[a-z0-9+-]*)?(?:, delay=(\d+))?"
    r"(?:, client_name=([^,\s]*))?, client_address=([^,/\s]*)(?:/\d+)?"
    r"(?:, sender=([^,\s]*))?, recipient=([^,\s]*)\r?\n"
    r"|.*\n",
    re.ASCII,
)


def compile_greylist_text(text: str) -> Callable[[bytes], object]:
    """Return a function that finds the text of greylisted mail in a log line. Raises UsageError.

    `text` is a pattern in Perl's syntax; `%s` and `%r` stand for any number and any domain, as in the text that the
    server is given. A search that takes too long raises PostgreyError.
    """
    pattern = text.replace("%s", r"\d+").replace("%r", r"\S+").encode("utf-8", "surrogateescape")
    if pattern.replace(b" ", b"").isalnum():
        return methodcaller("__contains__", pattern)
    from postgrey_py.commands.patterns import compile_search

    try:
        return compile_search(pattern, "--greylist-text", ignore_case=False)
    except PatternError as error:
        raise UsageError(f"--greylist-text: {text!r} is no regular expression: {error}") from error


class EventReader:
    """The events of a log, in their order; lines that can't be read are counted by the log.

    `has_greylist_text` finds the text with which the server defers mail. Where Postfix tells of deferrals, what the
    server tells of them is left out; `is_of_postfix` is true once a line has shown that, `has_events` once there was
    an event.
    """

    def __init__(self, log: LogText, has_greylist_text: Callable[[bytes], object]) -> None:
        self.is_of_postfix = False
        self.has_events = False
        self._log = log
        self._has_greylist_text = has_greylist_text
        self._last: Reading = None

    def __iter__(self) -> Iterator[Event]:
        for block in self._log.blocks():
            rejections = _lines_with(b"reject: ", block) | _lines_with(b"reject_warning: ", block)
            self.is_of_postfix = self.is_of_postfix or any(map(_is_of_postfix, rejections.values()))
            decisions = _lines_with(b"action=pass" if self.is_of_postfix else b"action=", block)
            # Each line is read as the last that it looks like.
            readings = (
                self._find_strange_lines(block) | self._read_decisions(decisions) | self._read_rejections(rejections)
            )
            readings |= self._find_repeated(block, readings)
            self._last = readings.get(block.rfind(b"\n", 0, -1) + 1)
            self.has_events = self.has_events or any(isinstance(reading, Event) for reading in readings.values())
            for start in sorted(readings):
                reading = readings[start]
                if isinstance(reading, Event):
                    yield reading
                elif reading is not None:
                    self._log.skip(start, is_strange=reading is Unreadable.STRANGE)

    # What is done with every line decides how long a report takes: most are not about greylisting, and are not touched.
    # Lines, and what was read in them, are kept by where they start.

    def _read_rejections(self, lines: dict[int, bytes]) -> dict[int, Reading]:
        readings: dict[int, Reading] = dict.fromkeys(lines)
        told = {start: line for start, line in lines.items() if self._has_greylist_text(line)}
        for start, found in zip(told, _REJECTION_LINES.findall(_text_of(told)), strict=True):
            stamp, name, address, code, sender, recipient = found
            if code == "4":
                readings[start] = Event(Kind.REJECTED, stamp, name, address, sender, recipient, None)
            elif not stamp:
                readings[start] = self._read_unusual(told[start])
        return readings

    def _read_decisions(self, lines: dict[int, bytes]) -> dict[int, Reading]:
        readings: dict[int, Reading] = {}
        for start, found in zip(lines, _DECISION_LINES.findall(_text_of(lines)), strict=True):
            stamp, action, reason, delay, name, address, sender, recipient = found
            if stamp:
                seconds = int(delay) if delay else None
                kind = kind_of(action, reason, seconds)
                readings[start] = Event(kind, stamp, name, address, sender, recipient, seconds)
            else:
                readings[start] = self._read_unusual(lines[start])
        return readings

    def _read_unusual(self, line: bytes) -> Reading:
        reading = read_line(line.decode("latin-1"))
        if isinstance(reading, Event) and not reading.stamp:
            # A log without heads has lines that can't be told from those of no log.
            self._log.has_bare_messages = True
        return reading

    def _find_repeated(self, block: bytes, readings: dict[int, Reading]) -> dict[int, Reading]:
        """The lines that say how often the one before was repeated, where that tells of a mail."""
        found: dict[int, Reading] = {}
        for start, line in _lines_with(b" repeated ", block).items():
            text = line.decode("latin-1")
            head = find_head(text)
            repeated = find_repetition(text, head) if head else 0
            if head is None or not repeated:
                continue
            before = block.rfind(b"\n", 0, max(0, start - 1)) + 1
            reading = (found.get(before) or readings.get(before)) if start else self._last
            if isinstance(reading, Event):
                found[start] = reading._replace(times=repeated, stamp=head.stamp or reading.stamp)
        return found

    def _find_strange_lines(self, block: bytes) -> dict[int, Reading]:
        """The lines that have no head. Those that say what happened to a mail count as such."""
        start = block[:4]
        if (
            start in LIKELY_STARTS
            and not lacks_head(block[: block.find(b"\n")])
            and block.count(b"\n" + start) == self._log.lines_of_block - 1
        ):
            return {}
        found: dict[int, Reading] = {}
        place = 0
        for line in block[:-1].split(b"\n"):
            if is_blank(line):
                self._log.blank += 1
            elif lacks_head(line):
                found[place] = Unreadable.STRANGE
            place += len(line) + 1
        return found


def _text_of(lines: dict[int, bytes]) -> str:
    """The lines in one text, each with a line end."""
    return b"\n".join([*lines.values(), b""]).decode("latin-1")


def _lines_with(text: bytes, block: bytes) -> dict[int, bytes]:
    found = {}
    place = block.find(text)
    while place >= 0:
        start, end = block.rfind(b"\n", 0, place) + 1, block.find(b"\n", place)
        found[start] = block[start:end]
        place = block.find(text, end)
    return found


def _is_of_postfix(line: bytes) -> bool:
    """Whether Postfix rejects in a line that has `reject: ` in it. In a log of Exim, clients may have said so."""
    text = line.decode("latin-1")
    head = find_head(text)
    return head is not None and is_rejection(text, message_start(text, head)[0])
