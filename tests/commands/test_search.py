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

from postgrey_py.commands import user_patterns
from postgrey_py.commands.dns import reverse_name
from postgrey_py.commands.search import COLUMNS, main
from tests.commands.calling import call
from tests.commands.databases import make_database
from tests.commands.nameserver import NameServer
from tests.commands.running import run
from tests.support.policy import PolicyClient
from tests.support.servers import POSTGREY, ROOT, PolicyServer

SEARCH = (sys.executable, str(ROOT / "scripts" / "postgrey-search"), "--server-options=none")

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
        "2027-01-15 11:53:20 192.0.2.0/24                             early@example.com\n"
        "2027-01-15 12:00:00 192.0.2.0/24                             new@example.com\n"
        "2027-01-15 12:00:00 2001:db8:0:1::/64                        six@example.com\n"
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
        (["bob", "--state=all"], "early passed new host six sixhost"),
        (["bob", "--state=passed", "--delay=60"], "early passed host"),
        (["bob", "--delay=301"], "early passed new host six sixhost"),
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
        "2027-01-15 11:53:20 2027-01-15 11:58:20 passed 192.0.2.0/24 passed@example.com bob@example.org",
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
    "reason": "",
}


def test_machines_are_told_everything(dbdir: Path) -> None:
    assert tuple(EXPECTED) == COLUMNS
    with NameServer({(reverse_name("198.51.100.7"), "PTR"): "mail.example.com."}) as server:
        options = (f"--nameserver={server.address}", "--sender=^host")
        assert json.loads(search(dbdir, "--format=json", *options)) == [{**EXPECTED, "reason": None}]
        assert list(csv.DictReader(io.StringIO(search(dbdir, "--format=csv", *options)))) == [EXPECTED]
    (unnamed,) = json.loads(search(dbdir, "--format=json", "--no-resolve", "--sender=^host"))
    assert unnamed == {**EXPECTED, "name": None, "reason": None}


def test_keys_of_the_server_are_found(tmp_path: Path) -> None:
    """By subnet, and by host, and whatever senders write."""
    sender = "prvs=1234567890=a/b+list@slash.example"
    for options in ([], ["--lookup-by-host"]):
        with PolicyServer(POSTGREY, tmp_path / "db", options) as server, PolicyClient(server.port) as client:
            for address in ("192.0.2.7", "2001:db8::ab"):
                client.ask(client_address=address, sender=sender, recipient="Bob@Example.ORG")
            found = json.loads(search(server.dbdir, "--no-resolve", "--format=json", "^bob@example.org$"))
            addresses = {"192.0.2.0/24", "2001:db8::/64"} if not options else {"192.0.2.7", "2001:db8::ab"}
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
        "100000000000000000  192.0.2.0/24                             a\\x0a@b",
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "what is to be found? Name a RECIPIENT-PATTERN, --client or --sender"),
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


# What the mail of the first two has passed by; the third is of the same network as the first, and came later.
STANDING = {
    "198.51.100.0/trusted@example.com/bob@example.org": f"{NOON},{NOON}",
    "198.51.100.9/32/single@example.com/bob@example.org": f"{NOON},{NOON}",
    "198.51.100.0/neighbour@example.com/bob@example.org": f"{NOON + 50},{NOON + 50}",
    "198.51.100.8/32/otherhost@example.com/bob@example.org": f"{NOON},{NOON}",
    "203.0.113.0/listed@example.com/bob@example.org": f"{NOON},{NOON}",
    "203.0.113.7/32/listedhost@example.com/bob@example.org": f"{NOON},{NOON}",
    "192.0.2.0/listedone@example.com/bob@example.org": f"{NOON},{NOON}",
    "192.0.3.0/recipient@example.com/postmaster@example.org": f"{NOON},{NOON}",
    "192.0.3.0/name@example.com/bob@example.org": f"{NOON},{NOON}",
    "2001:db8:0:1:0:0:0:0/sixtrusted@example.com/bob@example.org": f"{NOON},{NOON}",
    "2001:db8:0:2:0:0:0:0/sixlisted@example.com/bob@example.org": f"{NOON},{NOON}",
    "domain:example.com/domain@example.com/bob@example.org": f"{NOON},{NOON}",
    "192.0.3.0/done@example.com/bob@example.org": f"{NOON},{NOON + 300}",
}
TRUSTED_CLIENTS = {
    "198.51.100.7": f"5,{NOON + 10}",
    "198.51.100.9": f"7,{NOON - 10}",
    "198.51.100.8": f"4,{NOON + 10}",
    "2001:DB8:0:1:0:0:0:AB": f"9,{NOON + 10}",
}
CLIENT_LIST = "# ours\n\n203.0.113.0/24 # a network\n192.0.2.77\n/^mail\\d/\n2001:db8:0:2::/64\nexample.net\n"
RECIPIENT_LIST = "abuse@\npostmaster@\n"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("standing")
    (path / "clients").write_text(CLIENT_LIST)
    (path / "recipients").write_text(RECIPIENT_LIST)
    return make_database(path / "db", STANDING, TRUSTED_CLIENTS)


def states(dbdir: Path, *options: str) -> dict[str, tuple[str, str | None]]:
    """State and reason of each record."""
    lists = (
        f"--whitelist-clients={dbdir.with_name('clients')}",
        f"--whitelist-recipients={dbdir.with_name('recipients')}",
    )
    found = json.loads(search(dbdir, "--format=json", *lists, *options, "."))
    return {row["sender"].partition("@")[0]: (row["state"], row["reason"]) for row in found}


def test_mail_that_passes_by_now_is_not_pending(standing: Path) -> None:
    clients, recipients = standing.with_name("clients"), standing.with_name("recipients")
    expected = {
        "trusted": ("trusted", "198.51.100.7, count 5"),
        "single": ("trusted", "198.51.100.9, count 7"),
        "neighbour": ("pending", None),
        "otherhost": ("pending", None),
        "listed": ("whitelisted", f"{clients} line 3"),
        "listedhost": ("whitelisted", f"{clients} line 3"),
        "listedone": ("whitelisted", f"{clients} line 4"),
        "recipient": ("whitelisted", f"{recipients} line 2"),
        "name": ("pending", None),
        "sixtrusted": ("trusted", "2001:db8:0:1:0:0:0:ab, count 9"),
        "sixlisted": ("whitelisted", f"{clients} line 6"),
        "domain": ("pending", None),
        "done": ("passed", None),
    }
    assert states(standing, "--no-resolve", "--state=all") == expected
    for state in ("pending", "trusted", "whitelisted", "passed"):
        found = {name: standing for name, standing in expected.items() if standing[0] == state}
        assert states(standing, "--no-resolve", f"--state={state}") == found
    assert states(standing, "--no-resolve").keys() == {"neighbour", "otherhost", "name", "domain"}


def test_how_many_passes_make_a_client_trusted_is_an_option(standing: Path) -> None:
    trusted = ("--no-resolve", "--state=trusted")
    assert states(standing, *trusted, "--auto-whitelist-clients=4").keys() == {
        "trusted",
        "single",
        "otherhost",
        "sixtrusted",
    }
    assert states(standing, *trusted, "--auto-whitelist-clients=8").keys() == {"sixtrusted"}
    assert states(standing, *trusted, "--auto-whitelist-clients=0") == {}


def test_a_list_may_have_the_name_of_a_client(standing: Path) -> None:
    zone = {(reverse_name("198.51.100.8"), "PTR"): "mail7.example.org."}
    with NameServer(zone) as server:
        options = (f"--nameserver={server.address}", "--state=all")
        found = states(standing, *options)
        assert found["otherhost"] == ("whitelisted", f"{standing.with_name('clients')} line 5")
        assert "otherhost" not in states(standing, options[0])
    assert server.asked.keys() == {
        (reverse_name(address), "PTR") for address in ("198.51.100.8", "198.51.100.9", "203.0.113.7")
    }, "of networks there is nothing to look up"


def test_a_list_that_was_named_and_is_missing_is_told(dbdir: Path, tmp_path: Path) -> None:
    outcome = call(main, f"--dbdir={dbdir}", "--no-resolve", f"--whitelist-clients={tmp_path / 'list'}", "carol")
    assert outcome.stderr == f"postgrey-search: can't open {tmp_path / 'list'}: No such file or directory\n"
    assert senders(outcome.stdout) == ["bounce"]
    assert outcome.status == 0


def test_mail_that_passed_by_the_auto_whitelist_is_not_pending(tmp_path: Path) -> None:
    """A client that was deferred twice, and trusted before it tried the second mail again."""
    now = 1_700_000_000
    with (
        PolicyServer(POSTGREY, tmp_path / "db", ["--auto-whitelist-clients=1"]) as server,
        PolicyClient(server.port) as client,
    ):
        for seconds, sender in ((0, "first"), (60, "second"), (400, "first"), (500, "second")):
            answer = client.ask(
                sender=f"{sender}@example.com", client_address="192.0.2.7", policy_test_time=now + seconds
            )
        assert "DUNNO" in answer
        options = ("--no-resolve", "--auto-whitelist-clients=1", "--format=json", "--state=all", ".")
        found = {row["sender"]: row["state"] for row in json.loads(search(server.dbdir, *options))}
    assert found == {"first@example.com": "passed", "second@example.com": "trusted"}


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ([], "passed a24 host hostbare bounce"),
        (["--sort=first"], "passed a24 host hostbare bounce"),
        (["--sort=last"], "a24 host passed hostbare bounce"),
        (["--sort=key"], "host hostbare bounce a24 passed"),
    ],
)
def test_they_are_in_order_of_time(options: list[str], order: str, tmp_path: Path) -> None:
    records = {
        "192.0.2.1/32/host@example.com/bob@example.org": f"{NOON + 2},{NOON + 3}",
        "192.0.2.7/hostbare@example.com/bob@example.org": f"{NOON + 3},{NOON + 500}",
        "198.51.100.0/24//bob@example.org": f"{NOON + 4},{NOON + 600}",
        "198.51.100.0/24/a24@example.com/bob@example.org": f"{NOON + 1},{NOON + 2}",
        "2001:db8:0:0:0:0:0:0/64/passed@example.com/bob@example.org": f"{NOON},{NOON + 400}",
    }
    dbdir = make_database(tmp_path / "db", records, {})
    found = search(dbdir, "--no-resolve", "--state=all", *options, "bob")
    assert senders(found) == order.split()
    hosts = {line[61:].partition("@")[0]: line.split()[2] for line in found.splitlines()[2:]}
    assert hosts == {
        "host": "192.0.2.1",
        "hostbare": "192.0.2.7",
        "<>": "198.51.100.0/24",
        "a24": "198.51.100.0/24",
        "passed": "2001:db8::/64",
    }


def test_debians_keys_are_found_by_their_client(tmp_path: Path) -> None:
    records = {
        "198.51.100.0/24/a@example.com/bob@example.org": f"{NOON},{NOON}",
        "198.51.100.7/32/b@example.com/bob@example.org": f"{NOON},{NOON}",
        "2001:db8:0:0:0:0:0:0/64/c@example.com/bob@example.org": f"{NOON},{NOON}",
    }
    dbdir = make_database(tmp_path / "db", records, {"198.51.100.7/32": f"6,{NOON}"})
    assert senders(search(dbdir, "--no-resolve", "--state=all", "--client=198.51.100.7")) == ["a", "b"]
    assert senders(search(dbdir, "--no-resolve", "--state=all", "--client=198.51.100.8")) == ["a"]
    assert senders(search(dbdir, "--no-resolve", "--state=trusted", "bob")) == ["a", "b"]
    assert senders(search(dbdir, "--no-resolve", "bob")) == ["c"]
    assert senders(search(dbdir, "--no-resolve", "--client=2001:db8::7")) == ["c"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["dave"], "nothing pending\n"),
        (["dave", "--state=all"], "nothing found\n"),
        (["dave", "--state=trusted", "--format=long"], "nothing trusted\n"),
        (["--sender=^passed"], "nothing pending; 1 passed: see --state=all\n"),
        (["bob", "--state=whitelisted"], "nothing whitelisted; 5 pending, 1 passed: see --state=all\n"),
        (["dave", "--format=json"], "[]\n"),
        (["dave", "--format=csv"], ",".join(COLUMNS) + "\n"),
    ],
)
def test_nothing_is_said_to_be_nothing(options: list[str], text: str, dbdir: Path) -> None:
    assert search(dbdir, "--no-resolve", *options) == text


def test_keys_of_another_kind_are_not_taken_for_hashes(tmp_path: Path) -> None:
    keys = ("192.0.2.0", "192.0.2.0/alice@example.com", "\x1b[2J", HASH.upper(), "192.0.2.0/24")
    records = dict.fromkeys(keys, f"{NOON},{NOON}")
    records |= {HASH: f"{NOON},{NOON}", "domain:example.com//bob@example.org": f"{NOON},{NOON}"}
    dbdir = make_database(tmp_path / "db", records, {})
    outcome = call(main, f"--dbdir={dbdir}", "--no-resolve", "--format=json", ".")
    assert [row["client"] for row in json.loads(outcome.stdout)] == ["domain:example.com"]
    assert outcome.stderr == (
        "postgrey-search: hashes (--privacy), in which nothing can be found: 1 records\n"
        "postgrey-search: keys that are none of a triplet: 5 records, such as "
        "\\x1b[2J, 192.0.2.0, 192.0.2.0/24\n"
    )


@pytest.mark.parametrize("option", ["--sender={}", "--recipient={}", "--client={}"])
def test_a_pattern_that_takes_too_long_is_told(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_patterns, "SEARCH_SECONDS", 0.01)
    slow = "a" * 60
    records = {f"{slow}b/{slow}@example.com/{slow}@example.org": f"{NOON},{NOON}"}
    records |= {"192.0.2.0/a@example.com/a@example.org": f"{NOON},{NOON}"}
    dbdir = make_database(tmp_path / "db", records, {})
    outcome = call(main, f"--dbdir={dbdir}", "--no-resolve", option.format("^(a|a|a)*$|2|^a@"))
    assert "takes too long" in outcome.stderr
    assert senders(outcome.stdout) == ["a"]


def test_patterns_are_of_bytes_as_the_user_typed_them(tmp_path: Path) -> None:
    records = {"192.0.2.0/jos\xc3\xa9@example.com/bob@example.org": f"{NOON},{NOON}"}
    dbdir = make_database(tmp_path / "db", records, {})
    assert "josé@example.com" in search(dbdir, "--no-resolve", "--sender=^josé@")
    assert search(dbdir, "--no-resolve", "--sender=^jose@") == "nothing pending\n"


def test_options_of_the_server_are_known(tmp_path: Path) -> None:
    dbdir = make_database(tmp_path / "db", STANDING, TRUSTED_CLIENTS)
    (tmp_path / "list").write_text("bob@example.org\n")
    words = f"--delay=50 --auto-whitelist-clients=1 --whitelist-recipients={tmp_path}/list --dbdir={dbdir}"
    (tmp_path / "default").write_text(f'POSTGREY_OPTS="{words}"\n')
    options = (f"--server-options={tmp_path / 'default'}", "--no-resolve", "--format=json", "--state=all", ".")
    outcome = call(main, *options)
    states = {row["sender"].partition("@")[0]: row["state"] for row in json.loads(outcome.stdout)}
    assert states.pop("done") == "passed"
    assert states.pop("recipient") == "pending"
    assert set(states.values()) == {"whitelisted"}
    outcome = call(main, *options, "--verbose")
    assert outcome.stderr.startswith(f"postgrey-search: options of the server from {tmp_path / 'default'}: ")


@pytest.mark.parametrize(
    ("entry", "is_listed"),
    [
        ("192.0.2.7", True),
        ("192.0.2.0/24", True),
        ("192.0.0.0/16", True),
        ("192.0.2", True),
        ("192.0.2.64/26", True),
        ("192.0.2.70-192.0.2.80", True),
        ("[192.0.2.7]", True),
        ("ip4:192.0.2.7", True),
        ("192.0.3.7", False),
        ("192.0.3.0/24", False),
        ("2001:db8::7", False),
        ("192.0.2.0/33", False),
    ],
)
def test_an_entry_may_name_the_network_or_an_address_in_it(entry: str, is_listed: bool, tmp_path: Path) -> None:
    dbdir = make_database(tmp_path / "db", {"192.0.2.0/a@example.com/bob@example.org": f"{NOON},{NOON}"}, {})
    (tmp_path / "clients").write_text(f"{entry}\n")
    (tmp_path / "recipients").touch()
    assert states(dbdir, "--no-resolve", "--state=all")["a"][0] == ("whitelisted" if is_listed else "pending")


def test_a_name_server_that_is_not_asked_is_told(dbdir: Path) -> None:
    outcome = call(main, f"--dbdir={dbdir}", "--no-resolve", "--nameserver=127.0.0.1", "carol")
    assert outcome.stderr == "postgrey-search: --nameserver has no effect with --no-resolve\n"
    assert outcome.status == 0
