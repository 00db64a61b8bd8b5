# SPDX-License-Identifier: GPL-2.0-or-later
"""Log lines as objects of JSON, one a line: `--log-format=json`. Described in postgrey(8)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from postgrey_py.greylist.loglines import Level, LogLine
from postgrey_py.protocol.control import to_wire

# The names of syslog.conf(5).
LEVELS = {
    Level.CRITICAL: "crit",
    Level.ERROR: "err",
    Level.WARNING: "warning",
    Level.NOTICE: "notice",
    Level.INFO: "info",
    Level.DEBUG: "debug",
}


class JsonFormat:
    """Makes an object of each line: its time by this clock, in seconds since 1970, its level, text and fields.

    The result is ASCII, so that no destination of the log has anything to escape.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def __call__(self, line: LogLine) -> str:
        time = datetime.fromtimestamp(self._clock()).astimezone().isoformat(timespec="milliseconds")
        value = {"time": time, "level": LEVELS[line.level], "message": to_wire(line.text), **(line.fields or {})}
        return json.dumps(value, separators=(",", ":"))
