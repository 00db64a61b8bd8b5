# SPDX-License-Identifier: GPL-2.0-or-later
"""A database in which domains were looked up, in the hands of Perl Postgrey and back."""

from __future__ import annotations

import time
from pathlib import Path

from tests.parity.databases import CLIENTS, TRIPLETS, dump_recovered
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer

OPTIONS = ("--lookup-by-domain", "--auto-whitelist-clients=1")


def machine(number: int, recipient: str = "bob@example.org") -> dict[str, str]:
    return {
        "client_address": f"198.51.{number}.9",
        "client_name": f"mx{number}.example.com",
        "recipient": recipient,
    }


def test_nobody_waits_longer_after_a_swap_and_back(tmp_path: Path) -> None:
    now = int(time.time())
    with PolicyServer(POSTGREY, tmp_path / "db", OPTIONS) as server, PolicyClient(server.port) as client:
        client.ask(policy_test_time=now - 1000, **machine(1))
        assert client.ask(policy_test_time=now - 600, **machine(2)).startswith("PREPEND")
        client.ask(policy_test_time=now - 400, **machine(3, "carol@example.org"))
    stored = dump_recovered(tmp_path / "db")
    assert "domain:example.com" in stored[CLIENTS].records
    assert "domain:example.com/alice@example.com/bob@example.org" in stored[TRIPLETS].records
    perl = PolicyServer(PERL_POSTGREY, tmp_path / "db", ["--auto-whitelist-clients=1"])
    with perl, PolicyClient(perl.port) as client:
        # The machine that passed is trusted; one that passed by the domain's trust alone is known since then; another
        # one is new, as 1.37 has it.
        assert client.ask(**machine(2, "dave@example.org")) == "DUNNO"
        assert client.ask(**machine(3, "carol@example.org")).startswith("PREPEND X-Greylist: delayed 40")
        assert client.ask(**machine(9)).startswith("DEFER_IF_PERMIT")
    with PolicyServer(POSTGREY, tmp_path / "db", OPTIONS) as server, PolicyClient(server.port) as client:
        assert client.ask(**machine(10)) == "DUNNO"
        assert "domain AWL (example.com)" in server.wait_for_log("client_address=198.51.10.9")
