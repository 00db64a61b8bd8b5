# SPDX-License-Identifier: GPL-2.0-or-later
"""The head of a log line: when it was logged, by which program, and where the message begins.

All tools read heads here, for every kind of line. A head is read from the left, part by part, and ends at the first
word with a colon: what clients say stands in messages, and must not be taken for a head. Its parts, each of which may
be missing:

    mail-1  |  [pod/mail-0/mx]  <22>          what docker, kubectl and syslog put before all
    2026-11-21T08:00:00.123456789Z stderr F   what container engines put before that
    Nov 21 09:00:00                           the time, see `logtime`; perhaps in brackets
    mx mail.info [ID 197553 mail.info]        host, facility
    postfix/smtpd[4648]:                      program and process
    1 2026-11-21T09:00:00+01:00 mx postfix/smtpd 4648 - -     all of it, as RFC 5424 has it

Text is Latin-1, one character for each byte. Every pattern takes a time linear in the length of the line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from postgrey_py.commands.logtime import LIKELY_STARTS, find_stamp, precision

# More parts than any head has.
_MOST_PARTS = 10
_MOST_WORDS = 6

_BEFORE = re.compile(
    r"(?:\xef\xbb\xbf)?(?:\x1b\[[\d;]*m)?(?:\[?[\w.@/-]{1,128}\]? *(?:\x1b\[[\d;]*m)?\|(?=[ \x1b]))?", re.ASCII
)
# Colours, priorities, tags; the time since the start of the machine (journalctl -o short-monotonic) looks like a tag.
_TAGS = re.compile(r"(?: |\x1b\[[\d;]*m|<[\w.]{1,24}>|\[[^\[\]]{0,128}\]:?(?=[ \x1b]))*", re.ASCII)
_CLOCK = re.compile(r"\[ *\d+\.\d{6}", re.ASCII)
_STREAM = re.compile(r" std(?:out|err) [FP](?= )", re.ASCII)
_RFC_5424 = re.compile(
    r"1 (\S{1,40}) \S{1,255} (\S{1,64}) \S{1,128} \S{1,64} +(?:-|(?:\[[^\]\"]*(?:\"(?:[^\"\\]|\\.)*\"[^\]\"]*)*\])+)"
    r"(?: +(?:\xef\xbb\xbf)?|$)",
    re.ASCII,
)
_WORD = re.compile(r"(\S+)(?: +|$)", re.ASCII)
_PROCESS = re.compile(r"\[[\w-]*\]$", re.ASCII)
_OURS = re.compile(r"(?:postfix|postgrey)[^\s:\[\]]*\[\d+\]: ", re.ASCII)

# How messages begin that are known without a head before them.
_MESSAGE = re.compile(
    r"(?:[0-9A-Za-z]{1,40}: )?"
    r"(?:action=(?:greylist|pass), reason=|(?:[\w-]{1,20}-)?reject(?:_warning)?: |client=|from=<|to=<|removed$"
    r"|message-id=)"
    r"|(?:dis)?connect from |(?:--- )?last message |Last message ",
    re.ASCII,
)

# rsyslog has in one line what was repeated; others mean the line before.
_REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ ?", re.ASCII)
_REPETITION = re.compile(r"(?:--- )?[Ll]ast message (?:'[^']*' )?repeated (\d{1,9}) times?\b", re.ASCII)


class Head(NamedTuple):
    """The head of a line.

    `stamp` is the time as written, empty where there is none; `program` comes without its process; the message begins
    at `end`.
    """

    stamp: str
    program: str
    end: int


def find_head(line: str) -> Head | None:
    """Return the head of a line; None where this is no line of a log."""
    before = _BEFORE.match(line)
    place = before.end() if before else 0
    stamp, exactness, is_dated = "", -1, False
    words = 0
    last_word = ""
    for _ in range(_MOST_PARTS):
        if line.startswith("[", place) and (time := find_stamp(line, place + 1)) and line.startswith("]", time[1]):
            stamp, exactness, is_dated, place = time[0], precision(time[0]), True, time[1] + 1
        tags = _TAGS.match(line, place)
        if tags is not None and tags.end() > place:
            is_dated |= _CLOCK.match(line, place) is not None
            place = tags.end()
        if (found := _RFC_5424.match(line, place)) and (found[1] == "-" or find_stamp(found[1])):
            if precision(found[1]) > exactness:
                stamp = found[1]
            return Head(stamp, found[2], found.end())
        if time := find_stamp(line, place):
            if precision(time[0]) > exactness:
                stamp, exactness = time[0], precision(time[0])
            is_dated, words, last_word = True, 0, ""
            stream = _STREAM.match(line, time[1])
            place = stream.end() if stream else time[1]
            continue
        if words == 0 or _is_ours(last_word):
            if _MESSAGE.match(line, place):
                return Head(stamp, last_word, place)
        elif words == 1 and _REPETITION.match(line, place):
            return Head(stamp, "", place)
        word = _WORD.match(line, place)
        if word is None or words == _MOST_WORDS:
            break
        place = word.end()
        last_word = word[1]
        words += 1
        if not last_word.endswith(":") or last_word.endswith("::"):
            continue
        program = _PROCESS.sub("", last_word[:-1])
        if not is_dated and not _is_ours(program):
            return None
        if program == last_word[:-1] and _OURS.match(line, place):
            # A host whose name ends with a colon.
            continue
        tags = _TAGS.match(line, place)
        end = tags.end() if tags is not None and line.startswith("[ID ", place) else place
        if not _is_ours(program) and (find_stamp(line, end) or _RFC_5424.match(line, end)):
            # What a container logs may have a head of its own.
            place = end
            continue
        return Head(stamp, program, end)
    return Head(stamp, "", place) if is_dated else None


def message_start(line: str, head: Head) -> tuple[int, int]:
    """Return where the message begins that a line has, or says to be repeated, and how often that happened."""
    repeated = _REPEATED.match(line, head.end)
    return (head.end, 1) if repeated is None else (repeated.end(), int(repeated[1]))


def find_repetition(line: str, head: Head) -> int:
    """Return how often, after this line, the message of the line before was repeated; 0 when it does not say so."""
    repeated = _REPETITION.match(line, head.end)
    return 0 if repeated is None else int(repeated[1])


def is_blank(line: bytes) -> bool:
    """Whether a line says nothing: an empty one, or a remark of the journal's own (`-- No entries --`)."""
    return not line or line.isspace() or line.startswith(b"-- ")


def lacks_head(line: bytes) -> bool:
    """Whether this is no line of a log."""
    if line[:4] in LIKELY_STARTS and (line[9:10] == b":" or line[4:5] == b"-"):
        return False
    return find_head(line.decode("latin-1")) is None


def _is_ours(program: str) -> bool:
    return program.startswith(("postfix", "postgrey"))
