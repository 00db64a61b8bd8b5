# SPDX-License-Identifier: GPL-2.0-or-later
"""Read files in which variables of the shell are set (`/etc/default/postgrey`), without executing anything.

Assignments with the shell's quotes, escapes and continued lines are read, and `$NAME` of a variable that was set before
is replaced. What a shell would have to find out stands in the value between two UNKNOWN characters. Everything else in
the file is passed over. Called by `server_options`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

# Around what is not known; no file of the shell has one.
UNKNOWN = "\0"
# For white space in what is not known, so that it stays one word.
_NO_BREAK = "\xa0"

_ASSIGNMENT = re.compile(r"[ \t]*(?:(?:export|readonly|then|else)[ \t]+)*([A-Za-z_]\w*)(\+?)=", re.ASCII)
# `$NAME`, `${NAME}`, `${NAME:-word}`, `$(command)`, `$1`; and a command in back quotes.
_REFERENCE = r"(?P<reference>\$(?:\{[^{}]*\}|[A-Za-z_]\w*|\([^()]*\)|[\d*@#?!$-])|`[^`]*`)"
_PART = re.compile(
    rf"""'(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | {_REFERENCE} | \\(?P<escaped>.)
    | (?P<plain>[^\s'"\\;&|()<>`$]+|\$)""",
    re.ASCII | re.DOTALL | re.VERBOSE,
)
_PART_IN_DOUBLE_QUOTES = re.compile(
    rf"""{_REFERENCE} | \\(?P<escaped>[\\"$`\n]) | (?P<plain>[^\\$`]+|.)""", re.ASCII | re.DOTALL | re.VERBOSE
)
# systemd takes all of the line for the value, without quotes too.
_REST_OF_LINE = re.compile(r"[ \t]+-[^\n#;]*")


class Assignments(NamedTuple):
    """The variables that a file sets; the text of `broken` ones ends where a quote is not closed."""

    values: dict[str, str]
    broken: tuple[str, ...]


def read_assignments(text: str, known: Mapping[str, str]) -> Assignments:
    """Return what this file sets, the last of several assignments to a variable; `known` are set before."""
    values, text = dict(known), text.replace(UNKNOWN, "")
    broken: dict[str, None] = {}
    place = 0
    while place < len(text):
        found = _ASSIGNMENT.match(text, place)
        if found is not None:
            name, plus = found.groups()
            value, place = _read_value(text, found.end(), values)
            values[name] = values.get(name, "") + value if plus else value
            if text[place : place + 1] in ("'", '"', "\\"):
                broken[name] = None
        # What follows an assignment behind a semicolon is looked at, too.
        place = _end_of_command(text, place) + 1
    return Assignments(values, tuple(broken))


def split_words(value: str) -> list[str]:
    """Return the words of a variable that is used without quotes; quotes within hold words together, as in systemd."""
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


def show_word(word: str) -> str:
    """Return a word as it is written in the file, for messages."""
    return word.replace(UNKNOWN, "").replace(_NO_BREAK, " ")


def _read_value(text: str, place: int, values: Mapping[str, str]) -> tuple[str, int]:
    """Return the word that begins at `place`, and where it ends."""
    value = ""
    while (part := _PART.match(text, place)) is not None:
        place = part.end()
        if part["single"] is not None:
            value += part["single"]
        elif part["double"] is not None:
            value += "".join(_resolve(inner, values) for inner in _PART_IN_DOUBLE_QUOTES.finditer(part["double"]))
        else:
            value += _resolve(part, values)
    rest = _REST_OF_LINE.match(text, place)
    return (value + rest[0].rstrip(), rest.end()) if rest is not None else (value, place)


def _resolve(part: re.Match[str], values: Mapping[str, str]) -> str:
    reference, escaped, plain = part.group("reference", "escaped", "plain")
    if plain is not None:
        return plain
    if escaped is not None:
        # Before a line end it continues the line.
        return escaped if escaped != "\n" else ""
    known = values.get(reference.strip("${}"))
    return UNKNOWN + re.sub(r"\s", _NO_BREAK, reference) + UNKNOWN if known is None else known


def _end_of_command(text: str, place: int) -> int:
    """Return where the rest of the command ends: at a semicolon, or at a line end behind a comment."""
    line_end = text.find("\n", place)
    line_end = len(text) if line_end < 0 else line_end
    semicolon = text.find(";", place, line_end)
    is_comment = 0 <= text.find("#", place, line_end) < semicolon
    return line_end if semicolon < 0 or is_comment else semicolon
