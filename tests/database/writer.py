# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that does nothing but write, as fast as it can, in a way that shows whether a reader sees one moment.

`python -m tests.database.writer DBDIR` writes numbered transactions until it is killed. Transaction N stores N in both
databases, adds a record N to each and deletes the record N - KEPT, so that `expected_records(N)` is all there is to see
after N. Meanwhile it checkpoints and removes logs without a pause, and compacts from time to time.
"""

from __future__ import annotations

import sys
import threading
from hashlib import sha1

from postgrey_py.database.environment import Environment
from postgrey_py.database.maintenance import compact
from postgrey_py.database.store import Store

COUNTER = b"counter"
KEPT = 4000
COMPACTION_PERIOD = 10000
# Not all the same, so that records move about in their pages.
LENGTHS = 90


def record_of(number: int) -> tuple[bytes, bytes]:
    """Key and value that transaction `number` adds; the keys are all over the tree."""
    digest = sha1(b"%d" % number).hexdigest().encode()
    return digest, b"%d,%s" % (number, digest[:2] * (int(digest[:4], 16) % LENGTHS))


def expected_records(number: int) -> dict[bytes, bytes]:
    """What either database holds after transaction `number`."""
    first = max(1, number - KEPT + 1)
    return {COUNTER: b"%d" % number, **dict(record_of(n) for n in range(first, number + 1))}


def _checkpoint_without_pause(environment: Environment) -> None:
    while True:
        environment.checkpoint(now=True)
        environment.remove_logs()


def main(dbdir: str) -> None:
    environment = Environment(dbdir, with_clients=True, report=print)
    store = Store(environment)
    tables = ((store.triplets, environment.triplets), (store.clients, environment.clients))
    number = int(store.triplets.get(COUNTER) or 0)
    threading.Thread(target=_checkpoint_without_pause, args=[environment], daemon=True).start()
    while True:
        number += 1
        key, value = record_of(number)
        old_key, _ = record_of(number - KEPT)
        for table, handle in tables:
            table[COUNTER] = b"%d" % number
            table[key] = value
            if number > KEPT:
                handle.delete(old_key, store.transaction)
        store.commit()
        if number % COMPACTION_PERIOD == 0:
            for table, _ in tables:
                for _ in compact(table):
                    pass
        if number == KEPT:
            print("ready", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
