# SPDX-License-Identifier: GPL-2.0-or-later
"""The state that a request is judged by."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple, Protocol


class Table(Protocol):
    """A database by key, as far as a decision needs it."""

    def get(self, key: bytes, /) -> bytes | None: ...


class Records(NamedTuple):
    """The state that a request is judged by: both databases, and the messages that have got their header."""

    triplets: Table
    clients: Table
    instances: Container[str] = ()
