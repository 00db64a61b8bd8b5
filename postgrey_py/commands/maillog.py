# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mail log says about greylisting: lines of Postfix that reject, and the server's own lines `action=`.

Each deferred mail has one of both kinds where Postfix asks the server, and one of the second kind where Exim does.
Text is Latin-1, one character for each byte. What the events add up to is the business of `history`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import NamedTuple

from postgrey_py.commands.logfiles import LogText
from postgrey_py.commands.logtime import LIKELY_STARTS, lacks_time, stamp_of
from postgrey_py.errors import UsageError


class Kind(enum.Enum):
    """What happened to a mail."""

    REJECTED = "Postfix told the client to come back later, in the words of greylisting"
    GREYLISTED = "the server deferred it"
    RETURNED = "the server let it pass when it came back; the line has the delay"
    KNOWN = "the server let it pass because its triplet has passed before"
    WHITELISTED = "the server let it pass because of a whitelist"
    AUTO_WHITELISTED = "the server let it pass because of the auto-whitelist"


class Event(NamedTuple):
    """What one line says; `delay` is None but for RETURNED."""

    kind: Kind
    stamp: str
    client_name: str
    client_address: str
    sender: str
    recipient: str
    delay: int | None


class Unreadable(enum.Enum):
    """What is read instead of an event where a line should say what happened to a mail, and does not."""

    LINE = enum.auto()


# What one line says; None where that is nothing about greylisting.
Reading = Event | Unreadable | None


# What syslog and a queue id put before the message. The message is anchored to it, because what clients say stands in
# log lines too, and some would say `reject:` or `action=`.
_HEAD = r"[^\[]*(?:\[\d+\])?: (?:\[ID [^\]]*\] )?(?:\w+: )?"
# The port is there with smtpd_client_port_logging.
_CLIENT = r"([^\[\s]+)\[([^\]\s]*)\](?::\w+)?"
# An address as Postfix logs it; in double quotes anything may stand. There is but one way to match each: were there
# more, a line with a single quote would take for ever.
_ADDRESS = r'([^">]*(?:"(?:[^"\\]|\\.)*"[^">]*)*|[^>]*)'

_REJECT = rf"{_HEAD}(?:[\w-]+-)?reject: \S+ from {_CLIENT}: (\d)\d\d "
# Strict first; the second is for what does not look like Postfix.
_REJECTIONS = (
    re.compile(rf"{_REJECT}.*?; from=<{_ADDRESS}> to=<{_ADDRESS}>(?= proto=|\s*$)", re.ASCII),
    # unlike 1.37: that takes the last `from=` of any line, which a client can write into its HELO.
    re.compile(rf".*?reject: .*? {_CLIENT}: (\d)\d\d .*?from=<{_ADDRESS}> to=<{_ADDRESS}>", re.ASCII),
)
_DECISION_START = re.compile(rf"{_HEAD}action=(greylist|pass), reason=", re.ASCII)
_DECISION = re.compile(
    # 1.37: empty attributes are left out.
    r"(?P<reason>[^,]*)(?:, delay=(?P<delay>\d+))?(?:, client_name=(?P<name>[^,]*))?, client_address=(?P<address>[^,]*)"
    r"(?:, sender=(?P<sender>.*?))?(?:, recipient=(?P<recipient>[^\r]*))?\r?$",
    re.ASCII,
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\\(.)')
_ESCAPED = re.compile(r"\\(.)")

# What nearly all lines look like; of others, the groups are empty. In a text of many lines it finds what is in each of
# them in a fraction of the time that reading them one by one takes.
_STAMP = r"([A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-[\dT:.+-]+)"
_REJECTION_LINES = re.compile(
    rf"{_STAMP} [^\[\n]*\[\d+\]: \w+: reject: RCPT from ([^\[\s]+)\[([^\]\s]*)\]: (\d)\d\d "
    r'[^;"\n]*; from=<([^">\\\n]*)> to=<([^">\\\n]*)> proto=.*\n'
    r"|.*\n",
    re.ASCII,
)
_DECISION_LINES = re.compile(
    rf"{_STAMP} [^\[\n]*\[\d+\]: action=(greylist|pass), reason=([^,\n]*)(?:, delay=(\d+))?"
    r"(?:, client_name=([^,\s]*))?, client_address=([^,\s]*)(?:, sender=([^,\s]*))?, recipient=([^,\s]*)\n"
    r"|.*\n",
    re.ASCII,
)

_PASS_KINDS = {
    "client whitelist": Kind.WHITELISTED,
    "recipient whitelist": Kind.WHITELISTED,
    "client AWL": Kind.AUTO_WHITELISTED,
}


def compile_greylist_text(text: str) -> Callable[[bytes], object]:
    """What finds the text of greylisted mail in a log line: a pattern in Perl's syntax. Raises UsageError.

    `%s` and `%r` stand for any number and any domain, as in the text that the server is given.
    """
    pattern = text.replace("%s", r"\d+").replace("%r", r"\S+").encode("utf-8", "surrogateescape")
    if pattern.replace(b" ", b"").isalnum():
        return methodcaller("__contains__", pattern)
    import regex

    try:
        return regex.compile(pattern, regex.VERSION0).search  # type: ignore[no-any-return]
    except regex.error as error:
        raise UsageError(f"--greylist-text: {text!r} is no regular expression: {error}") from error


class EventReader:
    """What a log says about greylisting, in its order; lines that can't be read are counted there.

    `has_greylist_text` finds the text with which the server defers mail. Where Postfix tells of deferrals, what the
    server tells of them is left out; `is_of_postfix` is true once a line has shown that.
    """

    def __init__(self, log: LogText, has_greylist_text: Callable[[bytes], object]) -> None:
        self.is_of_postfix = False
        self._log = log
        self._has_greylist_text = has_greylist_text

    def __iter__(self) -> Iterator[Event]:
        for block in self._log.blocks():
            rejections = _lines_with(b"reject: ", block)
            self.is_of_postfix |= bool(rejections)
            decisions = _lines_with(b"action=pass" if self.is_of_postfix else b"action=", block)
            # Each line is read as the first that it looks like.
            readings = self._find_strange_lines(block) | _read_decisions(decisions) | self._read_rejections(rejections)
            for start in sorted(readings):
                event = readings[start]
                if event is Unreadable.LINE:
                    self._log.skip(start)
                elif event is not None:
                    yield event

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
                readings[start] = read_rejection(told[start].decode("latin-1"))
        return readings

    def _find_strange_lines(self, block: bytes) -> dict[int, Reading]:
        """The lines that have no time. Those that say what happened to a mail count as such."""
        start = block[:4]
        if start in LIKELY_STARTS and block.count(b"\n" + start) == self._log.lines_of_block - 1:
            return {}
        found: dict[int, Reading] = {}
        place = 0
        for line in block.split(b"\n"):
            if lacks_time(line) and b"action=" not in line:
                found[place] = Unreadable.LINE
            place += len(line) + 1
        return found


def _read_decisions(lines: dict[int, bytes]) -> dict[int, Reading]:
    readings: dict[int, Reading] = {}
    for start, found in zip(lines, _DECISION_LINES.findall(_text_of(lines)), strict=True):
        stamp, action, reason, delay, name, address, sender, recipient = found
        if stamp:
            seconds = int(delay) if delay else None
            kind = _kind(action, reason, seconds)
            readings[start] = Event(kind, stamp, name, address, sender, recipient, seconds)
        else:
            readings[start] = read_decision(lines[start].decode("latin-1"))
    return readings


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


def read_rejection(line: str) -> Reading:
    """What a line of Postfix says that has `reject: ` in it; None when the mail was not told to come back later."""
    found = _REJECTIONS[0].match(line) or _REJECTIONS[1].match(line)
    if found is None:
        return Unreadable.LINE
    name, address, code, sender, recipient = found.groups()
    # unlike 1.37: any code that says so, since --greylist-action may name another than 450.
    if code != "4":
        return None
    return Event(Kind.REJECTED, stamp_of(line), name, address, unquote(sender), unquote(recipient), None)


def read_decision(line: str) -> Reading:
    """What a line of the server says that has `action=` in it; None when it is of another program."""
    start = _DECISION_START.match(line)
    if start is None:
        return None
    found = _DECISION.match(line, start.end())
    if found is None:
        return Unreadable.LINE
    reason, delay, name, address, sender, recipient = found.groups()
    seconds = int(delay) if delay else None
    kind = _kind(start[1], reason, seconds)
    return Event(kind, stamp_of(line), name or "", address, sender or "", recipient or "", seconds)


def _kind(action: str, reason: str, delay: int | None) -> Kind:
    if action == "greylist":
        return Kind.GREYLISTED
    return _PASS_KINDS.get(reason) or (Kind.KNOWN if delay is None else Kind.RETURNED)


def unquote(address: str) -> str:
    """The address as Postfix has it in its requests: without the quotes that it has in the log."""
    if '"' not in address and "\\" not in address:
        return address
    return _QUOTED.sub(lambda quoted: _ESCAPED.sub(r"\1", quoted[1]) if quoted[2] is None else quoted[2], address)
