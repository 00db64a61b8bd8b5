# SPDX-License-Identifier: GPL-2.0-or-later
"""Perl's own tools keep working beside our server while it is under load, and the server does not mind them."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from pathlib import Path

import pytest

from postgrey_py.database.environment import CLIENTS, TRIPLETS
from tests.commands.busy_server import BusyServer
from tests.commands.databases import make_database
from tests.commands.running import PERL_REPORT, run
from tests.commands.test_clients_dump import DUMP
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer

READS = 10

# Prints the records of a database, joined to the environment that the server has open, as Postgrey's tools are.
READER = r"""
use strict;
use warnings;
use BerkeleyDB;

my ($dbdir, $name) = @ARGV;
my $environment = BerkeleyDB::Env->new(
    -Home  => $dbdir,
    -Flags => DB_INIT_TXN | DB_INIT_MPOOL | DB_INIT_LOG,
) or die "can't join: $BerkeleyDB::Error\n";
my $database = BerkeleyDB::Btree->new(
    -Filename => $name,
    -Flags    => DB_RDONLY,
    -Env      => $environment,
) or die "can't open: $BerkeleyDB::Error\n";
my $cursor = $database->db_cursor() or die "no cursor: $BerkeleyDB::Error\n";
my ($key, $value, $status) = ('', '', 0);
print "$key $value\n" while ($status = $cursor->c_get($key, $value, DB_NEXT)) == 0;
$status == DB_NOTFOUND or die "can't read: $BerkeleyDB::Error\n";
"""

# Clients and recipients of mail that was deferred before the load began; half of it came back.
MAIL = [(f"192.0.{number}.7", "mail.example.com", f"bob{number}@example.org") for number in range(40)]
SENDER = "carol@example.net"
DEFERRED_AT = 1_900_000_000


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    path = tmp_path / "reader.pl"
    path.write_text(READER)
    return path


def read_joined(reader: Path, dbdir: Path, name: str) -> dict[str, str]:
    """The records of a database as the joined reader sees them."""
    outcome = run(("perl", str(reader)), dbdir, name)
    assert (outcome.stderr, outcome.status) == ("", 0)
    splits = (line.rpartition(" ") for line in outcome.stdout.splitlines())
    return {key: value for key, _, value in splits}


def deferred_log() -> str:
    """The lines of Postfix about the deferred mail."""
    return "".join(
        f"Mar  2 12:{number % 60:02}:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from {name}[{address}]: 450 4.2.0"
        f" <{recipient}>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.org.html;"
        f" from=<{SENDER}> to=<{recipient}> proto=ESMTP helo=<{name}>\n"
        for number, (address, name, recipient) in enumerate(MAIL)
    )


def deferred_records() -> dict[str, str]:
    return {
        f"{address.rpartition('.')[0]}.0/{SENDER}/{recipient}": f"{DEFERRED_AT},{DEFERRED_AT + number % 2 * 600}"
        for number, (address, _, recipient) in enumerate(MAIL)
    }


def report_of_debian(dbdir: Path) -> list[str]:
    """The lines of Debian's report on the deferred mail."""
    outcome = run(PERL_REPORT, f"--user={getpass.getuser()}", f"--dbdir={dbdir}", log=deferred_log())
    assert (outcome.stderr, outcome.status) == ("", 0)
    return outcome.stdout.splitlines()


def test_joined_reader_sees_what_was_promised(reader: Path, tmp_path: Path) -> None:
    with BusyServer(POSTGREY, tmp_path / "db") as busy:
        for _ in range(READS):
            busy.wait_for_more()
            triplets, clients = busy.promised()
            assert {key.decode() for key in triplets} <= read_joined(reader, busy.dbdir, TRIPLETS).keys()
            assert {key.decode() for key in clients} <= read_joined(reader, busy.dbdir, CLIENTS).keys()
        busy.wait_for_more()


def test_joined_readers_at_the_same_time_do_not_stop_the_server(reader: Path, tmp_path: Path) -> None:
    with BusyServer(POSTGREY, tmp_path / "db") as busy:
        busy.wait_for_more()
        for _ in range(READS // 2):
            command = ["perl", os.fspath(reader), os.fspath(busy.dbdir), TRIPLETS]
            readers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
            for process in readers:
                output, _ = process.communicate(timeout=60)
                assert process.returncode == 0
                assert output
            busy.wait_for_more()


def test_report_of_debian_says_the_same_under_load_as_without(tmp_path: Path) -> None:
    dbdir = make_database(tmp_path / "db", deferred_records(), {})
    expected = report_of_debian(dbdir)
    assert sorted(line.split()[-1] for line in expected) == sorted(recipient for _, _, recipient in MAIL[::2])
    with BusyServer(POSTGREY, dbdir) as busy:
        for _ in range(READS):
            busy.wait_for_more()
            assert report_of_debian(dbdir) == expected


@pytest.mark.parametrize("command", [POSTGREY, PERL_POSTGREY], ids=["ours", "Perl"])
def test_clients_are_those_that_a_joined_reader_prints(command: tuple[str, ...], reader: Path, tmp_path: Path) -> None:
    """The output of upstream's postgrey_clients_dump, but for the spelling of IPv6."""
    now = int(time.time())
    with PolicyServer(command, tmp_path / "db") as server:
        with PolicyClient(server.port) as client:
            for address, count in (("192.0.2.9", 7), ("198.51.100.1", 4), ("192.0.2.10", 5), ("2001:db8::ab", 6)):
                for number in range(count):
                    for seconds in (0, 300):
                        client.ask(
                            client_address=address,
                            recipient=f"bob{number}@example.org",
                            policy_test_time=now + number * 7200 + seconds,
                        )
        records = read_joined(reader, server.dbdir, CLIENTS)
        counts = {address: int(value.partition(",")[0]) for address, value in records.items()}
        upstream = [f"{address} ({count})" for address, count in counts.items() if count >= 5]
        ours = run(DUMP, f"--dbdir={server.dbdir}", "--no-resolve")
    assert upstream == ["192.0.2.10 (5)", "192.0.2.9 (7)", "2001:DB8:0:0:0:0:0:AB (6)"]
    assert ours == ("192.0.2.10 (5)\n192.0.2.9 (7)\n2001:db8::ab (6)\n", "", 0)
