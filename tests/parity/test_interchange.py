# SPDX-License-Identifier: GPL-2.0-or-later
"""Perl Postgrey and ours take turns on one dbdir, and each finds what the other has learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parity.databases import CLIENTS, TRIPLETS, dump_file, dump_recovered, verify
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer

# No later than tomorrow, or it counts as no time at all. The clean-up comes half an hour after the start.
FIRST_SECOND = 1_000_000_000
HOUR = 3600
DELAY = 300
TURNS = (PERL_POSTGREY, POSTGREY, PERL_POSTGREY, POSTGREY)
TRIPLETS_PER_TURN = 40
AUTO_WHITELIST = 2
OPTIONS = (f"--auto-whitelist-clients={AUTO_WHITELIST}",)

GREYLISTED = "DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"
REGULAR = "192.0.2.1"


class Correspondence:
    """What was asked of the servers, and the records that their answers promise.

    Each turn is one hour of mail: triplets of the turn before are retried and pass, older ones pass again, new ones are
    deferred. A regular client has one success a turn until it is auto-whitelisted.
    """

    def __init__(self) -> None:
        self.turn = 0
        self.triplets: dict[str, str] = {}
        self.clients: dict[str, str] = {}

    @property
    def now(self) -> int:
        return FIRST_SECOND + self.turn * HOUR

    def take_turn(self, client: PolicyClient) -> None:
        """Ask everything of this turn, and check every answer."""
        for turn in range(self.turn):
            for number in range(TRIPLETS_PER_TURN):
                self.check_retry(client, turn, number)
        for number in range(TRIPLETS_PER_TURN):
            self.check_new_triplet(client, number)
        self.check_regular_client(client)
        self.turn += 1

    def check_new_triplet(self, client: PolicyClient, number: int) -> None:
        """A new triplet is deferred, and again when it comes back early."""
        address, network, _ = stranger(self.turn, number)
        recipient = f"turn{self.turn}@example.org"
        for now in (self.now, self.now + DELAY - 1) if number % 2 else (self.now,):
            reply = client.ask(client_address=address, recipient=recipient, policy_test_time=now)
            assert reply == GREYLISTED
            self.triplets[f"{network}/alice@example.com/{recipient}"] = f"{self.now},{now}"

    def check_retry(self, client: PolicyClient, turn: int, number: int) -> None:
        """A triplet of an earlier turn passes: with the header the first time, which counts for its client."""
        address, network, client_key = stranger(turn, number)
        recipient = f"turn{turn}@example.org"
        reply = client.ask(client_address=address, recipient=recipient, policy_test_time=self.now)
        first_seen = FIRST_SECOND + turn * HOUR
        if turn == self.turn - 1:
            assert reply.startswith(f"PREPEND X-Greylist: delayed {self.now - first_seen} seconds by postgrey-")
            self.clients[client_key] = f"1,{self.now}"
        else:
            assert reply == "DUNNO"
        self.triplets[f"{network}/alice@example.com/{recipient}"] = f"{first_seen},{self.now}"

    def check_regular_client(self, client: PolicyClient) -> None:
        """The regular client writes to somebody new: greylisted at first, let pass once it is auto-whitelisted."""

        def ask(now: int) -> str:
            recipient = f"regular{self.turn}@example.org"
            return client.ask(client_address=REGULAR, sender="", recipient=recipient, policy_test_time=now)

        passed_at = self.now + DELAY
        if self.turn < AUTO_WHITELIST:
            assert ask(self.now) == GREYLISTED
            assert ask(passed_at).startswith("PREPEND ")
            self.triplets[f"192.0.2.0//regular{self.turn}@example.org"] = f"{self.now},{passed_at}"
        else:
            assert ask(passed_at) == "DUNNO"
        self.clients[REGULAR] = f"{self.turn + 1},{passed_at}"


def stranger(turn: int, number: int) -> tuple[str, str, str]:
    """Address, network as in the triplet's key, and key of the client record, of a client with one triplet."""
    if number % 4:
        return f"10.{turn}.{number}.9", f"10.{turn}.{number}.0", f"10.{turn}.{number}.9"
    network = f"2001:db8:{turn:x}:{number:x}"
    return f"{network}::beef", f"{network}:0:0:0:0", f"{network}:0:0:0:beef".upper()


def stop(server: PolicyServer) -> None:
    server.stop()


def kill(server: PolicyServer) -> None:
    server.kill()


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param((stop, stop, stop, stop), id="each stops"),
        pytest.param((kill, kill, kill, kill), id="each is killed"),
        pytest.param((kill, stop, kill, stop), id="Perl is killed"),
        pytest.param((stop, kill, stop, kill), id="ours is killed"),
    ],
)
def test_servers_take_turns_on_one_dbdir(ends: tuple[Callable[[PolicyServer], None], ...], tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    correspondence = Correspondence()
    for command, end in zip(TURNS, ends, strict=True):
        with PolicyServer(command, dbdir, OPTIONS) as server:
            with PolicyClient(server.port) as client:
                correspondence.take_turn(client)
            end(server)
        databases = dump_recovered(dbdir)
        assert databases[TRIPLETS].records == correspondence.triplets
        assert databases[CLIENTS].records == correspondence.clients
        verify(dbdir)


def test_stopped_server_leaves_complete_database_files(tmp_path: Path) -> None:
    """Other programs read the files without environment and logs, and administrators copy them."""
    correspondence = Correspondence()
    with PolicyServer(POSTGREY, tmp_path / "db", OPTIONS) as server, PolicyClient(server.port) as client:
        correspondence.take_turn(client)
    assert dump_file(tmp_path / "db" / TRIPLETS).records == correspondence.triplets
    assert dump_file(tmp_path / "db" / CLIENTS).records == correspondence.clients
