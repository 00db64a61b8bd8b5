# SPDX-License-Identifier: GPL-2.0-or-later
"""Views of servers that are made up: for the tests of the page, and for its pictures."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace

from postgrey_py.daemon.web.view import (
    BUCKET_SECONDS,
    BUCKETS,
    Bucket,
    ListFile,
    Mode,
    Trouble,
    View,
    WaitBin,
    Waiting,
    WaitingNetwork,
    Waits,
)
from postgrey_py.greylist.settings import SECONDS_PER_DAY

# 26 November 2025, 16:08:20 UTC.
NOW = 1764173300

EMPTY = View(now=NOW, started_at=NOW - 5, version="1.0", host="mx1.example.org", delay=300)

_NETWORKS = (
    ("203.0.113.0/24", 38, 250),
    ("198.51.100.0/24", 21, 840),
    ("192.0.2.0/24", 17, 33_000),
    ("2001:db8:17::/64", 9, 1_600),
    ("203.0.114.0/24", 6, 90),
    ("198.51.101.0/24", 3, 17_000),
)
_WAITS = (
    *((300, 0), (600, 412), (900, 263), (1800, 331), (3600, 148), (7200, 61), (14_400, 35)),
    *((28_800, 14), (86_400, 22), (None, 4)),
)


def busy_view() -> View:
    """A server in the middle of a working day, with a wave of spam in the morning before."""
    # The same page each time.
    chance = random.Random(7)
    return replace(
        EMPTY,
        started_at=NOW - 12 * SECONDS_PER_DAY,
        buckets=tuple(_bucket(number, chance) for number in range(BUCKETS)),
        waits=Waits(tuple(WaitBin(*one) for one in _WAITS), median=372, high=4980),
        waiting=Waiting(
            counted_at=NOW - 20,
            mails=143,
            all_networks=41,
            networks=tuple(WaitingNetwork(name, mails, NOW - age) for name, mails, age in _NETWORKS),
        ),
        lists=(
            ListFile("client", paths_of("clients"), entries=187, unused=0, read_at=NOW - 3 * SECONDS_PER_DAY),
            ListFile("recipient", paths_of("recipients"), entries=14, unused=0, read_at=NOW - 3 * SECONDS_PER_DAY),
        ),
        triplets=48_211,
        clients=1_873,
    )


def troubled_view() -> View:
    """The same server when its disk is full."""
    return replace(
        busy_view(),
        mode=Mode.DOWN,
        mode_detail="/var/lib/postgrey/log.0000000012: No space left on device: make room, and it goes on.",
        troubles=(Trouble("2 lines of /etc/postgrey/whitelist_recipients are not used: postgrey --check has them."),),
    )


def paths_of(kind: str) -> tuple[str, str]:
    return f"/etc/postgrey/whitelist_{kind}", f"/etc/postgrey/whitelist_{kind}.local"


def _bucket(number: int, chance: random.Random) -> Bucket:
    start = NOW - NOW % BUCKET_SECONDS - (BUCKETS - 1 - number) * BUCKET_SECONDS
    local = time.gmtime(start)
    hour = local.tm_hour + local.tm_min / 60
    day = math.sin((hour - 6) / 14 * math.pi) if 6 < hour < 20 else 0.0

    def about(mean: float) -> int:
        return sum(chance.random() < 0.5 for _ in range(int(2 * mean)))

    is_wave, is_young = 95 < number < 110, number >= BUCKETS - 5
    first = about(9 + 6 * day + 25 * is_wave)
    back = 0.0 if is_young else 0.12 if is_wave else 0.46
    return Bucket(
        start,
        first=first,
        returned=sum(chance.random() < back for _ in range(first)),
        early=about(1.5),
        waited=about(3 + 3 * day),
        known=about(3 + 28 * day),
        listed=about(1 + 9 * day),
    )
