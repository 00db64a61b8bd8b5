# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of senders: written as those of recipients are, and `<>` for bounces, which have no sender."""

from __future__ import annotations

from collections.abc import Iterable

from postgrey_py.greylist.list_lines import Line

NOBODY = "<>"


def take_nobody(lines: Iterable[Line]) -> tuple[list[Line], list[Line]]:
    """Return the lines that say `<>`, and all others."""
    nobody: list[Line] = []
    others: list[Line] = []
    for line in lines:
        (nobody if line.entry() == NOBODY else others).append(line)
    return nobody, others
