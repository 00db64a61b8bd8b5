# SPDX-License-Identifier: GPL-2.0-or-later
"""Databases with the records that a test wants, made by our server's own code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from postgrey_py.database.environment import Environment
from postgrey_py.database.store import Store


def make_database(dbdir: Path, triplets: Mapping[str, str], clients: Mapping[str, str]) -> Path:
    """Store these records in the databases of `dbdir`, and return it; one character is one byte."""
    dbdir.mkdir(exist_ok=True)
    environment = Environment(os.fspath(dbdir), with_clients=True, report=print)
    try:
        store = Store(environment)
        for table, records in ((store.triplets, triplets), (store.clients, clients)):
            for key, value in records.items():
                table[key.encode("latin-1")] = value.encode("latin-1")
        store.commit()
    finally:
        environment.close()
    return dbdir
