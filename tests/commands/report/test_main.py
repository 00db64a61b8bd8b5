# SPDX-License-Identifier: GPL-2.0-or-later
"""Which mail `postgreyreport` takes for lost, also where Perl's is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.commands.events import Event, Kind
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.report.history import History
from postgrey_py.commands.report.main import main
from postgrey_py.commands.report.verdicts import Verdicts
from postgrey_py.database.snapshot import TableSnapshot
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.keys import triplet_key
from postgrey_py.greylist.settings import Settings
from tests.commands.calling import call
from tests.commands.generated_log import Generator, World
from tests.commands.reporting import NOW, RETURNED, STAMP, perl_report, record, reject_line, report, server_line
from tests.database.dbdirs import fill


def test_generated_log_is_reported_rightly(world: tuple[World, Path]) -> None:
    generated, dbdir = world
    output = report(dbdir, "".join(generated.lines), "--tab", "--show_tries")
    rows = [line.split("\t") for line in output.splitlines()]
    assert sorted(rows) == sorted(
        [str(tries), row.client_address, row.client_name, row.sender, row.recipient]
        for row, tries in generated.lost.items()
    )


@pytest.mark.parametrize("iso", [False, True], ids=["traditional", "iso"])
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (Settings(), ()),
        (Settings(), ("--lookup-by-subnet",)),
        (Settings(lookup_by_host=True), ()),
        (Settings(lookup_by_host=True), ("--lookup-by-host",)),
        (Settings(privacy=True), ("--privacy",)),
        (Settings(lookup_by_host=True, privacy=True), ("--privacy", "--lookup-by-host")),
        (Settings(ipv4cidr=32, ipv6cidr=128), ("--ipv4cidr=32", "--ipv6cidr=128")),
    ],
    ids=str,
)
def test_log_with_everything_that_perl_gets_wrong_is_reported_rightly(
    settings: Settings, options: tuple[str, ...], iso: bool, tmp_path: Path
) -> None:
    generated = Generator(seed=3, wanted=3_000, quirks=True, iso=iso, settings=settings).generate()
    fill(tmp_path / "db", generated.records)
    output = report(tmp_path / "db", "".join(generated.lines), "--format=csv", *options)
    rows = list(csv.DictReader(io.StringIO(output)))
    columns = ("client_address", "client_name", "sender", "recipient", "tries")
    assert sorted(tuple(row[name] for name in columns) for row in rows) == sorted(
        (row.client_address, row.client_name, row.sender, row.recipient, str(tries))
        for row, tries in generated.lost.items()
    )


# Right where Perl's is wrong: mail that came back

CAME_BACK = [
    pytest.param({"name": "unknown"}, {}, Settings(), (), id="unknown client"),
    pytest.param({"name": "host-100-7.pool.example"}, {}, Settings(), (), id="address in the name"),
    pytest.param({}, {}, Settings(lookup_by_host=True), (), id="by host"),
    pytest.param({}, {}, Settings(lookup_by_host=True), ("--lookup-by-host",), id="by host, as told"),
    pytest.param({}, {}, Settings(ipv4cidr=16), ("--ipv4cidr=16",), id="/16"),
    pytest.param({}, {}, Settings(privacy=True), ("--privacy",), id="hashes"),
    pytest.param(
        {}, {}, Settings(privacy=True, lookup_by_host=True), ("--privacy", "--lookup-by-host"), id="hashes by host"
    ),
    pytest.param(
        {"sender": "prvs=1234567890=alice@example.com"}, {}, Settings(), (), id="BATV, the tag before the user"
    ),
    pytest.param({"sender": "prvs=alice=abcdef1234@example.com"}, {}, Settings(), (), id="BATV, the user before it"),
    pytest.param({"sender": "prvs=alice=ABCDEF1234@example.com"}, {}, Settings(), (), id="BATV with a tag in capitals"),
    pytest.param(
        {"sender": '"alice and bob"@example.com'}, {"sender": "alice and bob@example.com"}, Settings(), (), id="quotes"
    ),
    pytest.param(
        {"address": "198.51.100.9"}, {"address": "198.51.100.7"}, Settings(), (), id="neighbour of an unknown client"
    ),
]


@pytest.mark.parametrize(("logged", "known", "settings", "options"), CAME_BACK)
def test_mail_that_came_back_is_not_listed(
    logged: dict[str, str], known: dict[str, str], settings: Settings, options: tuple[str, ...], tmp_path: Path
) -> None:
    if "address" in logged:
        logged = {**logged, "name": "unknown"}
    keys = {name: value for name, value in logged.items() if name != "name"} | known
    fill(tmp_path / "db", record(**keys, settings=settings, lasted=RETURNED))
    log = reject_line(**logged)
    assert report(tmp_path / "db", log, *options) == ""
    assert perl_report(tmp_path / "db", log) != ""


@pytest.mark.parametrize(("logged", "known", "settings", "options"), CAME_BACK)
def test_the_same_mail_is_listed_when_it_did_not(
    logged: dict[str, str], known: dict[str, str], settings: Settings, options: tuple[str, ...], tmp_path: Path
) -> None:
    keys = {name: value for name, value in logged.items() if name != "name"} | known
    fill(tmp_path / "db", record(**keys, settings=settings, lasted=299))
    assert len(report(tmp_path / "db", reject_line(**logged), *options).splitlines()) == 1


def test_sender_that_can_be_rewritten_twice_is_rewritten_once(tmp_path: Path) -> None:
    sender = "prvs=a=b+c=d@example.com"
    fill(tmp_path / "db", record(sender=sender, lasted=RETURNED))
    assert report(tmp_path / "db", reject_line(sender=sender)) == ""


def test_keys_without_mask_of_old_versions_are_found(tmp_path: Path) -> None:
    fill(tmp_path / "db", {b"198.51.100.7/alice@example.com/bob@example.org": b"1000,1400"})
    assert report(tmp_path / "db", reject_line()) == perl_report(tmp_path / "db", reject_line()) == ""


@pytest.mark.parametrize(
    ("settings", "options", "complaint"),
    [
        (Settings(privacy=True), (), "the database was written with --privacy: say so here too"),
        (Settings(), ("--privacy",), "the database was written without --privacy: leave that out"),
    ],
)
def test_privacy_that_does_not_fit_the_database_is_told(
    settings: Settings, options: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    fill(tmp_path / "db", record(settings=settings))
    (tmp_path / "log").write_text(reject_line())
    outcome = call(main, f"--dbdir={tmp_path / 'db'}", *options, str(tmp_path / "log"))
    assert complaint in outcome.stderr
    assert outcome.status == 0


@pytest.mark.parametrize(
    "action",
    [
        "action=pass, reason=client AWL",
        "action=pass, reason=client whitelist",
        "action=pass, reason=recipient whitelist",
        "action=pass, reason=triplet found, delay=3600",
        "action=pass, reason=triplet found",
    ],
)
def test_mail_that_the_log_saw_coming_back_is_not_listed_whatever_the_database_says(action: str, empty: Path) -> None:
    log = reject_line() + server_line(action, address="198.51.100.200")
    assert report(empty, log) == ""
    assert perl_report(empty, log) != ""
    for other in ({"address": "203.0.113.7"}, {"sender": "carol@example.com"}, {"recipient": "carol@example.org"}):
        assert report(empty, reject_line() + server_line(action, **other)) != ""


# Right where Perl's is wrong: mail that it does not see


@pytest.mark.parametrize(
    ("logged", "line"),
    [
        ({"sender": ""}, "   198.51.100.7 mail.example.com <> bob@example.org\n"),
        ({"address": "2001:db8::7"}, "    2001:db8::7 mail.example.com alice@example.com bob@example.org\n"),
        ({"code": "451 4.7.1"}, "   198.51.100.7 mail.example.com alice@example.com bob@example.org\n"),
        ({"port": ":57134"}, "   198.51.100.7 mail.example.com alice@example.com bob@example.org\n"),
        ({"sender": "a/b@example.com"}, "   198.51.100.7 mail.example.com a/b@example.com bob@example.org\n"),
        (
            {"name": "mail.example.com", "sender": "prvs=1234567890=Al-17+x@Example.COM"},
            "   198.51.100.7 mail.example.com al-#@example.com bob@example.org\n",
        ),
    ],
)
def test_mail_is_listed_that_perl_does_not_see_or_misreads(logged: dict[str, str], line: str, empty: Path) -> None:
    assert report(empty, reject_line(**logged)) == line
    assert perl_report(empty, reject_line(**logged)) != line


def test_client_can_not_put_another_sender_and_recipient_into_its_helo(empty: Path) -> None:
    log = reject_line().replace("helo=<", "helo=<from=<ceo@bank.example> to=<you@example.org>")
    assert report(empty, log) == report(empty, reject_line())
    assert "ceo@bank.example" in perl_report(empty, log)


def test_iso_times_are_shown_whole(empty: Path) -> None:
    stamp = "2026-11-21T09:57:31.123456+01:00"
    log = reject_line(stamp=stamp)
    assert report(empty, log, "--show_time").startswith(f"{stamp}    198.51.100.7 mail.example.com ")
    assert perl_report(empty, log, "--show_time").startswith("2026-11-21T09:5    198.51.100.7 ")


def test_separators_stand_between_networks_also_of_unknown_clients(empty: Path) -> None:
    addresses = ("198.51.100.7", "198.51.100.8", "203.0.113.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    log = "".join(reject_line(address=address, name="unknown") for address in addresses)
    lines = report(empty, log, r"--separate_by_subnet===\n", r"--separate_by_ip=--\n").splitlines()
    expected = ["==", "--", "==", "==", "--", "=="]
    assert [line for line in lines if line[0] in "=-"] == expected
    assert [line.split()[0] for line in lines if line[0] not in "=-"] == list(addresses)


def test_separators_are_those_of_the_networks_that_the_server_has(empty: Path) -> None:
    log = reject_line(address="198.51.100.7") + reject_line(address="198.51.101.7")
    assert report(empty, log, "--separate_by_subnet===\\n", "--ipv4cidr=16").count("==\n") == 1
    assert report(empty, log, "--separate_by_subnet===\\n", "--lookup-by-host").count("==\n") == 2


def test_lookup_by_subnet_comes_before_what_the_server_has(tmp_path: Path) -> None:
    (tmp_path / "default").write_text("OPTIONS=--lookup-by-host\n")
    option = f"--server-options={tmp_path / 'default'}"
    # A record of the network is a return of each client in it, where the database is searched by network.
    fill(tmp_path / "db", record(lasted=400))
    log = reject_line() + reject_line(address="198.51.100.8")
    assert report(tmp_path / "db", log, option, "--lookup-by-subnet") == ""
    assert report(tmp_path / "db", log, option, "--lookup-by-host").count("\n") == 2


def test_mails_of_one_client_stand_in_the_order_in_which_they_began(empty: Path) -> None:
    senders = [f"{name}@example.com" for name in ("zoe", "alice", "mallory", "bob")]
    log = "".join(reject_line(sender=sender) for sender in [*senders, *reversed(senders)])
    output = report(empty, log, "--tab", "--show_tries")
    assert [line.split("\t")[3] for line in output.splitlines()] == senders
    assert all(line.startswith("2\t") for line in output.splitlines())


def test_the_log_of_a_server_for_exim_is_enough(empty: Path) -> None:
    log = (
        server_line("action=greylist, reason=new")
        + server_line("action=greylist, reason=early-retry (1s missing)")
        + server_line("action=greylist, reason=new", sender="carol@example.com")
        + server_line("action=pass, reason=triplet found, delay=301", sender="carol@example.com")
    )
    assert report(empty, log, "--show_tries") == (
        "2    198.51.100.7 mail.example.com alice@example.com bob@example.org\n"
    )


def test_deferral_that_postfix_turned_into_a_refusal_is_not_listed(empty: Path) -> None:
    log = server_line("action=greylist, reason=new", sender="carol@example.com") + reject_line()
    assert "carol" not in report(empty, log)


class Table(TableSnapshot):
    """Records in memory."""

    def __init__(self, records: list[tuple[bytes, bytes]]) -> None:
        self._records = records
        self._values = dict(records)

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._records)


@given(
    sender=st.text(st.characters(max_codepoint=255).filter(lambda c: c not in "\r\n"), max_size=30)
    | st.from_regex(r"(prvs=)?[a-zA-Z0-9=+_.-]{0,20}@[A-Za-z0-9.-]{1,10}", fullmatch=True),
    recipient=st.text(st.characters(max_codepoint=255).filter(lambda c: c not in "\r\n"), max_size=20),
    address=st.ip_addresses().map(str),
    lookup_by_host=st.booleans(),
    privacy=st.booleans(),
    ipv4cidr=st.integers(1, 32),
    ipv6cidr=st.integers(1, 128),
)
def test_keys_are_those_of_the_server(
    sender: str, recipient: str, address: str, lookup_by_host: bool, privacy: bool, ipv4cidr: int, ipv6cidr: int
) -> None:
    settings = Settings(lookup_by_host=lookup_by_host, privacy=privacy, ipv4cidr=ipv4cidr, ipv6cidr=ipv6cidr)
    parsed = parse_address(address)
    assert parsed is not None
    history = History(settings, LogClock(NOW))
    history.add(Event(Kind.REJECTED, STAMP, "mail.example.com", address, sender, recipient, None))
    (deferral,) = history.deferrals(is_of_postfix=True)
    for lasted, is_returned in ((299, False), (300, True)):
        # The second makes it faster to look up than to walk.
        for others in (0, 100):
            records = [(b"198.51.100.0/%d" % number, b"1,1") for number in range(others)]
            records.append((triplet_key(parsed, sender, recipient, settings), b"1000,%d" % (1000 + lasted)))
            verdicts = Verdicts(Table(records), settings, is_lookup_known=True)
            assert verdicts.came_back([deferral]) == ({0} if is_returned else set())
    assert deferral.recipient == recipient.encode("latin-1").lower().decode("latin-1")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.0"),
        ("198.51.100.7", "198.51.100.0/24"),
        ("198.51.100.7", "198.51.100.7/32"),
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8::7", "2001:db8:0:0:0:0:0:0/64"),
        ("2001:db8::7", "2001:db8:0:0:0:0:0:7/128"),
    ],
)
@pytest.mark.parametrize("others", [0, 100])
def test_keys_of_all_versions_are_found(address: str, network: str, others: int) -> None:
    """Debian's 1.36-5 wrote a network with its mask."""
    history = History(Settings(), LogClock(NOW))
    for number in range(3):
        recipient = f"bob{number}@example.org"
        history.add(Event(Kind.REJECTED, STAMP, "mail.example.com", address, "a/b@example.com", recipient, None))
    records = [(b"198.51.100.0/%d" % number, b"1,1") for number in range(others)]
    records.append((f"{network}/a/b@example.com/bob1@example.org".encode(), b"1000,1300"))
    verdicts = Verdicts(Table(records), Settings(), is_lookup_known=False)
    assert verdicts.came_back(history.deferrals(is_of_postfix=True)) == {1}
