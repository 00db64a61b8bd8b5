# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of one triplet or client that several servers have made, merged to the one that a single server would have.

A triplet's record stands for a set of tries, of which it tells the first and the last. To merge records is to merge
those sets: the order does not matter, nor does how often one comes. It is not to take the earliest and the latest time:
a triplet that was out of its retry window, or forgotten, when the next try came lends that nothing, else mail would
pass that never came back in time. What a single record can't tell is lost: of one that is merged in after it has ended,
the window of the others may end earlier, by less than the delay.
"""

from __future__ import annotations

from collections.abc import Iterable

from postgrey_py.greylist.records import Record, has_passed
from postgrey_py.greylist.settings import Settings


def merge_triplets(records: Iterable[Record], settings: Settings) -> Record:
    """Return the record of all these tries, of which there is at least one. A missing last time is the first."""
    first, *others = sorted({(one[0], one[0] if one[1] is None else one[1]) for one in records})
    merged = first
    for record in others:
        merged = _continue(merged, record, settings)
    return merged


def _continue(earlier: tuple[int, int], later: tuple[int, int], settings: Settings) -> tuple[int, int]:
    """Return two records as one; the `earlier` was first seen no later than the `later`."""
    first_seen, last_seen = earlier[0], max(earlier[1], later[1])
    if has_passed(earlier, settings.delay):
        is_forgotten = later[0] - earlier[1] > settings.max_age
        return later if is_forgotten else (first_seen, last_seen)
    if later[0] - first_seen > settings.retry_window:
        return later
    passes = has_passed(later, settings.delay) or any(
        settings.delay <= seen - first_seen <= settings.retry_window for seen in later
    )
    # Without a try that passes the record must not look as if there had been one.
    return later if has_passed((first_seen, last_seen), settings.delay) and not passes else (first_seen, last_seen)


def merge_clients(records: Iterable[Record]) -> Record:
    """Return the record of a client: the largest count, and the last time of all.

    Counts of several servers would add up, but those of one that come twice must not.
    """
    found = list(records)
    return max(count for count, _ in found), max(last_seen or 0 for _, last_seen in found)
