# SPDX-License-Identifier: GPL-2.0-or-later
"""status: whether all is well, and the numbers behind that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from postgrey_py import __version__
from postgrey_py.daemon.control.arguments import NoArguments
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.control.orders import describe_allowance, describe_pause
from postgrey_py.daemon.engine import Engine
from postgrey_py.daemon.health import find_problems, find_warnings
from postgrey_py.daemon.tally import quantile
from postgrey_py.daemon.whitelists import WhitelistFiles
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.maintenance import walk
from postgrey_py.database.store import Table
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.decision import Reason
from postgrey_py.greylist.settings import SECONDS_PER_HOUR
from postgrey_py.greylist.whitelists import KINDS
from postgrey_py.protocol.control import to_wire

# Records are counted for so long at most; beyond that the last clean-up has to do.
COUNTING_SECONDS = 1.0


async def status(engine: Engine, _user: str, _: NoArguments, __: Send) -> object:
    """Return whether the server is healthy, what is wrong, and its numbers."""
    now = engine.clock()
    problems = find_problems(engine)
    orders = engine.orders.in_force()
    return {
        "healthy": not problems,
        "problems": problems,
        "warnings": find_warnings(engine),
        "version": __version__,
        "pid": os.getpid(),
        "started": int(engine.started),
        "uptime": int(now - engine.started),
        "dbdir": engine.settings.dbdir,
        "listeners": list(engine.listeners),
        "connections": engine.connections(),
        "training": engine.settings.training,
        "pause": None if orders.pause is None else describe_pause(orders.pause),
        "allowances": [describe_allowance(one) for one in orders.allowances],
        "databases": await _describe_databases(engine),
        "clean_up": _describe_clean_up(engine, now),
        "lists": describe_lists(engine.whitelists),
        "today": _describe_decisions(engine, _midnight(int(now)), int(now)),
        "last_hour": _describe_decisions(engine, int(now) - SECONDS_PER_HOUR, int(now)),
        "outage": {
            "down": engine.outage.is_down,
            "times": engine.outage.times,
            "passed": engine.outage.passed_in_all,
            "seconds": engine.outage.seconds,
        },
    }


def describe_lists(lists: WhitelistFiles) -> dict[str, Any]:
    """Return the lists by kind: files, entries in force, lines that are not used, and when they were read."""
    return {
        kind: {
            "title": KINDS[kind].title,
            "files": list(lists.paths[kind]),
            "entries": getattr(lists.current, kind).in_force,
            "unused": [
                to_wire(remark.text) for remark in getattr(lists.current, kind).remarks if not remark.is_in_force
            ],
            "read": int(lists.read_at[kind]),
        }
        for kind in lists.paths
    }


def _midnight(now: int) -> int:
    local = time.localtime(now)
    return now - (local.tm_hour * 60 + local.tm_min) * 60 - local.tm_sec


def _describe_decisions(engine: Engine, since: int, now: int) -> dict[str, Any]:
    """Return the decisions since then, and how long mail waited that came back and passed."""
    span = engine.tally.since(since, now)
    return {
        "since": since,
        "decisions": [
            {
                "action": reason.action.text,
                "reason": reason.text,
                "count": span.counts[reason.number],
            }
            for reason in Reason
            if span.counts[reason.number]
        ],
        "unseen": span.unseen,
        "delays": {
            "count": span.returns(),
            "median": quantile(span.waits, 0.5),
            "p95": quantile(span.waits, 0.95),
        },
    }


async def _describe_databases(engine: Engine) -> dict[str, Any]:
    """Return the records and bytes of each database, and when it had its last checkpoint."""
    deadline = time.monotonic() + COUNTING_SECONDS
    last = engine.upkeep.last_clean_up
    found: dict[str, Any] = {}
    for name, file, table in (
        ("triplets", TRIPLETS, engine.store.triplets),
        ("clients", CLIENTS, engine.store.clients),
    ):
        if name == "clients" and not engine.settings.auto_whitelist_clients:
            continue
        records = await _count(engine, table, deadline)
        counted = None if records is None else int(engine.clock())
        if records is None and last is not None and name in last.counts:
            records, counted = last.counts[name].after, int(last.ended)
        size = None
        with contextlib.suppress(OSError):
            size = os.stat(os.path.join(engine.settings.dbdir, file)).st_size
        found[name] = {"file": file, "records": records, "counted": counted, "bytes": size}
    with contextlib.suppress(DatabaseError):
        found["last_checkpoint"] = engine.store.environment.last_checkpoint()
    return found


async def _count(engine: Engine, table: Table, deadline: float) -> int | None:
    """Return how many records the table has; None where that takes longer, or the database is down."""
    counted = [0]

    def count() -> Iterator[None]:
        for records in walk(table):
            counted[0] += len(records)
            yield

    try:
        await asyncio.wait_for(engine.upkeep.in_slices(count()), max(0.0, deadline - time.monotonic()))
    except (asyncio.TimeoutError, DatabaseError):
        return None
    return counted[0]


def _describe_clean_up(engine: Engine, now: float) -> dict[str, Any]:
    last, following = engine.upkeep.last_clean_up, engine.upkeep.next_clean_up
    return {
        "last": None if last is None else int(last.ended),
        "next": None if following is None else int(now + following - time.monotonic()),
        "removed": None if last is None else {name: one.before - one.after for name, one in last.counts.items()},
    }
