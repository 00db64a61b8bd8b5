# SPDX-License-Identifier: GPL-2.0-or-later
"""Bounds for what must not hang: far beyond what it takes, far below what a pattern takes that runs wild."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def limit_seconds(limit: float) -> Iterator[None]:
    """Fail when what is done within takes more processor time than that."""
    start = time.process_time()
    yield
    used = time.process_time() - start
    assert used < limit, f"took {used:.1f} s"
