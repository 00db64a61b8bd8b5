# SPDX-License-Identifier: GPL-2.0-or-later
"""Lower case as Perl makes it of bytes."""

from __future__ import annotations


def ascii_lower(text: str) -> str:
    """The Latin-1 text with small ASCII letters; bytes beyond ASCII have neither small nor capital ones."""
    return text.lower() if text.isascii() else text.encode("latin-1").lower().decode("latin-1")
