# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey_clients_dump`: which clients it lists, in which order, and how it prints them."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from postgrey_py.commands import names
from postgrey_py.commands.clients_dump import COLUMNS, main
from postgrey_py.commands.dns import Resolver, reverse_name
from tests.commands.calling import call
from tests.commands.databases import make_database
from tests.commands.nameserver import SERVFAIL, NameServer
from tests.commands.running import Outcome, environment, run
from tests.support.policy import PolicyClient
from tests.support.servers import POSTGREY, ROOT, PolicyServer, free_port

DUMP = (sys.executable, str(ROOT / "scripts" / "postgrey_clients_dump"), "--server-options=none")

# 2027-01-15, in winter, and 2026-07-15, in summer, both at noon in Berlin.
WINTER, SUMMER = 1_800_010_800, 1_784_109_600
WINTER_TEXT, SUMMER_TEXT = "2027-01-15T12:00:00+01:00", "2026-07-15T12:00:00+02:00"

HASH = "2346ad27d7568ba9896f1b7da6b5991251debdf2"

CLIENTS = {
    "192.0.2.10": f"5,{WINTER}",
    "192.0.2.9": f"17,{SUMMER}",
    "198.51.100.1": f"4,{WINTER + 1}",
    "2001:DB8:0:0:0:0:0:AB": f"6,{SUMMER - 1}",
    "9.0.0.1": f"120,{WINTER - 1}",
}

NAMES = {
    (reverse_name("192.0.2.10"), "PTR"): "mail.example.com.",
    (reverse_name("192.0.2.9"), "PTR"): SERVFAIL,
    (reverse_name("2001:db8::ab"), "PTR"): "mail6.example.com.",
}


@pytest.fixture(scope="module")
def dbdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("tool") / "db", {}, CLIENTS)


def dump(dbdir: Path, *options: str) -> str:
    """What it prints, which it must do without complaint."""
    outcome = call(main, f"--dbdir={dbdir}", *options)
    assert (outcome.stderr, outcome.status) == ("", 0)
    return outcome.stdout


def test_trusted_clients_are_listed_in_the_order_of_the_database(dbdir: Path) -> None:
    assert dump(dbdir, "--no-resolve") == "192.0.2.10 (5)\n192.0.2.9 (17)\n2001:db8::ab (6)\n9.0.0.1 (120)\n"


def test_names_stand_for_addresses_where_there_are_any(dbdir: Path) -> None:
    with NameServer(NAMES) as server:
        output = dump(dbdir, f"--nameserver={server.address}")
    assert output == "mail.example.com (5)\n192.0.2.9 (17)\nmail6.example.com (6)\n9.0.0.1 (120)\n"


def test_hosts_file_is_asked_first(dbdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everybody expects who wrote the names of their own servers there."""
    (tmp_path / "hosts").write_text(
        "127.0.0.1\tlocalhost\n"
        "# 9.0.0.1 old.example.com\n"
        "\n"
        "192.0.2.10 relay.example.net relay # ours\n"
        "2001:DB8:0::00ab relay6.example.net\n"
        "192.0.2.10 second.example.net\n"
        "192.0.2.9\n"
        "nonsense\n"
    )
    monkeypatch.setattr(names, "HOSTS", tmp_path / "hosts")
    expected = "{} (5)\n192.0.2.9 (17)\n{} (6)\n9.0.0.1 (120)\n"
    with NameServer(NAMES) as server:
        output = dump(dbdir, f"--nameserver={server.address}")
        assert output == expected.format("relay.example.net", "relay6.example.net")
        assert server.asked.keys() == {(reverse_name("192.0.2.9"), "PTR"), (reverse_name("9.0.0.1"), "PTR")}
        assert dump(dbdir, "--no-resolve").startswith("192.0.2.10 (5)\n")
        (tmp_path / "hosts").unlink()
        output = dump(dbdir, f"--nameserver={server.address}")
    assert output == expected.format("mail.example.com", "mail6.example.com")


def test_only_those_that_are_listed_are_looked_up(dbdir: Path) -> None:
    with NameServer() as server:
        dump(dbdir, f"--nameserver={server.address}", "--min-count=17")
    assert server.asked.keys() == {(reverse_name("192.0.2.9"), "PTR"), (reverse_name("9.0.0.1"), "PTR")}


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ([], [5, 17, 6, 120]),
        (["--min-count=6"], [17, 6, 120]),
        (["--min-count", "121"], []),
        (["--min-count=0"], [5, 17, 4, 6, 120]),
        (["--all"], [5, 17, 4, 6, 120]),
        (["--all", "--min-count=100"], [5, 17, 4, 6, 120]),
        (["--all", "--sort=count"], [120, 17, 6, 5, 4]),
        (["--all", "--sort=last"], [4, 5, 120, 17, 6]),
        (["--all", "--sort=address"], [120, 17, 5, 4, 6]),
        (["-all", "-sort", "address"], [120, 17, 5, 4, 6]),
    ],
)
def test_options_choose_and_sort(options: list[str], counts: list[int], dbdir: Path) -> None:
    output = dump(dbdir, "--no-resolve", *options)
    assert [int(count) for count in re.findall(r"\((\d+)\)$", output, re.MULTILINE)] == counts


EXPECTED = [
    ("192.0.2.10", "mail.example.com", 5, WINTER_TEXT, False),
    ("192.0.2.9", None, 17, SUMMER_TEXT, True),
    ("198.51.100.1", None, 4, "2027-01-15T12:00:01+01:00", False),
    ("2001:db8::ab", "mail6.example.com", 6, "2026-07-15T11:59:59+02:00", True),
    ("9.0.0.1", None, 120, "2027-01-15T11:59:59+01:00", True),
]


def test_json_has_everything(dbdir: Path) -> None:
    with NameServer(NAMES) as server:
        output = dump(dbdir, f"--nameserver={server.address}", "--all", "--min-count=6", "--format=json")
    assert json.loads(output) == [dict(zip(COLUMNS, row, strict=True)) for row in EXPECTED]
    assert len(output.splitlines()) == len(EXPECTED) + 2, "a line for each, for grep"


def test_csv_has_everything(dbdir: Path) -> None:
    with NameServer(NAMES) as server:
        output = dump(dbdir, f"--nameserver={server.address}", "--all", "--min-count=6", "--format=csv")
    rows = list(csv.reader(io.StringIO(output)))
    assert rows[0] == list(COLUMNS)
    assert rows[1:] == [
        [address, name or "", str(count), last_seen, "yes" if whitelisted else "no"]
        for address, name, count, last_seen, whitelisted in EXPECTED
    ]


@pytest.mark.parametrize(("format_", "output"), [("text", ""), ("csv", ",".join(COLUMNS) + "\n"), ("json", "[]\n")])
def test_no_client_is_no_error(format_: str, output: str, tmp_path: Path) -> None:
    dbdir = make_database(tmp_path / "db", {"192.0.2.0/alice@example.com/bob@example.org": "1,1"}, {})
    assert dump(dbdir, f"--format={format_}") == output


def test_hashes_are_printed_and_never_looked_up(tmp_path: Path) -> None:
    dbdir = make_database(tmp_path / "db", {}, {HASH: f"7,{WINTER}", "192.0.2.1": f"8,{WINTER}"})
    with NameServer() as server:
        output = dump(dbdir, f"--nameserver={server.address}", "--sort=address")
    assert output == f"host-1.example.com (8)\n{HASH} (7)\n"
    assert server.asked.total() == 1


def test_strange_records_are_printed_without_harm(tmp_path: Path) -> None:
    """Nobody knows what an old database went through."""
    records = {
        "1.2.3": "9,1",
        "\x1b[2J\xff\n": f"8,{WINTER}",
        "192.0.2.1": "7",
        "192.0.2.2": "lots,of",
        "192.0.2.3": f"7x,{10**17}",
    }
    dbdir = make_database(tmp_path / "db", {}, records)
    assert dump(dbdir, "--no-resolve") == "\\x1b[2J\\xff\\x0a (8)\n1.2.3 (9)\n192.0.2.1 (7)\n192.0.2.3 (7)\n"
    rows = json.loads(dump(dbdir, "--no-resolve", "--all", "--format=json", "--sort=last"))
    assert {row["address"]: row["last_seen"] for row in rows} == {
        "192.0.2.3": str(10**17),
        "\\x1b[2J\\xff\\x0a": WINTER_TEXT,
        "1.2.3": "1970-01-01T01:00:01+01:00",
        "192.0.2.1": None,
        "192.0.2.2": "1970-01-01T01:00:00+01:00",
    }


def test_when_no_name_server_answers_addresses_are_printed_and_it_says_so(
    dbdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "Resolver", functools.partial(Resolver, timeout=0.3))
    nobody = f"127.0.0.1:{free_port()}"
    outcome = call(main, f"--dbdir={dbdir}", f"--nameserver={nobody}", "--min-count=100")
    complaint = "postgrey_clients_dump: no name server answers: addresses are shown instead of names\n"
    assert outcome == Outcome("9.0.0.1 (120)\n", complaint, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_while_it_waits_for_names(number: signal.Signals, dbdir: Path) -> None:
    with NameServer(delay=60.0) as server:
        command = [*DUMP, f"--dbdir={dbdir}", f"--nameserver={server.address}"]
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while not server.asked:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            assert process.communicate() == (b"", b"")
    assert process.returncode == -number


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--min-count=-1", "--min-count: '-1' is not a whole number"),
        ("--min-count=many", "--min-count: 'many' is not a whole number"),
        ("--sort=name", "--sort: invalid choice: 'name'"),
        ("--format=xml", "--format: invalid choice: 'xml'"),
        ("--nameserver=dns.example.com", "'dns.example.com' is not the address of a name server"),
        ("--delay=3", "--delay=3: no such option"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_wrong_command_line_is_refused(option: str, complaint: str, dbdir: Path) -> None:
    outcome = call(main, f"--dbdir={dbdir}", option)
    assert (outcome.stdout, outcome.status) == ("", 2)
    assert re.fullmatch(r"postgrey_clients_dump: [^\n]*; see postgrey_clients_dump --help\n", outcome.stderr)
    assert complaint in outcome.stderr


def test_clients_of_a_running_server_are_seen_at_once(tmp_path: Path) -> None:
    now = 1_700_000_000
    with PolicyServer(POSTGREY, tmp_path / "db", ["--auto-whitelist-clients=2"]) as server:
        with PolicyClient(server.port) as client:
            for number in (1, 2):
                for seconds in (0, 300):
                    client.ask(
                        client_address="2001:db8::AB",
                        sender=f"alice{'x' * number}@example.com",
                        policy_test_time=now + number * 3600 + seconds,
                    )
        assert dump(server.dbdir, "--no-resolve", "--min-count=2") == "2001:db8::ab (2)\n"


def test_bar_is_shown_on_a_terminal_alone(dbdir: Path) -> None:
    with NameServer() as server:
        script = f"{' '.join(DUMP)} --dbdir={dbdir} --nameserver={server.address}"
        outcome = run(("script", "--quiet", "--return", "--command", f"{script} >/dev/null", "/dev/null"))
    assert outcome.status == 0
    assert "looking up names [########################################] 4/4" in outcome.stdout
    assert outcome.stdout.endswith("\r\x1b[K")


def test_odd_keys_cost_no_look_up(tmp_path: Path) -> None:
    records = {f"192.0.2.{number}\x1b[2J\x07": f"{number},{WINTER}" for number in range(40)}
    records |= {f"\x00{number}\r\n\x9b": "9,1" for number in range(40)} | {"unknown": "8,1", "192.0.2.0/24": "8,1"}
    dbdir = make_database(tmp_path / "db", {}, records)
    with NameServer() as server:
        output = dump(dbdir, f"--nameserver={server.address}", "--all")
    assert output.count("\n") == len(records)
    assert output.replace("\n", "").isprintable()
    assert not server.asked


def test_spellings_of_an_address_are_those_of_mail_logs(tmp_path: Path) -> None:
    """Debian's 1.36-5 wrote a mask, and early versions small letters."""
    records = {
        "192.0.2.1/32": "7,1",
        "2001:DB8:0:0:0:0:0:AB": "8,1",
        "2001:db8::ac": "9,1",
        "2001:DB8:0:0:0:0:0:AD/128": "10,1",
    }
    dbdir = make_database(tmp_path / "db", {}, records)
    assert dump(dbdir, "--no-resolve") == "192.0.2.1 (7)\n2001:db8::ab (8)\n2001:db8::ad (10)\n2001:db8::ac (9)\n"


def test_options_of_the_server_are_known(dbdir: Path, tmp_path: Path) -> None:
    path = tmp_path / "postgrey"
    path.write_text(f'POSTGREY_OPTS="--inet=10023 --dbdir={dbdir} --auto-whitelist-clients=17"\n')
    options = (f"--server-options={path}", "--no-resolve")
    assert call(main, *options) == Outcome("192.0.2.9 (17)\n9.0.0.1 (120)\n", "", 0)
    assert call(main, *options, "--min-count=100") == Outcome("9.0.0.1 (120)\n", "", 0)
    outcome = call(main, *options, "--verbose")
    told = f"postgrey_clients_dump: options of the server from {path}: auto-whitelist-clients=17, dbdir={dbdir}\n"
    assert outcome == Outcome("192.0.2.9 (17)\n9.0.0.1 (120)\n", told, 0)


def test_an_auto_whitelist_that_is_off_is_told(dbdir: Path, tmp_path: Path) -> None:
    path = tmp_path / "postgrey"
    path.write_text("POSTGREY_OPTS=--auto-whitelist-clients=0\n")
    options = (f"--server-options={path}", f"--dbdir={dbdir}", "--no-resolve", "--format=json")
    told = "postgrey_clients_dump: the auto-whitelist of the server is off (--auto-whitelist-clients=0)\n"
    assert call(main, *options) == Outcome("[]\n", told, 0)
    rows = json.loads(call(main, *options, "--all").stdout)
    assert {row["whitelisted"] for row in rows} == {False}


def test_a_name_server_that_is_not_asked_is_told(dbdir: Path) -> None:
    outcome = call(main, f"--dbdir={dbdir}", "--no-resolve", "--nameserver=127.0.0.1", "--min-count=100")
    assert outcome == Outcome(
        "9.0.0.1 (120)\n", "postgrey_clients_dump: --nameserver has no effect with --no-resolve\n", 0
    )
