# SPDX-License-Identifier: GPL-2.0-or-later
"""Look-ups against a real name server: many at a time but not too many, and never for ever."""

from __future__ import annotations

import argparse
import asyncio
import resource
from pathlib import Path

import pytest

from postgrey_py.commands import dns
from postgrey_py.commands.dns import DnsQuestion, Nameserver, Resolver, parse_nameserver, reverse_name
from postgrey_py.errors import PostgreyError
from tests.commands.nameserver import BY_TCP, ONCE_REFUSED, SERVFAIL, SILENT, NameServer
from tests.support.servers import free_port

ADDRESSES = [f"192.0.2.{number}" for number in range(200)]


def resolver_of(*servers: NameServer, timeout: float = 20.0) -> Resolver:
    return Resolver([parse_nameserver(server.address) for server in servers], timeout)


def zone_of(names: dict[str, str]) -> dict[tuple[str, str], str]:
    return {(reverse_name(address), "PTR"): name for address, name in names.items()}


def test_addresses_have_their_names() -> None:
    zone = zone_of({"192.0.2.1": "mail.example.com.", "2001:db8::ab": "mail6.example.com."})
    with NameServer(zone) as server:
        names = resolver_of(server).names_of(["192.0.2.1", "192.0.2.2", "2001:db8::ab", "2001:DB8:0:0:0:0:0:1"])
    assert names == {"192.0.2.1": "mail.example.com", "2001:db8::ab": "mail6.example.com"}


def test_alias_of_a_classless_delegation_is_followed() -> None:
    zone = {
        ("5.2.0.192.in-addr.arpa.", "PTR"): "CNAME 5.0-127.2.0.192.in-addr.arpa.",
        ("5.0-127.2.0.192.in-addr.arpa.", "PTR"): "mail.example.com.",
    }
    with NameServer(zone) as server:
        assert resolver_of(server).names_of(["192.0.2.5"]) == {"192.0.2.5": "mail.example.com"}


@pytest.mark.parametrize(
    ("rdtype", "data", "answer"),
    [
        ("A", "192.0.2.1, 192.0.2.2", ("192.0.2.1", "192.0.2.2")),
        ("AAAA", "2001:db8::1", ("2001:db8::1",)),
        ("MX", "10 mx1.example.org., 20 mx2.example.org.", ("mx1.example.org", "mx2.example.org")),
        ("TXT", '"v=spf1 " "-all"', ("v=spf1 -all",)),
        ("A", "", ()),
        ("A", SERVFAIL, None),
    ],
)
def test_data_of_each_type_is_text(rdtype: str, data: str, answer: tuple[str, ...] | None) -> None:
    question = DnsQuestion("example.org", rdtype)
    with NameServer({("example.org.", rdtype): data}) as server:
        found = resolver_of(server).look_up([question])
    assert found.keys() == {question}
    assert sorted(found[question] or ()) == sorted(answer or ())
    assert (found[question] is None) == (answer is None)


@pytest.mark.parametrize(
    "name", ["a..example", f"{'x' * 64}.example", ".".join(["label"] * 60), "b\\ücher\ud800.example"]
)
def test_name_that_can_not_be_has_no_data(name: str) -> None:
    with NameServer() as server:
        assert resolver_of(server).look_up([DnsQuestion(name, "A")]) == {DnsQuestion(name, "A"): ()}
    assert server.asked.total() == 0


def test_many_are_looked_up_at_a_time_but_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "CONCURRENCY", 20)
    with NameServer(delay=0.05) as server:
        assert len(resolver_of(server).names_of(ADDRESSES)) == len(ADDRESSES)
    assert server.most_waiting == 20


def test_there_are_no_more_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (dns.SPARE_DESCRIPTORS + 7, resource.RLIM_INFINITY))
    with NameServer(delay=0.01) as server:
        assert len(resolver_of(server).names_of(ADDRESSES)) == len(ADDRESSES)
    assert server.most_waiting == 7


def test_nothing_is_asked_twice() -> None:
    with NameServer() as server:
        resolver = resolver_of(server)
        names = resolver.names_of([*ADDRESSES, *ADDRESSES])
        assert resolver.names_of(reversed(ADDRESSES)) == names
    assert set(server.asked.values()) == {1}


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    with NameServer() as server:
        resolver_of(server).names_of(ADDRESSES, lambda done, total: told.append((done, total)))
    assert told == [(done, len(ADDRESSES)) for done in range(1, len(ADDRESSES) + 1)]


def test_a_look_up_without_answer_ends_and_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "TRY_SECONDS", 0.5)
    silent, *others = ADDRESSES[:20]
    zone = zone_of(dict.fromkeys(others, "mail.example.com."))
    zone[(reverse_name(silent), "PTR")] = SILENT
    with NameServer(zone) as server:
        resolver = resolver_of(server, timeout=1.5)
        assert resolver.names_of([silent, *others]).keys() == set(others)
        assert resolver.look_up([DnsQuestion(reverse_name(silent), "PTR")]).popitem()[1] is None
    assert not resolver.is_given_up
    assert server.asked[(reverse_name(silent), "PTR")] > 1, "a packet may get lost"


def test_when_nobody_answers_the_rest_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "CONCURRENCY", 10)
    with NameServer(dict.fromkeys(zone_of(dict.fromkeys(ADDRESSES, "")), SILENT)) as server:
        resolver = resolver_of(server, timeout=0.2)
        assert resolver.names_of(ADDRESSES) == {}
    assert resolver.is_given_up
    assert len(server.asked) == 10


def test_when_nobody_answers_any_more_the_rest_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many were answered at the beginning: else hundreds would wait in turn, each for all of its time."""
    monkeypatch.setattr(dns, "CONCURRENCY", 5)
    zone = zone_of(dict.fromkeys(ADDRESSES, SILENT) | dict.fromkeys(ADDRESSES[:7], "mail.example.com."))
    with NameServer(zone) as server:
        resolver = resolver_of(server, timeout=0.4)
        assert resolver.names_of(ADDRESSES).keys() == set(ADDRESSES[:7])
    assert resolver.is_given_up
    assert len(server.asked) < 7 + 3 * 5


def test_one_that_nobody_answers_at_the_end_is_not_for_giving_up() -> None:
    with NameServer(zone_of({"192.0.2.1": "mail.example.com.", "192.0.2.2": SILENT})) as server:
        resolver = resolver_of(server, timeout=0.3)
        assert resolver.names_of(["192.0.2.1"]).keys() == {"192.0.2.1"}
        assert resolver.names_of(["192.0.2.2"]) == {}
    assert not resolver.is_given_up


def test_when_nobody_listens_the_rest_is_left_alone() -> None:
    resolver = Resolver([Nameserver("127.0.0.1", free_port())], timeout=0.2)
    assert resolver.names_of(ADDRESSES) == {}
    assert resolver.is_given_up


def test_library_that_waits_for_good_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("dns.asyncquery.udp_with_fallback", wait)
    resolver = Resolver([Nameserver("127.0.0.1", free_port())], timeout=0.2)
    assert resolver.names_of(ADDRESSES) == {}
    assert resolver.is_given_up


def test_busy_server_is_asked_again() -> None:
    with NameServer(zone_of({"192.0.2.1": f"{ONCE_REFUSED}mail.example.com."})) as server:
        assert resolver_of(server).names_of(["192.0.2.1"]) == {"192.0.2.1": "mail.example.com"}


def test_failure_of_the_only_server_is_final() -> None:
    """It has tried for long enough itself."""
    with NameServer(zone_of({"192.0.2.1": SERVFAIL})) as server:
        resolver = resolver_of(server)
        assert resolver.names_of(["192.0.2.1"]) == {}
    assert set(server.asked.values()) == {1}
    assert not resolver.is_given_up


@pytest.mark.parametrize("trouble", [SERVFAIL, SILENT])
def test_second_server_is_asked_when_the_first_can_not_help(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "TRY_SECONDS", 0.2)
    with (
        NameServer(zone_of({"192.0.2.1": trouble})) as first,
        NameServer(zone_of({"192.0.2.1": "mail.example.com."})) as second,
    ):
        assert resolver_of(first, second).names_of(["192.0.2.1"]) == {"192.0.2.1": "mail.example.com"}


def test_long_answer_is_fetched_by_tcp() -> None:
    with NameServer(zone_of({"192.0.2.1": f"{BY_TCP}mail.example.com."})) as server:
        assert resolver_of(server).names_of(["192.0.2.1"]) == {"192.0.2.1": "mail.example.com"}


def test_servers_are_those_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resolv.conf").write_text("search example.org\nnameserver 127.0.0.1\n")
    monkeypatch.setattr(dns, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    with NameServer() as server:
        monkeypatch.setattr(dns, "DNS_PORT", server.port)
        assert Resolver().names_of(["192.0.2.9"]) == {"192.0.2.9": "host-9.example.com"}


@pytest.mark.parametrize("text", [None, "search example.org\n"])
def test_without_any_server_it_says_what_to_do(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "resolv.conf").write_text(text)
    monkeypatch.setattr(dns, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    with pytest.raises(PostgreyError, match=r"resolv\.conf has none; name one with --nameserver"):
        Resolver().names_of(["192.0.2.1"])
    assert Resolver().names_of([]) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_name_server_is_an_address_and_perhaps_a_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_nameserver(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "dns.example.com", "192.0.2", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:domain", "[::1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not the address of a name server"):
        parse_nameserver(text)
