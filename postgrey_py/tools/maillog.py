# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mail log says about greylisting: lines of Postfix that reject, and the server's own lines `action=`.

Each deferred mail has one of both kinds where Postfix asks the server, and one of the second kind where Exim does.
Text is Latin-1, one character for each byte. What the events add up to is the business of `history`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from postgrey_py.errors import UsageError
from postgrey_py.tools.logfiles import LogText
from postgrey_py.tools.logtime import LIKELY_STARTS, lacks_time, stamp_of


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


# What syslog and a queue id put before the message. The message is anchored to it, because what clients say stands in
# log lines too, and some would say `reject:` or `action=`.
_HEAD = r"[^\[]*(?:\[\d+\])?: (?:\[ID [^\]]*\] )?(?:\w+: )?"
# The port is there with smtpd_client_port_logging.
_CLIENT = r"([^\[\s]+)\[([^\]\s]*)\](?::\w+)?"
# An address as Postfix logs it; in double quotes anything may stand.
_ADDRESS = r'((?:[^">]+|"(?:[^"\\]|\\.)*")*|[^>]*)'

_REJECT = rf"{_HEAD}(?:[\w-]+-)?reject: \S+ from {_CLIENT}: (\d)\d\d "
# Strict first; the second is for what does not look like Postfix.
_REJECTIONS = (
    re.compile(rf"{_REJECT}.*?; from=<{_ADDRESS}> to=<{_ADDRESS}>(?= proto=|\s*$)", re.ASCII),
    # unlike 1.37: that takes the last `from=` of any line, which a client can write into its HELO.
    re.compile(rf".*?reject: .*? {_CLIENT}: (\d)\d\d .*?from=<{_ADDRESS}> to=<{_ADDRESS}>", re.ASCII),
)
# What nearly all of them look like. It finds all in a text of many lines, in half the time; the groups are the time
# and those of the others.
_USUAL_REJECTION = re.compile(
    r"^([A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-[\dT:.+-]+) [^\[\n]*\[\d+\]: \w+: reject: RCPT"
    r" from ([^\[\s]+)\[([^\]\s]*)\]: (\d)\d\d "
    r'[^;"\n]*; from=<([^">\n]*)> to=<([^">\n]*)> proto=',
    re.ASCII | re.MULTILINE,
)
_LINES_AT_A_TIME = 64

_DECISION_START = re.compile(rf"{_HEAD}action=(greylist|pass), reason=", re.ASCII)
_DECISION = re.compile(
    # 1.37: empty attributes are left out.
    r"(?P<reason>[^,]*)(?:, delay=(?P<delay>\d+))?(?:, client_name=(?P<name>[^,]*))?, client_address=(?P<address>[^,]*)"
    r"(?:, sender=(?P<sender>.*?))?(?:, recipient=(?P<recipient>[^\r]*))?\r?$",
    re.ASCII,
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\\(.)')
_ESCAPED = re.compile(r"\\(.)")

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
        return lambda line: pattern in line
    import regex

    try:
        return regex.compile(pattern, regex.VERSION0).search  # type: ignore[no-any-return]
    except regex.error as error:
        raise UsageError(f"--greylist-text: {text!r} is no regular expression: {error}") from error


class EventReader:
    """What a log says about greylisting, in its order; lines that can't be read are counted there.

    `has_greylist_text` finds the text with which the server defers mail. `matters` says of a line of the server that
    lets mail pass whether it is worth reading. Where Postfix tells of deferrals, what the server tells of them is left
    out; `is_of_postfix` is true once a line has shown that.
    """

    def __init__(
        self, log: LogText, has_greylist_text: Callable[[bytes], object], matters: Callable[[bytes], bool]
    ) -> None:
        self.is_of_postfix = False
        self._log = log
        self._has_greylist_text = has_greylist_text
        self._matters = matters

    def __iter__(self) -> Iterator[Event]:
        for block in self._log.blocks():
            places = _lines_of_interest(block, b"action=pass" if self.is_of_postfix else b"action=")
            lines = [block[start:end] for start, end in places]
            rejections = [line for line in lines if b"reject: " in line]
            self.is_of_postfix |= bool(rejections)
            # In the order of the lines that they were read from, once more.
            readings = read_rejections(rejections, self._has_greylist_text)
            event: Event | Unreadable | None
            for (start, _), line in zip(places, lines, strict=True):
                if b"reject: " in line:
                    event = next(readings)
                elif b"action=" in line:
                    event = self._read_decision(line)
                else:
                    event = Unreadable.LINE
                if event is Unreadable.LINE:
                    self._log.skip(start)
                elif event is not None:
                    yield event

    def _read_decision(self, line: bytes) -> Event | Unreadable | None:
        if self._matters(line) if b"action=pass" in line else not self.is_of_postfix:
            return read_decision(line.decode("latin-1"))
        return None


def _lines_of_interest(block: bytes, action: bytes) -> list[tuple[int, int]]:
    """Where lines start and end that may say something about greylisting, and those that are no log lines."""
    # Most lines are nothing of the kind. What is done with every one decides how long a report takes.
    kinds = (_lines_with(b"reject: ", block), _lines_with(action, block), _strange_lines(block))
    found = [kind for kind in kinds if kind]
    return found[0] if len(found) == 1 else sorted({place for kind in found for place in kind})


def _lines_with(text: bytes, block: bytes) -> list[tuple[int, int]]:
    found = []
    place = block.find(text)
    while place >= 0:
        end = block.find(b"\n", place)
        found.append((block.rfind(b"\n", 0, place) + 1, end))
        place = block.find(text, end)
    return found


def _strange_lines(block: bytes) -> list[tuple[int, int]]:
    """The lines without a time."""
    start = block[:4]
    if start in LIKELY_STARTS and block.count(b"\n" + start) == block.count(b"\n") - 1:
        return []
    found = []
    place = 0
    for line in block.split(b"\n"):
        if lacks_time(line):
            found.append((place, place + len(line)))
        place += len(line) + 1
    return found


def read_rejections(
    lines: list[bytes], has_greylist_text: Callable[[bytes], object]
) -> Iterator[Event | Unreadable | None]:
    """What `read_rejection` says of each of these lines; None of those that have not the text of greylisting."""
    for start in range(0, len(lines), _LINES_AT_A_TIME):
        group = lines[start : start + _LINES_AT_A_TIME]
        found = _USUAL_REJECTION.findall(b"\n".join(group).decode("latin-1"))
        if len(found) == len(group) and all(map(has_greylist_text, group)):
            for stamp, name, address, code, sender, recipient in found:
                yield Event(Kind.REJECTED, stamp, name, address, sender, recipient, None) if code == "4" else None
        else:
            for line in group:
                yield read_rejection(line.decode("latin-1")) if has_greylist_text(line) else None


def read_rejection(line: str) -> Event | Unreadable | None:
    """What a line of Postfix says that has `reject: ` in it; None when the mail was not told to come back later."""
    found = _REJECTIONS[0].match(line) or _REJECTIONS[1].match(line)
    if found is None:
        return Unreadable.LINE
    name, address, code, sender, recipient = found.groups()
    # unlike 1.37: any code that says so, since --greylist-action may name another than 450.
    if code != "4":
        return None
    return Event(Kind.REJECTED, stamp_of(line), name, address, unquote(sender), unquote(recipient), None)


def read_decision(line: str) -> Event | Unreadable | None:
    """What a line of the server says that has `action=` in it; None when it is of another program."""
    start = _DECISION_START.match(line)
    if start is None:
        return None
    found = _DECISION.match(line, start.end())
    if found is None:
        return Unreadable.LINE
    reason, delay, name, address, sender, recipient = found.groups()
    kind = Kind.GREYLISTED
    if start[1] == "pass":
        kind = _PASS_KINDS.get(reason) or (Kind.KNOWN if delay is None else Kind.RETURNED)
    seconds = None if delay is None else int(delay)
    return Event(kind, stamp_of(line), name or "", address, sender or "", recipient or "", seconds)


def unquote(address: str) -> str:
    """The address as Postfix has it in its requests: without the quotes that it has in the log."""
    if '"' not in address and "\\" not in address:
        return address
    return _QUOTED.sub(lambda quoted: _ESCAPED.sub(r"\1", quoted[1]) if quoted[2] is None else quoted[2], address)
