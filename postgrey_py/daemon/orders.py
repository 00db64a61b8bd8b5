# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the orders that are in force, in memory and in a file of dbdir, so that they survive a restart.

A change counts at once. Who gave the order hears of it when it is in the file; one that is used up by a mail is written
behind the answer, and may be used once more after a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.replacement import replace_file
from postgrey_py.daemon.worker import Worker
from postgrey_py.errors import OrderError
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.overrides import NO_OVERRIDES, Allowance, Overrides, Pause, make_allowance
from postgrey_py.greylist.whitelists import Watch
from postgrey_py.listfiles import as_text

ORDERS_NAME = "postgrey.orders"
DAMAGED_SUFFIX = ".damaged"

# Each is looked at before each deferral, and remembers its latest answers.
MOST_ALLOWANCES = 100

_VERSION = 1
_MAX_FILE_BYTES = 8 << 20
_FIELDS = ("number", "until", "client", "sender", "recipient", "once", "comment", "by", "used_by")


class Orders:
    """The orders of a server. `changed` is called with them after each change."""

    def __init__(self, dbdir: str, log: Log, clock: Callable[[], float]) -> None:
        self.current = NO_OVERRIDES
        self.changed: Callable[[Overrides], None] = lambda _: None
        self._path = os.path.join(dbdir, ORDERS_NAME)
        self._log = log
        self._clock = clock
        self._watch = Watch(time.thread_time, lambda remark: log.complain(as_text(remark)))
        self._next = 1
        self._read()

    def in_force(self) -> Overrides:
        """Return those that have not run out."""
        return self.current.in_force(int(self._clock()))

    def allow(self, until: int, **fields: str | bool) -> Allowance:
        """Let mail through; the fields are those of `make_allowance`. Raises OrderError."""
        if len(self.in_force().allowances) >= MOST_ALLOWANCES:
            raise OrderError(f"there are {MOST_ALLOWANCES} allowances already; end some with disallow")
        allowance = make_allowance(self._next, until, **fields, watch=self._watch)  # type: ignore[arg-type]
        self._next += 1
        self._change(self.in_force().with_allowance(allowance))
        self._log.line(Level.NOTICE, f"allowance {allowance.text()}")
        return allowance

    def disallow(self, number: int, by: str) -> Allowance:
        """End an allowance, which is returned. Raises OrderError."""
        for allowance in self.in_force().allowances:
            if allowance.number == number:
                self._change(self.in_force().without(number))
                self._log.line(Level.NOTICE, f"allowance {number} ended by {by}")
                return allowance
        raise OrderError(f"there is no allowance {number}")

    def pause(self, until: int | None, by: str) -> Pause:
        """Let everything through, until then or for good."""
        pause = Pause(until, by)
        self._change(self.in_force().with_pause(pause))
        self._log.line(Level.WARNING, f"paused {pause.text()}: all mail passes")
        return pause

    def resume(self, by: str) -> Pause:
        """End the pause, which is returned. Raises OrderError."""
        pause = self.in_force().pause
        if pause is None:
            raise OrderError("there is no pause")
        self._change(self.in_force().with_pause(None))
        self._log.line(Level.WARNING, f"pause ended by {by}: mail is greylisted")
        return pause

    def use(self, number: int, instance: str | None) -> bool:
        """Note that a mail has passed by an allowance; returns whether that has changed something to be saved."""
        used = self.current.use(number, instance)
        if used is None:
            return False
        self._change(used)
        return True

    async def save(self, worker: Worker) -> None:
        """Write the orders that are in force now to the file. Raises OrderError."""
        text = self._text()
        try:
            await worker.do(lambda: replace_file(self._path, text))
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or repr(error)
            raise OrderError(
                f"it is in force, but {self._path} can't be written: a restart forgets it: {reason}"
            ) from error

    def _change(self, overrides: Overrides) -> None:
        self.current = overrides
        self.changed(overrides)

    def _text(self) -> bytes:
        orders = self.in_force()
        pause = None if orders.pause is None else asdict(orders.pause)
        allowances = [{name: getattr(one, name) for name in _FIELDS} for one in orders.allowances]
        content = {"version": _VERSION, "next": self._next, "pause": pause, "allowances": allowances}
        return json.dumps(content, indent=1).encode("ascii") + b"\n"

    def _read(self) -> None:
        """Take over what an earlier server left. A file that is damaged is set aside, and told of."""
        try:
            with open(self._path, "rb") as file:
                octets = file.read(_MAX_FILE_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            self._log.line(Level.WARNING, f"can't read {self._path}, orders in it are not in force: {error.strerror}")
            return
        try:
            content = json.loads(octets)
            if content["version"] != _VERSION:
                raise ValueError(f"version {content['version']} is not known")
            pause = content["pause"] and Pause(_optional_number(content["pause"]["until"]), str(content["pause"]["by"]))
            allowances = tuple(_allowance(one, self._watch) for one in content["allowances"])
            following = max([_number(content["next"]), *(one.number + 1 for one in allowances)])
        except (ValueError, TypeError, KeyError, RecursionError, OrderError) as error:
            with contextlib.suppress(OSError):
                os.replace(self._path, self._path + DAMAGED_SUFFIX)
            self._log.line(
                Level.WARNING,
                f"{self._path} is damaged, orders in it are not in force, it is kept as {ORDERS_NAME}{DAMAGED_SUFFIX}:"
                f" {error}",
            )
            return
        self._next, self.current = following, Overrides(allowances, pause)


def _allowance(fields: dict[str, Any], watch: Watch) -> Allowance:
    """Return an allowance of the file. Raises ValueError, TypeError or OrderError."""
    if set(fields) != set(_FIELDS):
        raise ValueError("an allowance has other fields")
    for name in ("client", "sender", "recipient", "comment", "by"):
        if not isinstance(fields[name], str):
            raise TypeError(f"{name} is no text")
    number, until = _number(fields.pop("number")), _number(fields.pop("until"))
    return make_allowance(number, until, **{**fields, "once": bool(fields["once"]), "watch": watch})


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r} is no number")
    return value


def _optional_number(value: object) -> int | None:
    return None if value is None else _number(value)
