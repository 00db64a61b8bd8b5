# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of the server that its administrator asks and orders about, by control commands and by the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from postgrey_py.daemon.decider import Decider
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.orders import Orders
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.tally import Tally
from postgrey_py.daemon.upkeep import Upkeep
from postgrey_py.daemon.whitelists import WhitelistFiles
from postgrey_py.daemon.worker import Worker
from postgrey_py.database.store import Store
from postgrey_py.greylist.settings import Settings


class Sized(Protocol):
    """A thing that is counted."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts of the server that control commands ask and order about. Made by `Server`, once.

    `clock` gives seconds since 1970, `started` is such a time. `listeners` are described for people. `reload` reads the
    whitelists again, for this cause, and returns what there is to complain of.
    """

    settings: Settings
    store: Store
    outage: Outage
    decider: Decider
    whitelists: WhitelistFiles
    upkeep: Upkeep
    orders: Orders
    tally: Tally
    log: Log
    worker: Worker
    connections: Callable[[], int]
    clock: Callable[[], float]
    started: float
    listeners: Sequence[str]
    reload: Callable[[str], Awaitable[list[str]]]
