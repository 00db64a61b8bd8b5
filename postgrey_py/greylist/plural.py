# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers of things, for people."""

from __future__ import annotations


def counted(number: int, things: str) -> str:
    """Return a number with its noun, which is given in the plural: `1 triplet`, `2 entries`."""
    if number != 1:
        return f"{number} {things}"
    return f"1 {things[:-3]}y" if things.endswith("ies") else f"1 {things.removesuffix('s')}"
