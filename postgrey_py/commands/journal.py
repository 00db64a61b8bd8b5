# SPDX-License-Identifier: GPL-2.0-or-later
"""Logs as objects, made into lines of text: `journalctl -o json` and `-o export`, and what Docker keeps (json-file).

So are messages that are objects themselves, as the server writes them with --log-format=json. Called by `logfiles`. A
line that is made here has the time in seconds since 1970, as of `journalctl -o short-unix`, or as the object has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# journalctl -o json, json-seq and json-sse, each a line for an object; and -o export.
_JSON_STARTS = (b"{", b"\x1e{", b"data: {")
_EXPORT_START = b"__CURSOR="

_MESSAGE_NAMES = ("MESSAGE", "message", "msg", "log")
_TIME_NAMES = ("time", "timestamp", "@timestamp")

# How a message begins that is an object of the server's, behind the head of its line.
_OBJECT = b': {"time":"'
_OBJECT_LINE = re.compile(rb'^([^{\n]*: )(\{"time":".*\})\r?$', re.MULTILINE)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

# The journal has no field that is longer.
_MOST_BYTES = 64 << 20


def as_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks of lines of text; where the first block begins like objects, a line for each."""
    first = next(blocks, None)
    if first is None:
        return
    if first.startswith(_JSON_STARTS):
        yield _lines_of_json(first)
        yield from map(_lines_of_json, blocks)
    elif first.startswith(_EXPORT_START):
        yield from _lines_of_export(first, blocks)
    else:
        yield _with_messages(first)
        yield from map(_with_messages, blocks)


def _with_messages(block: bytes) -> bytes:
    """Return lines of text, in which messages that are objects are replaced by the text in them."""
    if _OBJECT not in block:
        return block
    return _OBJECT_LINE.sub(lambda found: found[1] + _unwrap(found[2]), block)


def _unwrap(message: bytes) -> bytes:
    """Return the text of a message that is an object of the server's, and any other as it is."""
    if not message.startswith(_OBJECT[2:]):
        return message
    try:
        text = _octets(json.loads(message)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return message
    # As the server itself writes it in lines of text.
    return message if text is None else _CONTROL.sub(lambda found: b"%%%02X" % ord(found[0]), text)


def _lines_of_json(block: bytes) -> bytes:
    return b"".join(_line_of_json(line) + b"\n" for line in block[:-1].split(b"\n"))


def _line_of_json(line: bytes) -> bytes:
    """Return the line that an object makes; what is none, or has no message, as it is."""
    if not line.startswith(_JSON_STARTS):
        return line
    try:
        found = json.loads(line[line.index(b"{") :])
    except (ValueError, RecursionError):
        return line
    message = _octets(next((found[name] for name in _MESSAGE_NAMES if name in found), None))
    if message is None:
        return line
    message = _unwrap(message)
    if "__REALTIME_TIMESTAMP" not in found:
        time = next((found[name] for name in _TIME_NAMES if isinstance(found.get(name), str)), "")
        return _one_line(b"%s %s" % (time.encode("utf-8", "replace"), message))
    names = ("__REALTIME_TIMESTAMP", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_COMM", "_PID", "SYSLOG_PID")
    return _line({name.encode("ascii"): _octets(found.get(name)) or b"" for name in names} | {b"MESSAGE": message})


def _octets(value: object) -> bytes | None:
    """Return the bytes of a value: the journal has those that are not UTF-8 as an array of numbers.

    The server has each of those as one of U+DC80 to U+DCFF.
    """
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "replace")
    if isinstance(value, list) and all(isinstance(octet, int) and 0 <= octet < 256 for octet in value):
        return bytes(value)
    return None


def _lines_of_export(text: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    while text:
        lines, place = [], 0
        while (entry := _read_entry(text, place)) is not None:
            fields, place = entry
            if b"MESSAGE" in fields:
                lines.append(_line(fields))
        if lines:
            yield b"\n".join([*lines, b""])
        more = next(blocks, b"")
        # The last entry may lack the empty line behind it.
        text = text[place:] + more if more else (text[place:] + b"\n" if _is_open(text[place:]) else b"")


def _is_open(text: bytes) -> bool:
    return text.strip() != b"" and not text.endswith(b"\n\n")


def _read_entry(text: bytes, place: int) -> tuple[dict[bytes, bytes], int] | None:
    """Return the fields of the entry that begins here, and where it ends; None where its end is missing."""
    fields: dict[bytes, bytes] = {}
    while (end := text.find(b"\n", place)) > place:
        name, is_text, value = text[place:end].partition(b"=")
        if not is_text:
            # Its length in eight bytes, and what is not text.
            start = end + 9
            length = int.from_bytes(text[end + 1 : start], "little")
            if length <= _MOST_BYTES:
                value, end = text[start : start + length], start + length
                if end >= len(text):
                    return None
        fields[name] = value
        place = end + 1
    return None if end < 0 else (fields, end + 1)


def _line(fields: dict[bytes, bytes]) -> bytes:
    """Return the line of an entry of the journal."""
    time = fields.get(b"__REALTIME_TIMESTAMP", b"")
    program = fields.get(b"SYSLOG_IDENTIFIER") or fields.get(b"_COMM") or b"unknown"
    process = fields.get(b"_PID") or fields.get(b"SYSLOG_PID") or b"0"
    host, message = fields.get(b"_HOSTNAME") or b"localhost", _unwrap(fields.get(b"MESSAGE", b""))
    return _one_line(b"%s.%s %s %s[%s]: %s" % (time[:-6], time[-6:], host, program, process, message))


def _one_line(text: bytes) -> bytes:
    return text.rstrip(b"\r\n").replace(b"\n", b" ")
