# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 under load, again and again on one dbdir: what was answered is stored, and the databases are whole."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.parity.campaign import SEED
from tests.parity.databases import CLIENTS, TRIPLETS, Dump, dump_file, dump_recovered, verify
from tests.support.policy import PolicyClient, make_request
from tests.support.servers import POSTGREY, PolicyServer

ROUNDS = 10
CONNECTIONS = 8
SHORTEST_LOAD, LONGEST_LOAD = 0.3, 1.0
LONGEST_CLEAN_UP = 0.3
DELAY = 300

# What the clean-up finds to delete in each round: enough that it gives pages back too.
OLD_TRIPLETS = 5000
SENT_AHEAD = 500
OLD_AGE = 40 * 86400


@dataclass
class Ledger:
    """The records that answers have promised, by key, and the keys whose last change was not answered."""

    triplets: dict[str, str] = field(default_factory=dict)
    clients: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)

    def add(self, other: Ledger) -> None:
        self.triplets |= other.triplets
        self.clients |= other.clients
        self.unanswered |= other.unanswered

    def broken_promises(self, databases: dict[str, Dump]) -> list[str]:
        """What is missing from these databases, or has another value than was answered."""
        return [
            f"{key}: {promised} was answered, {stored.get(key)} is stored"
            for promises, stored in (
                (self.triplets, databases[TRIPLETS].records),
                (self.clients, databases[CLIENTS].records),
            )
            for key, promised in promises.items()
            if key not in stored or (stored[key] != promised and key not in self.unanswered)
        ]


class Sender:
    """A connection that sends each message twice, the second time after the delay.

    `network` (two numbers) is the sender's own, and so are all triplets and clients.
    """

    def __init__(self, port: int, network: str) -> None:
        self.client = PolicyClient(port)
        self.network = network
        self.now = int(time.time())
        self.ledger = Ledger()

    def send_until_killed(self) -> Ledger:
        """Send messages until the server is gone; return what it had promised by then."""
        with self.client, contextlib.suppress(ConnectionError):
            for message in itertools.count():
                self.send_twice(message)
        assert self.ledger.clients, "the server answered nothing"
        return self.ledger

    def send_twice(self, message: int) -> None:
        """Be deferred, and pass; what an answer promises goes into the ledger."""
        subnet = f"{self.network}.{message >> 8}"
        address, recipient = f"{subnet}.{message & 255}", f"user{message}@example.org"
        triplet = f"{subnet}.0/alice@example.com/{recipient}"
        retry = self.now + DELAY

        self.ledger.unanswered = {triplet}
        reply = self.client.ask(client_address=address, recipient=recipient, policy_test_time=self.now)
        assert reply.startswith("DEFER_IF_PERMIT "), reply
        self.ledger.triplets[triplet] = f"{self.now},{self.now}"

        self.ledger.unanswered = {triplet, address}
        reply = self.client.ask(client_address=address, recipient=recipient, policy_test_time=retry)
        assert reply.startswith("PREPEND "), reply
        self.ledger.triplets[triplet] = f"{self.now},{retry}"
        self.ledger.clients[address] = f"1,{retry}"


def send_old_mail(port: int) -> None:
    """Leave triplets that the clean-up will delete, in between those that it must not."""
    old = int(time.time()) - OLD_AGE
    addresses = [f"10.{n % 80}.{n // 80}.1" for n in range(OLD_TRIPLETS)]
    with PolicyClient(port) as client:
        for start in range(0, OLD_TRIPLETS, SENT_AHEAD):
            batch = addresses[start : start + SENT_AHEAD]
            client.send(b"".join(make_request(client_address=a, sender="", policy_test_time=old) for a in batch))
            for _ in batch:
                assert client.read_reply().startswith("DEFER_IF_PERMIT ")


def kill_under_load(dbdir: Path, round_number: int, rng: random.Random) -> Ledger:
    """Start the server, ask over all connections, kill it at a random moment, and return what it had promised.

    Shortly before that a clean-up begins, so that what it does is interrupted too.
    """
    with PolicyServer(POSTGREY, dbdir) as server, ThreadPoolExecutor(CONNECTIONS) as pool:
        send_old_mail(server.port)
        senders = [Sender(server.port, f"10.{round_number * CONNECTIONS + n}") for n in range(CONNECTIONS)]
        jobs = [pool.submit(sender.send_until_killed) for sender in senders]
        time.sleep(rng.uniform(SHORTEST_LOAD, LONGEST_LOAD))
        server.signal(signal.SIGUSR1)
        time.sleep(rng.uniform(0, LONGEST_CLEAN_UP))
        server.kill()
    ledger = Ledger()
    for job in jobs:
        ledger.add(job.result())
    return ledger


def test_broken_promises_are_found() -> None:
    header = ("type=btree",)
    databases = {TRIPLETS: Dump(header, {"a": "1,1", "b": "1,301"}), CLIENTS: Dump(header, {"x": "1,301"})}
    kept = Ledger({"a": "1,1", "b": "1,1"}, {"x": "1,301"}, {"b"})
    assert kept.broken_promises(databases) == []
    broken = Ledger({"a": "1,301", "missing": "1,1"}, {"y": "1,301"}, {"missing", "y"})
    assert [text.partition(":")[0] for text in broken.broken_promises(databases)] == ["a", "missing", "y"]


def test_answered_records_survive_kill_under_load(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    rng = random.Random(SEED)
    promised = Ledger()
    for round_number in range(ROUNDS):
        promised.add(kill_under_load(dbdir, round_number, rng))
        assert promised.broken_promises(dump_recovered(dbdir)) == []
        verify(dbdir)

    PolicyServer(POSTGREY, dbdir).start().stop()
    files = {name: dump_file(dbdir / name) for name in (TRIPLETS, CLIENTS)}
    assert promised.broken_promises(files) == []
