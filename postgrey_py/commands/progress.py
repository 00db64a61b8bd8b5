# SPDX-License-Identifier: GPL-2.0-or-later
"""A progress bar on standard error, for those who wait in front of a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

WIDTH = 40
SECONDS_BETWEEN = 0.1


class ProgressBar:
    """A context manager that shows `done` of `total` while it is told of them, and leaves an empty line.

    Where standard error is no terminal, nothing is shown:

        with ProgressBar("looking up names") as bar:
            resolver.names_of(addresses, bar.show)
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._is_wanted = sys.stderr.isatty()
        self._shown_at = 0.0

    def show(self, done: int, total: int) -> None:
        """Draw the bar anew, unless that was done a moment ago."""
        now = time.monotonic()
        if self._is_wanted and (done == total or now - self._shown_at >= SECONDS_BETWEEN):
            self._shown_at = now
            bar = ("#" * (WIDTH * done // total)).ljust(WIDTH, ".")
            print(f"\r{self._label} [{bar}] {done}/{total}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown_at:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
