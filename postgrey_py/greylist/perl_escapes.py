# SPDX-License-Identifier: GPL-2.0-or-later
"""Perl's escapes and bracketed sets, translated so that `regex` reads them alike.

A part of `perl_syntax`.
"""

from __future__ import annotations

import contextlib
import re
from functools import lru_cache

import regex

from postgrey_py.errors import PatternError

PROPERTY = r"[pP](?:\{\^?[\w\ :=-]+\}|[A-Z])"
_SET_PART = re.compile(
    rf"""
    \[:\^?\w+:\]
    | \\ (?P<escape> {PROPERTY} | x\{{[0-9a-fA-F]{{1,8}}\}} | x(?!\{{)[0-9a-fA-F]{{0,2}} | o\{{[0-7]{{1,8}}\}}
        | N\{{U\+[0-9a-fA-F]{{1,8}}\}} | [0-7]{{1,3}} | c. | [^pPxo] )
    | (?P<other> . )
    """,
    re.ASCII | re.VERBOSE | re.DOTALL,
)

# What Perl knows behind a backslash and `regex` reads alike.
SAME_ESCAPES = frozenset("ABDGKSWXZbdsw")
CLASSES = frozenset("DSWdsw")
CHARACTER_SETS = {
    "a": r"\x07",
    "e": r"\x1b",
    "f": r"\x0c",
    "n": r"\n",
    "r": r"\r",
    "t": r"\t",
    "h": r"\t \xa0",
    "v": r"\n\x0b\f\r\x85",
}
# Releases of `regex` up to 2022 know no \R.
WRITTEN_OUT = {"R": r"(?>\r\n|[\n\x0b\f\r\x85])", "N": r"[^\n]", "H": r"[^\t \xa0]", "V": r"[^\n\x0b\f\r\x85]"}


def one_character(escape: str) -> str:
    """The pattern for one character that is written in a special way, or for one whose backslash means nothing."""
    first = escape[0]
    if first in "xo" or re.fullmatch(r"N\{U\+[0-9a-fA-F]{1,8}\}", escape):
        digits = escape[1:].strip("{}U+") or "0"
        return _code(int(digits, 8 if first == "o" else 16))
    if first == "c":
        return _code(ord(escape[1].upper()) ^ 64)
    if first.isascii() and first.isdigit():
        octal = re.match(r"[0-7]{0,3}", escape, re.ASCII)
        if not octal or not octal[0]:
            raise PatternError(f"\\{escape} is not supported")
        # What stands behind three digits, or behind the first 8, is itself.
        return _code(int(octal[0], 8)) + escape[octal.end() :]
    if first == "C" or len(escape) > 1:
        raise PatternError(f"\\{escape} is not supported")
    return re.escape(first) if not first.isalnum() else first


def _code(number: int) -> str:
    if number > 0x10FFFF:
        raise PatternError(f"there is no character {number:#x}")
    return f"\\x{number:02x}" if number < 256 else f"\\U{number:08x}"


@lru_cache(64)
def octets_with(escape: str) -> str:
    """The Latin-1 characters that have a Unicode property, or have it not, for use in brackets.

    Patterns here know ASCII only, but Perl looks at Unicode for these.
    """
    sense, name = escape[0], escape[1:].strip("{}")
    for spelling in (name, name.removeprefix("Is").strip()):
        with contextlib.suppress(regex.error):
            found = regex.findall(rf"\{sense}{{{spelling}}}", "".join(map(chr, range(256))), regex.VERSION0)
            return "".join(f"\\x{ord(character):02x}" for character in found) or r"\U0010ffff"
    raise PatternError(f"there is no property {name}")


def translate_set(text: str) -> str:
    """A set in brackets for `regex`, in which nothing but what Perl knows has a meaning of its own."""
    start = 2 if text.startswith("[^") else 1
    parts = [text[:start]]
    for part in _SET_PART.finditer(text, start, len(text) - 1):
        escape, other = part["escape"], part["other"]
        if escape is not None:
            parts.append(_escape_in_set(escape))
        elif other == "\\":
            raise PatternError(f"{text} is not supported")
        elif other is not None:
            parts.append(f"\\{other}" if other in "[]|&~^" else other)
        else:
            parts.append(part[0])
    return "".join([*parts, "]"])


def _escape_in_set(escape: str) -> str:
    if escape in CLASSES:
        return f"\\{escape}"
    if escape[0] in "pP":
        return octets_with(escape)
    if escape == "b":
        return r"\x08"
    if escape in WRITTEN_OUT or escape == "X":
        raise PatternError(f"\\{escape} in brackets is not supported")
    if escape in CHARACTER_SETS:
        return CHARACTER_SETS[escape]
    return one_character(escape) if escape.isalnum() or len(escape) > 1 else f"\\{escape}"
