# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of lists become lines, lines become entries, and what is wrong with a line becomes a remark.

The same for every kind of list; what an entry means is told by `client_entries` and `recipient_entries`. Opening the
files is the caller's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from postgrey_py.errors import ListFileError, PatternError
from postgrey_py.greylist.patterns import Pattern, compile_pattern

# To 1.37, which takes a file for bytes.
WHITE_SPACE = " \t\n\r\f\v"

# Patterns may be longer.
MAX_ENTRY_CHARACTERS = 512
# Of an entry that is quoted in a remark.
_QUOTED_CHARACTERS = 100

# UTF-8 as Latin-1: byte-order mark, no-break and other wide spaces, soft hyphen, zero-width characters, marks of
# direction. Nobody sees them, and they come with what is copied from a web page.
_INVISIBLE = re.compile(
    "\xef\xbb\xbf|\xc2[\x85\xa0\xad]|\xe2\x80[\x80-\x8f\xa8-\xaf]|\xe2\x81[\x9f-\xa4]|\xe3\x80\x80|\xe1\x9a\x80"
)
_UNSEEN = re.compile(rf"(?:{_INVISIBLE.pattern}|[{WHITE_SPACE}])+")
_PAIRS = (
    *(('"', '"'), ("'", "'"), ("`", "`"), ("<", ">")),
    # The same as word processors write them, in UTF-8.
    *(("\xe2\x80\x9c", "\xe2\x80\x9d"), ("\xe2\x80\x98", "\xe2\x80\x99"), ("\xe2\x80\x9e", "\xe2\x80\x9c")),
    ("\xc2\xab", "\xc2\xbb"),
)

# Perl's, of which a list needs none.
_FLAGS = frozenset("imsxgoadlupcn")

_FOREIGN = {
    b"\x1f\x8b": "is compressed (gzip)",
    b"BZh": "is compressed (bzip2)",
    b"\xfd7zXZ": "is compressed (xz)",
    b"\x28\xb5\x2f\xfd": "is compressed (zstd)",
    b"PK\x03\x04": "is an archive (zip)",
    b"\x7fELF": "is a program",
    b"\x00\x05\x31\x62": "is a database",
}
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Line(NamedTuple):
    """One line of a list's file, as Latin-1 text, and where it stands."""

    file: str
    number: int
    text: str

    def remark(self, text: str) -> str:
        """Return a text about the line, with its place."""
        return f"{self.place()}: {text}"

    def place(self) -> str:
        """Return where the line stands, for people."""
        return f"{self.file} line {self.number}"

    def entry(self) -> str:
        """Return the text without its comment."""
        return self.text.partition("#")[0].strip()


class Remark(NamedTuple):
    """Something to tell about a line, with its place; and whether it is in force all the same."""

    text: str
    is_in_force: bool


@dataclass(slots=True)
class Entries:
    """The entries of one list, while its lines are read; each with the line that it comes from.

    `names` hold for themselves and, where they are domains, for what is below; `below` only for what is below. The
    `domains` are of recipients, for everybody there but not below, and `users` are `user@domain` for what is below
    that domain. Networks are by number of bits of the address and of the prefix.
    """

    names: dict[str, Line] = field(default_factory=dict)
    below: dict[str, Line] = field(default_factory=dict)
    domains: dict[str, Line] = field(default_factory=dict)
    users: dict[str, Line] = field(default_factory=dict)
    networks: dict[tuple[int, int], dict[int, Line]] = field(default_factory=dict)
    patterns: list[tuple[Pattern, Line]] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def refuse(self, line: Line, reason: str) -> None:
        """Note that this line is not used, and why."""
        self.remarks.append(Remark(line.remark(reason), is_in_force=False))

    def hint(self, line: Line, text: str) -> None:
        """Note something about a line that is in force."""
        self.remarks.append(Remark(line.remark(text), is_in_force=True))

    def add_pattern(self, line: Line, pattern: str) -> None:
        try:
            self.patterns.append((compile_pattern(pattern), line))
        except PatternError as error:
            self.refuse(line, f"can't compile the pattern {quote(f'/{pattern}/')}: {error}")


def decode_list(octets: bytes, file: str) -> list[Line]:
    """The lines of a file with this content. Raises ListFileError where it is no text."""
    for start, what in _FOREIGN.items():
        if octets.startswith(start):
            raise ListFileError(f"{file} {what}: a list is plain text, one entry a line")
    for mark, encoding in _BYTE_ORDER_MARKS:
        if octets.startswith(mark):
            try:
                octets = octets.decode(encoding).encode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise ListFileError(f"{file} begins as {encoding.upper()}, but is not: save it as UTF-8") from None
            break
    if octets.count(0) > len(octets) // 4:
        raise ListFileError(f"{file} looks like UTF-16 or UTF-32 without a byte-order mark: save it as UTF-8")
    text = octets.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    # An editor of the last century ends lines with a carriage return only; the file would be one comment.
    lines = text.split("\n") if "\n" in text else text.split("\r")
    return [Line(file, number, line) for number, line in enumerate(lines, start=1)]


def without_comment(line: Line) -> str:
    """The entry on this line as 1.37 sees it; empty where there is none."""
    # 1.37: a # starts a comment wherever it stands, also inside a pattern.
    return line.text.partition("#")[0].strip(WHITE_SPACE)


def tidy(entry: str) -> str:
    """The entry without what can't be meant: invisible characters around it, commas behind it, quotes."""
    while True:
        before = entry
        if not entry.isascii():
            entry = _without_unseen_ends(entry)
        entry = entry.rstrip(",;" + WHITE_SPACE)
        for opening, closing in _PAIRS:
            inside = entry[len(opening) : -len(closing)]
            if inside and entry.startswith(opening) and entry.endswith(closing) and opening not in inside:
                entry = inside.strip(WHITE_SPACE)
        if entry == before:
            return entry


def _without_unseen_ends(entry: str) -> str:
    unseen = list(_UNSEEN.finditer(entry))
    start = unseen[0].end() if unseen and unseen[0].start() == 0 else 0
    end = unseen[-1].start() if unseen and unseen[-1].end() == len(entry) else len(entry)
    return entry[start:end]


def quote(text: str) -> str:
    """The text for a remark, cut where it is too long."""
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}..."


def find_strange_character(entry: str) -> str | None:
    """Name a character of the entry that is invisible and in no name or address; None where there is none."""
    if invisible := _INVISIBLE.search(entry):
        code = ord(invisible[0].encode("latin-1").decode("utf-8"))
        return f"an invisible character (U+{code:04X})"
    control = re.search(r"[\x00-\x1f\x7f]", entry)
    return f"a control character (\\x{ord(control[0]):02x})" if control else None


def in_dns(domain: str) -> str | None:
    """Return this domain, Latin-1 text of UTF-8, in ASCII as the DNS has it; None where that is not possible."""
    try:
        text = domain.encode("latin-1").decode("utf-8")
        return text.encode("idna").decode("ascii").lower() if re.fullmatch(r"[\w.-]+", text) else None
    except UnicodeError:
        return None


def read_pattern(line: Line, entry: str, entries: Entries, kind: str) -> None:
    """Take an entry that begins with a slash; `kind` is what an entry without white space looks like."""
    # Case does not matter anyway, so that the flag i is as good as none.
    closed = entry.removesuffix("i") if entry.endswith("/i") else entry
    is_closed = closed.endswith("/") and len(closed) > 2
    if any(character in WHITE_SPACE for character in entry):
        what = "write \\s for white space in a pattern" if is_closed else "write a pattern alone, as /pattern/"
        entries.refuse(line, f"doesn't look like {kind}: {what}")
    elif is_closed:
        entries.add_pattern(line, closed[1:-1])
    elif closed in ("/", "//"):
        entries.refuse(line, f"there is no pattern between the slashes of {entry}: write /pattern/, or delete the line")
    elif "#" in line.text:
        entries.refuse(line, f"{quote(entry)} has no / at its end, because # starts a comment: write \\x23 for a #")
    elif "/" in entry[1:] and set(flags := entry.rpartition("/")[2]) <= _FLAGS:
        pattern = quote(entry.removesuffix(flags))
        entries.refuse(line, f"flags such as {flags} are not known behind a pattern: write {pattern}")
    else:
        entries.refuse(line, f"{quote(entry)} has no / at its end: write {quote(entry)}/")


def explain_white_space(entry: str) -> str:
    """Return advice about an entry with white space inside, as the end of a sentence; "" where it is unclear."""
    words = entry.replace(",", " ").split()
    joined = "".join(words)
    if len(words) == 2 and re.fullmatch(r"(?i)ok|permit\w*|dunno|relay|accept", words[1]):
        return f": write {quote(words[0])} alone, an action is not needed"
    if re.fullmatch(r"[\d.:a-f]+/\d+|[^@]+@[\w.-]+", joined, re.ASCII):
        return f": write {quote(joined)}"
    return ": write one entry a line" if all(re.search(r"\w[.@:]\w", word) for word in words) else ""


def wildcard_pattern(text: str) -> str:
    """The pattern for what somebody means who writes * for any characters."""
    return "/^" + ".*".join(re.sub(r"([^\w@-])", r"\\\1", part) for part in text.split("*")) + "$/"
