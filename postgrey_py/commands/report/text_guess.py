# SPDX-License-Identifier: GPL-2.0-or-later
"""Guess the text that mail was deferred with, when no rejection has the expected one. Called by `report`.

Without an answer the report would be empty, and nobody would know why.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable
from itertools import islice

from postgrey_py.commands.formats import printable

# So many mails are kept to compare.
_MOST_KEPT = 1000

_GREYLISTED = re.compile(
    rb"action=greylist, reason=[^,\n]*(?:, client_name=[^,\n]*)?, client_address=([^,/\s]*)(?:/\d+)?"
    rb"(?:, sender=[^\n]*?)??(?:, recipient=([^\r\n]*))?\r?$",
    re.MULTILINE,
)
_REJECTED = re.compile(
    rb"reject: RCPT from [^\[\s]*\[([^\]\s]*)\](?::\w+)?: ([45])\d\d (?:\d\.\d+\.\d+ )?"
    rb"<[^>\n]*>: (?:[A-Z][\w ]{1,40} rejected: )?([^\n]*?); from=<[^>\n]*> to=<([^>\n]*)>[^\n]*"
)
# What a pattern would read as something else.
_SPECIAL = re.compile(r"[\\.^$|?*+()\[\]{}]")
_NUMBER = re.compile(r"\d+")

_Mail = tuple[bytes, bytes]


class TextGuess:
    """Looks at blocks of a log until a rejection has the text that is looked for.

    `is_needed` is whether none had it yet; somebody else may know better.
    """

    def __init__(self, has_greylist_text: Callable[[bytes], object]) -> None:
        self.is_needed = True
        self._has_greylist_text = has_greylist_text
        self._greylisted: set[_Mail] = set()
        self._rejected: dict[_Mail, tuple[bytes, bytes]] = {}

    def look(self, block: bytes) -> None:
        """Take note of which mail the server deferred, and of what Postfix told those whom it rejected."""
        if not self.is_needed or (b"action=greylist" not in block and not self._greylisted):
            return
        if len(self._greylisted) < _MOST_KEPT:
            found_mail = ((address, recipient.lower()) for address, recipient in _GREYLISTED.findall(block))
            self._greylisted.update(islice(found_mail, _MOST_KEPT - len(self._greylisted)))
        for found in _REJECTED.finditer(block) if b"reject: RCPT" in block else ():
            address, code, text, recipient = found.groups()
            if code == b"4" and self._has_greylist_text(found[0]):
                self.is_needed = False
                return
            if len(self._rejected) < _MOST_KEPT:
                self._rejected.setdefault((address, recipient.lower()), (code, text))

    def complaint(self, looked_for: str) -> str | None:
        """Return the remark about a log of Postfix in which no rejection has the text that was looked for."""
        if not self.is_needed or not self._greylisted:
            return None
        problem = f"the server deferred mail (action=greylist), but no rejection has the text {looked_for!r}"
        of_that_mail = ((*told, mail[1]) for mail, told in self._rejected.items() if mail in self._greylisted)
        told = Counter((code, _generalize(text, recipient)) for code, text, recipient in of_that_mail)
        if not told:
            return f"{problem}, and none is of that mail: give the whole log, or another --greylist-text"
        ((code, text),) = (found for found, _ in told.most_common(1))
        if code == b"5":
            return f"{problem} and a temporary error: that mail was refused for good ('{text}'); see --greylist-action"
        return f"{problem}: try --greylist-text={shlex.quote(text)}"


def _generalize(text: bytes, recipient: bytes) -> str:
    """The pattern of a text that has been told about mail to this recipient, as --greylist-text takes it."""
    pattern = _SPECIAL.sub(r"\\\g<0>", printable(text))
    domain = _SPECIAL.sub(r"\\\g<0>", printable(recipient.rpartition(b"@")[2]))
    if domain:
        pattern = re.sub(rf"(?<![\w.-]){re.escape(domain)}(?![\w-])", "%r", pattern, flags=re.IGNORECASE)
    return _NUMBER.sub("%s", pattern)
