# SPDX-License-Identifier: GPL-2.0-or-later
"""A destination for the log of a test."""

from __future__ import annotations

from postgrey_py.greylist.loglines import Level


class Memory:
    """A sink that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, lines: list[tuple[Level, str]]) -> int:
        self.lines += (text for _, text in lines)
        return 0
