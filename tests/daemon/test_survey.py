# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.survey import MOST_NETWORKS, Census, PendingNetwork, Survey
from postgrey_py.daemon.upkeep import Upkeep
from postgrey_py.daemon.worker import Worker
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.keys import client_key, triplet_key
from postgrey_py.greylist.records import format_record
from postgrey_py.greylist.settings import Settings
from tests.database.dbdirs import OpenStore, open_store
from tests.support.logs import Memory

NOW = 1_700_000_000
PENDING = format_record(NOW - 50, NOW - 50)
PASSED = format_record(NOW - 5000, NOW - 50)
LAPSED = format_record(NOW - 500_000, NOW - 500_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenStore]:
    with open_store(tmp_path) as store:
        yield store


async def never() -> None:
    raise AssertionError


def survey(store: OpenStore, settings: Settings, *, is_down: bool = False) -> Census | None:
    async def run() -> Census | None:
        log, worker = Log(Memory()), Worker()
        outage = Outage(never, log, time.monotonic)
        if is_down:
            outage.failed(DatabaseError("gone"))
        survey = Survey(store, settings, Upkeep(store, settings, log, outage, worker, lambda: None), lambda: NOW)
        await survey.take()
        worker.close()
        return survey.census

    return asyncio.run(run())


def put(store: OpenStore, settings: Settings, client: str, recipient: str, value: bytes) -> None:
    address = parse_address(client)
    assert address is not None
    store.triplets[triplet_key(address, "alice@example.com", recipient, settings)] = value


SETTINGS = Settings()


def test_empty_database() -> None:
    assert Census(NOW).networks == ()


def test_records_are_counted_by_what_they_mean(store: OpenStore) -> None:
    for number in range(3):
        put(store, SETTINGS, "192.0.2.7", f"user{number}@example.org", PENDING)
    put(store, SETTINGS, "192.0.2.8", "old@example.org", format_record(NOW - 100, NOW - 1))
    put(store, SETTINGS, "198.51.100.1", "a@example.org", PENDING)
    put(store, SETTINGS, "2001:db8::1", "a@example.org", PENDING)
    put(store, SETTINGS, "203.0.113.1", "a@example.org", PASSED)
    put(store, SETTINGS, "203.0.113.1", "b@example.org", LAPSED)
    for number, count in enumerate((5, 4, 17)):
        address = parse_address(f"192.0.2.{number}")
        assert address is not None
        store.clients[client_key(address, SETTINGS)] = format_record(count, NOW)
    store.commit()
    assert survey(store, SETTINGS) == Census(
        counted_at=NOW,
        triplets=8,
        clients=3,
        trusted=2,
        pending=6,
        all_networks=3,
        networks=(
            PendingNetwork(4, NOW - 100, "192.0.2.0"),
            PendingNetwork(1, NOW - 50, "2001:db8:0:0:0:0:0:0"),
            PendingNetwork(1, NOW - 50, "198.51.100.0"),
        ),
    )


def test_only_networks_with_most_mail_are_named(store: OpenStore) -> None:
    for number in range(2 * MOST_NETWORKS):
        for recipient in range(number + 1):
            put(store, SETTINGS, f"10.0.{number}.1", f"user{recipient}@example.org", PENDING)
    store.commit()
    census = survey(store, SETTINGS)
    assert census is not None
    assert census.all_networks == 2 * MOST_NETWORKS
    assert [one.triplets for one in census.networks] == list(range(2 * MOST_NETWORKS, MOST_NETWORKS, -1))


def test_hashes_have_no_network(store: OpenStore) -> None:
    settings = Settings(privacy=True)
    put(store, settings, "192.0.2.7", "bob@example.org", PENDING)
    store.commit()
    census = survey(store, settings)
    assert census is not None
    assert (census.pending, census.hidden, census.networks) == (1, 1, ())


def test_more_records_than_a_slice_has(store: OpenStore) -> None:
    for number in range(1300):
        put(store, SETTINGS, "192.0.2.7", f"user{number}@example.org", PENDING)
    store.commit()
    census = survey(store, SETTINGS)
    assert census is not None
    assert (census.triplets, census.networks) == (1300, (PendingNetwork(1300, NOW - 50, "192.0.2.0"),))


def test_without_auto_whitelist_there_are_no_clients(store: OpenStore) -> None:
    census = survey(store, Settings(auto_whitelist_clients=0))
    assert census == Census(NOW)


def test_nothing_is_known_of_a_database_that_is_down(store: OpenStore) -> None:
    assert survey(store, SETTINGS, is_down=True) is None
