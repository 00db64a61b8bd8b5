# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of deferred mail: a pattern of that which the server was given. Called by `report`."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"%[sr]")
_WHAT_STANDS_THERE = {"%s": r"\d+", "%r": r"\S+"}


def pattern_of_text(text: str) -> str:
    """Return a pattern, in Perl's syntax, of what Postfix logs of a text that the server was given as --greylist-text.

    The text is Latin-1, a character for each byte; of bytes beyond ASCII Postfix may make question marks.
    """
    plain = _PLACEHOLDER.split(text)
    placeholders = [_WHAT_STANDS_THERE[name] for name in _PLACEHOLDER.findall(text)]
    pieces = [re.sub(r"[^\x20-\x7e]", ".", re.escape(piece).replace(r"\ ", " ")) for piece in plain]
    return "".join(piece + placeholder for piece, placeholder in zip(pieces, [*placeholders, ""], strict=True))
