# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey-search`: what it finds in which keys, and how it prints that."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest

from postgrey_py.commands.dns import reverse_name
from postgrey_py.commands.search import COLUMNS, Key, main, split_key
from tests.commands.calling import call
from tests.commands.databases import make_database
from tests.commands.nameserver import NameServer
from tests.commands.running import run
from tests.support.policy import PolicyClient
from tests.support.servers import POSTGREY, ROOT, PolicyServer

SEARCH = (sys.executable, str(ROOT / "scripts" / "postgrey-search"))

# 2027-01-15, in winter, at noon in Berlin.
NOON = 1_800_010_800

HASH = "2346ad27d7568ba9896f1b7da6b5991251debdf2"

# The senders name the records.
TRIPLETS = {
    "192.0.2.0/new@example.com/bob@example.org": f"{NOON},{NOON}",
    "192.0.2.0/early@example.com/bob@example.org": f"{NOON - 400},{NOON - 101}",
    "192.0.2.0/passed@example.com/bob@example.org": f"{NOON - 400},{NOON - 100}",
    "198.51.100.0//carol@example.org": f"{NOON},{NOON}",
    "198.51.100.7/32/host@example.com/bob@example.net": f"{NOON},{NOON + 60}",
    "2001:db8:0:1:0:0:0:0/six@example.com/bob@example.org": f"{NOON},{NOON}",
    "2001:db8:0:1:0:0:0:ab/128/sixhost@example.com/bob@example.net": f"{NOON},{NOON}",
}


@pytest.fixture(scope="module")
def dbdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("tool") / "db", TRIPLETS, {})


def search(dbdir: Path, *options: str) -> str:
    """What it prints, which it must do without complaint."""
    outcome = call(main, f"--dbdir={dbdir}", *options)
    assert (outcome.stderr, outcome.status) == ("", 0)
    return outcome.stdout


def senders(output: str) -> list[str]:
    """The names of the records in a table."""
    lines = output.splitlines()[2:]
    return [line[61:].partition("@")[0].replace("<>", "bounce") for line in lines]


def test_pending_mail_is_found_by_its_recipient(dbdir: Path) -> None:
    assert search(dbdir, "--no-resolve", "bob@example.org") == (
        "Date                Host                                     Sender\n"
        "------------------- ---------------------------------------- -----------------------------\n"
        "2027-01-15 11:53:20 192.0.2.0                                early@example.com\n"
        "2027-01-15 12:00:00 192.0.2.0                                new@example.com\n"
        "2027-01-15 12:00:00 2001:db8:0:1::                           six@example.com\n"
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["bob"], "early new host six sixhost"),
        (["BOB@"], "early new host six sixhost"),
        (["^bob@example\\.net$"], "host sixhost"),
        (["--recipient=example.net"], "host sixhost"),
        (["carol"], "bounce"),
        (["dave"], ""),
        (["."], "early new bounce host six sixhost"),
        (["--sender=^(new|six)@"], "new six"),
        (["--sender", "^$"], "bounce"),
        (["--sender=host", "bob@"], "host sixhost"),
        (["--sender=host", "carol"], ""),
        (["bob", "--state=pending"], "early new host six sixhost"),
        (["bob", "--state=passed"], "passed"),
        (["bob", "--state=all"], "early new passed host six sixhost"),
        (["bob", "--state=passed", "--delay=60"], "early passed host"),
        (["bob", "--delay=301"], "early new passed host six sixhost"),
        # A client of which the network is known, and one that is known itself.
        (["--client=192.0.2.99"], "early new"),
        (["--client=198.51.100.7"], "bounce host"),
        (["--client=198.51.100.8"], "bounce"),
        (["--client=2001:DB8:0:1::ab"], "six sixhost"),
        (["--client=2001:db8:0:1:8000::"], "six"),
        (["--client=192.0.2.0/23"], "early new"),
        (["--client=198.51.0.0/16"], "bounce host"),
        (["--client=198.51.100.0/28"], "bounce host"),
        (["--client=198.51.100.6/32"], "bounce"),
        # What a network of which the key is known may have in it.
        (["--client=198.51.100.200/29"], "bounce"),
        (["--client=2001:db8:0:1:8000::/68"], "six"),
        # Where the server has networks of another size.
        (["--client=198.51.99.7"], ""),
        (["--client=198.51.99.7", "--ipv4cidr=22"], ""),
        (["--client=192.0.3.7", "--ipv4cidr=23"], "early new"),
        (["--client=192.0.2.99", "--ipv4cidr=32"], ""),
        (["--client=192.0.2.99", "--ipv4cidr=0"], "early new"),
        (["--client=2001:db8:0:2::1", "--ipv6cidr=48"], "six"),
        (["--client=0.0.0.0/0"], "early new bounce host"),
        (["--client=2001:db8::/32"], "six sixhost"),
        (["--client=^192"], "early new"),
        (["--client=51"], "bounce host"),
        (["--client=192.0.2.1", "--sender=new", "bob"], "new"),
    ],
)
def test_all_conditions_must_hold(options: list[str], found: str, dbdir: Path) -> None:
    assert senders(search(dbdir, "--no-resolve", *options)) == found.split()


def test_names_stand_for_addresses_where_there_are_any(dbdir: Path) -> None:
    zone = {
        (reverse_name("198.51.100.7"), "PTR"): "mail.example.com.",
        (reverse_name("2001:db8:0:1::ab"), "PTR"): "mail6.example.com.",
    }
    with NameServer(zone) as server:
        output = search(dbdir, f"--nameserver={server.address}", "bob@example.net")
    assert [line.split()[2] for line in output.splitlines()[2:]] == ["mail.example.com", "mail6.example.com"]
    assert server.asked.keys() == zone.keys(), "only what is shown is looked up"


def test_client_is_found_by_its_name(dbdir: Path) -> None:
    zone = {(reverse_name("198.51.100.7"), "PTR"): "mail.example.com."}
    with NameServer(zone) as server:
        assert senders(search(dbdir, f"--nameserver={server.address}", "--client=^MAIL.example")) == ["host"]
    assert senders(search(dbdir, "--no-resolve", "--client=^mail.example")) == []


def test_long_format_has_recipient_and_state(dbdir: Path) -> None:
    output = search(dbdir, "--no-resolve", "--format=long", "--state=all", "--sender=passed|host@", "bob")
    assert [re.sub(" +", " ", line) for line in output.splitlines()[2:]] == [
        "2027-01-15 11:53:20 2027-01-15 11:58:20 passed 192.0.2.0 passed@example.com bob@example.org",
        "2027-01-15 12:00:00 2027-01-15 12:01:00 pending 198.51.100.7 host@example.com bob@example.net",
        "2027-01-15 12:00:00 2027-01-15 12:00:00 pending 2001:db8:0:1::ab sixhost@example.com bob@example.net",
    ]


EXPECTED = {
    "first_seen": "2027-01-15T12:00:00+01:00",
    "last_seen": "2027-01-15T12:01:00+01:00",
    "client": "198.51.100.7",
    "name": "mail.example.com",
    "sender": "host@example.com",
    "recipient": "bob@example.net",
    "state": "pending",
}


def test_machines_are_told_everything(dbdir: Path) -> None:
    assert tuple(EXPECTED) == COLUMNS
    with NameServer({(reverse_name("198.51.100.7"), "PTR"): "mail.example.com."}) as server:
        options = (f"--nameserver={server.address}", "--sender=^host")
        assert json.loads(search(dbdir, "--format=json", *options)) == [EXPECTED]
        assert list(csv.DictReader(io.StringIO(search(dbdir, "--format=csv", *options)))) == [EXPECTED]
    (unnamed,) = json.loads(search(dbdir, "--format=json", "--no-resolve", "--sender=^host"))
    assert unnamed == {**EXPECTED, "name": None}


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("192.0.2.0/a@b.example/c@d.example", ("192.0.2.0", False, "a@b.example", "c@d.example")),
        ("192.0.2.1/32/a@b.example/c@d.example", ("192.0.2.1", True, "a@b.example", "c@d.example")),
        ("2001:db8:0:0:0:0:0:1/128/a@b/c@d", ("2001:db8:0:0:0:0:0:1", True, "a@b", "c@d")),
        ("192.0.2.0//c@d.example", ("192.0.2.0", False, "", "c@d.example")),
        ("192.0.2.1/32//c@d.example", ("192.0.2.1", True, "", "c@d.example")),
        ("192.0.2.0//c/x@d.example", ("192.0.2.0", False, "", "c/x@d.example")),
        ("192.0.2.0/a/x@b.example/c/x@d.example", ("192.0.2.0", False, "a/x@b.example", "c/x@d.example")),
        ("192.0.2.0/32/c@d.example", ("192.0.2.0", False, "32", "c@d.example")),
        ("192.0.2.0/local/c", ("192.0.2.0", False, "local", "c")),
        ("192.0.2.0/local/c@d.example", ("192.0.2.0", False, "local", "c@d.example")),
        ("192.0.2.0/a@b.example/", ("192.0.2.0", False, "a@b.example", "")),
        ("192.0.2.0/\x1b[2J@b/jos\xe9@d", ("192.0.2.0", False, "\\x1b[2J@b", "jos\\xe9@d")),
        ("192.0.2.0/jos\xc3\xa9@b/c@d", ("192.0.2.0", False, "josé@b", "c@d")),
    ],
)
def test_keys_are_taken_apart(key: str, parts: tuple[str, bool, str, str]) -> None:
    network, *rest = parts
    assert split_key(key.encode("latin-1")) == Key(network.encode(), *rest)


@pytest.mark.parametrize("key", [HASH, "", "192.0.2.0", "192.0.2.0/alice@example.com"])
def test_what_is_no_triplet_is_none(key: str) -> None:
    assert split_key(key.encode()) is None


def test_keys_of_the_server_are_found(tmp_path: Path) -> None:
    """By subnet, and by host, and whatever senders write."""
    sender = "prvs=1234567890=a/b+list@slash.example"
    for options in ([], ["--lookup-by-host"]):
        with PolicyServer(POSTGREY, tmp_path / "db", options) as server, PolicyClient(server.port) as client:
            for address in ("192.0.2.7", "2001:db8::ab"):
                client.ask(client_address=address, sender=sender, recipient="Bob@Example.ORG")
            found = json.loads(search(server.dbdir, "--no-resolve", "--format=json", "^bob@example.org$"))
            addresses = {"192.0.2.0", "2001:db8::"} if not options else {"192.0.2.7", "2001:db8::ab"}
            assert {row["client"] for row in found} >= addresses
            assert {row["sender"] for row in found} == {"a/b@slash.example"}


def test_hashes_are_counted(tmp_path: Path) -> None:
    dbdir = make_database(tmp_path / "db", {**TRIPLETS, HASH: f"{NOON},{NOON}"}, {})
    outcome = run(SEARCH, f"--dbdir={dbdir}", "--no-resolve", "carol")
    assert senders(outcome.stdout) == ["bounce"]
    assert outcome.stderr == "postgrey-search: hashes (--privacy), in which nothing can be found: 1 records\n"
    assert outcome.status == 0


def test_strange_records_do_no_harm(tmp_path: Path) -> None:
    records = {
        "1.2/a@b/bob@example.org": "1",
        "\x1b[2J/a@b/bob@example.org": f"x,{10**17}",
        "192.0.2.0/a\n@b/bob@example.org": f"{10**17},{10**17},7",
    }
    dbdir = make_database(tmp_path / "db", records, {})
    assert search(dbdir, "bob", "--no-resolve", "--state=all").splitlines()[2:] == [
        "1970-01-01 01:00:00 \\x1b[2J                                  a@b",
        "1970-01-01 01:00:01 1.2                                      a@b",
        "100000000000000000  192.0.2.0                                a\\x0a@b",
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "what is to be found? Name a pattern of the recipient, --client or --sender"),
        (["bob", "carol"], "carol: one pattern of the recipient, please"),
        (["bob", "--recipient=carol"], "carol: one pattern of the recipient, please"),
        (["bob("], "'bob(' is not a regular expression: "),
        (["--sender=["], "--sender: '[' is not a regular expression: "),
        (["--client=192.0.2.0/33"], "--client: '33' is not a whole number from 0 to 32"),
        (["--client=192.0.2.0/"], "--client: '' is not a whole number from 0 to 32"),
        (["--client=2001:db8::/129"], "'129' is not a whole number from 0 to 128"),
        (["--client=("], "--client: '(' is not a regular expression: "),
        (["--client=192.0.2.1", "--ipv4cidr=33"], "--ipv4cidr: '33' is not a whole number from 0 to 32"),
        (["--state=new", "bob"], "--state: invalid choice: 'new'"),
        (["--delay=5m", "bob"], "--delay: '5m' is not a whole number from 0 to "),
    ],
)
def test_wrong_command_line_is_refused(options: list[str], complaint: str, dbdir: Path) -> None:
    outcome = call(main, f"--dbdir={dbdir}", *options)
    assert (outcome.stdout, outcome.status) == ("", 2)
    assert re.fullmatch(r"postgrey-search: [^\n]*; see postgrey-search --help\n", outcome.stderr)
    assert complaint in outcome.stderr


def test_options_may_come_behind_the_pattern(dbdir: Path) -> None:
    assert search(dbdir, "carol", "--no-resolve") == search(dbdir, "--no-resolve", "carol")


def test_pattern_may_begin_with_a_dash_behind_two_dashes(dbdir: Path) -> None:
    assert run(SEARCH, f"--dbdir={dbdir}", "--no-resolve", "--", "-nobody").status == 0
    assert run(SEARCH, f"--dbdir={dbdir}", "--no-resolve", "-nobody").status == 2
