# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyctl` against a real server: each command, its text, its JSON, and its exit status."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgrey_py.commands.control.main import DEFAULT_SECONDS
from tests.daemon.processes import wait_until
from tests.support.policy import ask
from tests.support.servers import POSTGREY, ROOT, PolicyServer

POSTGREYCTL = (sys.executable, str(ROOT / "scripts" / "postgreyctl"))

Control = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PolicyServer]:
    with PolicyServer(POSTGREY, tmp_path / "db") as server:
        yield server


@pytest.fixture
def control(server: PolicyServer) -> Control:
    """A function that runs postgreyctl with these arguments."""

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [*POSTGREYCTL, f"--control={server.dbdir}/postgrey.control", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        return done

    return run


def test_status(server: PolicyServer, control: Control) -> None:
    text = control("status").stdout
    assert text.startswith("healthy\n")
    assert f"process {server.pid}, " in text
    assert json.loads(control("status", "--format=json").stdout)["healthy"] is True


def test_socket_is_found_by_the_options_of_the_running_server(server: PolicyServer) -> None:
    command = [*POSTGREYCTL, "status", f"--dbdir={server.dbdir}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("healthy\n"), done


def test_allow_and_what_becomes_of_it(server: PolicyServer, control: Control) -> None:
    assert control("allowed").stdout == ""
    line = control("allow", "--sender=example.com", "--for=15m", "--once", "--comment=the code").stdout
    assert line.startswith("1: sender example.com until ")
    assert line.endswith(", for a single mail, by root (the code)\n") or ", by " in line
    assert control("allowed").stdout == line
    assert ask(server.port, instance="a") == "DUNNO"
    assert ask(server.port, instance="b", recipient="carol@example.org") != "DUNNO"
    assert ", used, " in control("allowed").stdout
    (one,) = json.loads(control("allowed", "--format=json").stdout)
    assert one["used"]
    assert control("disallow", "1").stdout.startswith("ended: 1: ")
    assert control("allowed", "--format=json").stdout == "[]\n"
    assert "there is no allowance 1" in control("disallow", "1", status=1).stderr


def test_allowance_is_for_an_hour_unless_it_says(server: PolicyServer, control: Control) -> None:
    before = json.loads(control("status", "--format=json").stdout)
    one = json.loads(control("allow", "--client=192.0.2.0/24", "--format=json").stdout)
    assert 0 <= one["until"] - before["started"] - DEFAULT_SECONDS < 60
    assert ask(server.port) == "DUNNO"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["allow"], 2, "whose mail? Name --client, --sender or --recipient"),
        (["allow", "--client=alice@example.com"], 1, "client alice@example.com: "),
        (["allow", "--sender=example.com", "--for=soon"], 2, "'soon' is no time such as"),
        (["allow", "--sender=example.com", "--for=3w", "--for=500w"], 1, "a year at most"),
        (["disallow", "x"], 2, "x is no number of an allowance"),
        (["resume"], 1, "there is no pause"),
        (["explode"], 2, "explode: no such command"),
        (["watch", "--client=192.0.2.0/33"], 1, "the length of the network is a number from 0 to 32"),
    ],
)
def test_mistakes_are_told_in_one_line(control: Control, arguments: list[str], status: int, message: str) -> None:
    done = control(*arguments, status=status)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_pause_and_resume(server: PolicyServer, control: Control) -> None:
    assert control("pause", "--for=1h").stdout.startswith("paused by ")
    assert ask(server.port) == "DUNNO"
    assert "warning: greylisting is paused by " in control("status").stdout
    assert "mail is greylisted again" in control("resume").stdout
    assert ask(server.port, recipient="carol@example.org") != "DUNNO"


def test_clean_up_and_reload(control: Control) -> None:
    assert control("clean-up").stdout == "triplets: 0 records before, 0 after\nclients: 0 records before, 0 after\n"
    assert "in force, 0 lines not used" in control("reload").stdout


def test_reload_fails_where_lines_are_not_in_force(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("192.0.2.0/99\n")
    with PolicyServer(POSTGREY, tmp_path / "db", [f"--whitelist-clients={clients}"]) as server:
        command = [*POSTGREYCTL, "reload", f"--control={server.dbdir}/postgrey.control"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"{clients} line 1: " in done.stdout


def test_watch_shows_decisions_until_it_is_interrupted(server: PolicyServer) -> None:
    command = [*POSTGREYCTL, "watch", "--action=greylist", f"--control={server.dbdir}/postgrey.control"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        shown = watching.stdout
        assert shown is not None
        numbers = iter(range(1000))

        def is_seen() -> bool:
            # What is decided before it watches is seen by nobody.
            ask(server.port, recipient=f"u{next(numbers)}@example.org")
            return bool(select.select([shown], [], [], 0.2)[0])

        wait_until(is_seen)
        line = shown.readline()
        watching.send_signal(signal.SIGTERM)
    assert " greylist, new (300s missing), client_name=mail.example.com, " in line


def test_no_server(tmp_path: Path) -> None:
    command = [*POSTGREYCTL, "status", f"--control={tmp_path}/control"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("postgreyctl: no server runs there: ")
    assert done.stderr.count("\n") == 1


def test_server_without_a_socket_is_told(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db", ["--control=none"]) as server:
        command = [*POSTGREYCTL, "status", f"--dbdir={server.dbdir}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the server has no control socket (--control=none)" in done.stderr


def test_mail_is_explained(server: PolicyServer, control: Control) -> None:
    mail = ("192.0.2.7", "alice@example.com", "bob@example.org")
    assert control("explain", *mail).stdout.startswith("DEFERRED: this mail is new [reason=new]\n")
    ask(server.port)
    line = server.log().splitlines()[-1]
    text = control("explain", f"--line={line}", "--at=+1m").stdout
    assert text.startswith("DEFERRED: it comes back too early [reason=early-retry]\n")
    assert "(mail.example.com)" in text
    assert json.loads(control("explain", *mail, "--at=+6m", "--format=json").stdout)["reason"] == "triplet found"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["192.0.2.7"], "explain is followed by CLIENT SENDER RECIPIENT"),
        (["192.0.2.7", "a@b", "c@d", "--line=x"], "explain is followed by nothing"),
        (["--line=x"], "is not understood"),
        (["192.0.2.7", "a@b", "c@d", "--at=soon"], "is no time such as"),
        (["mail.example", "a@b", "c@d"], "is no address"),
        (["192.0.2.7", "a@b", "c@d", "--once"], "--once: explain has no such option"),
    ],
)
def test_wrong_questions_are_told(control: Control, arguments: list[str], text: str) -> None:
    assert text in control("explain", *arguments, status=2).stderr


def test_records_are_listed_and_changed(server: PolicyServer, control: Control) -> None:
    for number in range(3):
        ask(server.port, recipient=f"user{number}@example.org")
    assert "192.0.2.0, from alice@example.com, to user0@example.org: passes in " in control("pending").stdout
    done = control("pending", "--limit=1", "--format=json")
    assert len(json.loads(done.stdout)) == 1
    assert "2 more; --limit=N shows more" in done.stderr
    # One is done at once, several are asked for.
    assert control("release", "--recipient=user0@example.org").stdout.startswith("1 triplet; the first: ")
    refused = control("release", "--sender=example.com", status=2)
    assert "release: 3 triplets; the first: " in refused.stderr
    assert "say --yes" in refused.stderr
    assert ask(server.port, recipient="user1@example.org").startswith("DEFER_IF_PERMIT")
    assert control("release", "--sender=example.com", "--yes").stdout.startswith("3 triplets; the first: ")
    assert ask(server.port, recipient="user1@example.org").startswith("PREPEND ")
    assert control("forget", "--recipient=nobody@example.org").stdout == "nothing of that kind is known\n"
    assert control("forget", "--client=192.0.2.7", "--yes").stdout.startswith("3 triplets and 1 client; the first: ")
    assert control("pending").stdout == ""


def test_clients_are_trusted(server: PolicyServer, control: Control) -> None:
    assert control("trust", "192.0.2.7").stdout.startswith("192.0.2.7: 5 passes, last counted ")
    assert control("trusted").stdout.startswith("192.0.2.7: 5 passes")
    assert ask(server.port) == "DUNNO"
    assert control("distrust", "192.0.2.7").stdout.startswith("was: 192.0.2.7: 5 passes")
    assert "nothing is known of client 192.0.2.7" in control("distrust", "192.0.2.7", status=1).stderr
    assert "whose mail?" in control("forget", "--yes", status=2).stderr
    assert "not an address or a network" in control("pending", "--client=mail.example", status=1).stderr
