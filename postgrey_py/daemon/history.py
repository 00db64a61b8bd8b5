# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the counts of decisions in a file of dbdir, so that they go on after a restart.

They are written every ten minutes and at the stop, without waiting for the disk: after a crash those of the last
minutes are missing, after a power failure perhaps all.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.replacement import replace_file
from postgrey_py.daemon.tally import KEPT_SPANS, SPAN_SECONDS, Span, Tally
from postgrey_py.daemon.worker import Worker
from postgrey_py.greylist.decision import Reason
from postgrey_py.greylist.loglines import Level

HISTORY_NAME = "postgrey.history"

_VERSION = 1
_MAX_FILE_BYTES = 32 << 20
_MOST = 1 << 62


class History:
    """The file with the counts of a server.

    `clock` gives seconds since 1970. `is_in_place` tells whether dbdir is still that of the server: nothing is written
    elsewhere.
    """

    def __init__(
        self, dbdir: str, tally: Tally, log: Log, clock: Callable[[], float], is_in_place: Callable[[], bool]
    ) -> None:
        self._path = os.path.join(dbdir, HISTORY_NAME)
        self._tally = tally
        self._log = log
        self._clock = clock
        self._is_in_place = is_in_place
        self._complaint = ""

    def read(self) -> None:
        """Go on with what an earlier server has counted. A file that is damaged is told of, and replaced later."""
        try:
            with open(self._path, "rb") as file:
                spans = parse_history(file.read(_MAX_FILE_BYTES))
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain(f"can't read {self._path}, earlier decisions are not counted: {error.strerror}")
            return
        except ValueError as error:
            self._complain(f"{self._path} is damaged, earlier decisions are not counted: {error}")
            return
        self._tally.resume(spans, int(self._clock()))

    async def keep(self, worker: Worker) -> None:
        """Begin new spans, and write the file every ten minutes; returns only by cancellation."""
        while True:
            await asyncio.sleep(SPAN_SECONDS - self._clock() % SPAN_SECONDS)
            await self.write(worker)

    async def write(self, worker: Worker) -> None:
        """Write the counts as they are now; the log tells when that is not possible."""
        if not self._is_in_place():
            return
        octets = format_history(self._tally.spans(int(self._clock())))
        try:
            await worker.do(lambda: replace_file(self._path, octets, is_durable=False))
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or repr(error)
            self._complain(f"can't write {self._path}, a restart forgets how many decisions there were: {reason}")
        else:
            self._complaint = ""

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._log.line(Level.WARNING, text)
        self._complaint = text


def format_history(spans: list[Span]) -> bytes:
    """Return the contents of the file with these spans."""
    return json.dumps({"version": _VERSION, "spans": [_describe(span) for span in spans]}).encode("ascii") + b"\n"


def parse_history(octets: bytes) -> list[Span]:
    """Return the spans of a file. Raises ValueError."""
    try:
        content = json.loads(octets)
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']!r} is not known")
        return [_read_span(one) for one in content["spans"][-KEPT_SPANS:]]
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"something is missing, or of another kind: {error!r}") from None


def _describe(span: Span) -> dict[str, Any]:
    counts = {reason.text: span.counts[reason.number] for reason in Reason if span.counts[reason.number]}
    return {
        "start": span.start,
        "counts": counts,
        "unseen": span.unseen,
        "returned": span.returned,
        "waits": {str(wait): number for wait, number in span.waits.items()},
    }


def _read_span(one: dict[str, Any]) -> Span:
    """Return a span of the file. Reasons of a later version are left out. Raises ValueError and others."""
    span = Span(_number(one["start"]), unseen=_number(one["unseen"]), returned=_number(one["returned"]))
    for reason in Reason:
        span.counts[reason.number] = _number(one["counts"].get(reason.text, 0))
    span.waits = {_number(int(wait)): _number(number) for wait, number in one["waits"].items()}
    return span


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError(f"{value!r} is no number")
    return value
