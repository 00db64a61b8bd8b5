# SPDX-License-Identifier: GPL-2.0-or-later
"""A view of the server: the plain values that the page shows, as they were at one moment.

Whoever knows the running server makes one; `page` renders it. Times are seconds since 1970, spans are seconds. No
sender and no recipient is in it: networks are all that the page tells about people.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from postgrey_py.greylist.settings import SECONDS_PER_DAY

BUCKET_SECONDS = 600
HISTORY_SECONDS = 2 * SECONDS_PER_DAY
BUCKETS = HISTORY_SECONDS // BUCKET_SECONDS


class Mode(enum.Enum):
    """The way in which the server treats mail."""

    GREYLISTING = enum.auto()
    TRAINING = enum.auto()
    PAUSED = enum.auto()
    DOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that an administrator should know: what, where and what to do; `is_grave` when it can't wait."""

    text: str
    is_grave: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """The decisions of ten minutes, by group.

    Deferred: `first` at the first try, `early` again because they came back too early. Passed: `waited` when they came
    back, `known` by their triplet or by the auto-whitelist, `listed` by a list or an order, `unchecked` because the
    database was down, greylisting paused or in training, or the request odd. `returned` says how many of the `first`
    have come back since and passed.
    """

    start: int
    first: int = 0
    returned: int = 0
    early: int = 0
    waited: int = 0
    known: int = 0
    listed: int = 0
    unchecked: int = 0

    def total(self) -> int:
        """Return the number of decisions."""
        return self.deferred() + self.passed()

    def deferred(self) -> int:
        """Return the number of tries that were deferred."""
        return self.first + self.early

    def passed(self) -> int:
        """Return the number of mails that passed."""
        return self.waited + self.known + self.listed + self.unchecked

    def lost(self) -> int:
        """Return the number of first tries that have not come back so far."""
        return max(0, self.first - self.returned)


@dataclass(frozen=True, slots=True)
class WaitBin:
    """Mails that came back within `up_to` seconds, and not within the bound of the bin before; None for no bound."""

    up_to: int | None
    mails: int


@dataclass(frozen=True, slots=True)
class Waits:
    """The waits of mails that came back and passed, in bins from short to long; no spans where there are none.

    `median` and `high` are spans that half of them, and 95 percent, did not exceed.
    """

    bins: tuple[WaitBin, ...] = ()
    median: int | None = None
    high: int | None = None

    def total(self) -> int:
        """Return the number of mails that came back."""
        return sum(one.mails for one in self.bins)


@dataclass(frozen=True, slots=True)
class WaitingNetwork:
    """A network with mail that waits now, and when the first of it was seen."""

    network: str
    mails: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """The mail that waits now: the networks with most of it, and how many mails and networks there are in all.

    `hidden` mails have no network, because --privacy stores hashes. `counted_at` is None before the first count.
    """

    counted_at: int | None = None
    mails: int = 0
    all_networks: int = 0
    hidden: int = 0
    networks: tuple[WaitingNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class ListFile:
    """A list with its files: how many entries are in force, how many lines are not used, and when it was read.

    `is_changed` tells that a file is not what was read any more.
    """

    kind: str
    paths: tuple[str, ...]
    entries: int
    unused: int
    read_at: int
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """All that the page shows. `buckets` are in order of time; ten minutes without a decision may be left out."""

    now: int
    started_at: int
    version: str
    host: str
    delay: int
    mode: Mode = Mode.GREYLISTING
    mode_detail: str = ""
    troubles: tuple[Trouble, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    waits: Waits = Waits()
    waiting: Waiting = Waiting()
    lists: tuple[ListFile, ...] = ()
    triplets: int | None = None
    clients: int | None = None
