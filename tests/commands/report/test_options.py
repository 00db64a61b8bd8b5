# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyreport` as a command: which clients, what the DNS says, formats, errors."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import re
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import pytest

from postgrey_py.commands.dns import Resolver
from postgrey_py.commands.report import sender_checks
from postgrey_py.commands.report.main import main
from postgrey_py.commands.report.options import SENDER_CHECKS, make_parser
from postgrey_py.errors import UsageError
from tests.commands.calling import call
from tests.commands.generated_log import World
from tests.commands.nameserver import SILENT, NameServer
from tests.commands.reporting import RETURNED, parse_options, record, reject_line, report, server_line
from tests.commands.running import REPORT, environment, run
from tests.database.dbdirs import fill


@pytest.mark.parametrize(
    ("entry", "is_listed"),
    [
        ("198.51.100.7", True),
        ("198.51.100.0/28", True),
        ("198.51", True),
        ("198.5", False),
        ("example.com", True),
        ("xample.com", False),
        ("/mail\\d*\\.EXAMPLE/", True),
        ("2001:db8::/32", False),
    ],
)
def test_lists_of_clients_are_read_as_the_servers_whitelist(
    entry: str, is_listed: bool, empty: Path, tmp_path: Path
) -> None:
    (tmp_path / "clients").write_text(f"{entry}\n")
    option = f"_clients={tmp_path / 'clients'}"
    assert bool(report(empty, reject_line(), f"--match{option}")) == is_listed
    assert bool(report(empty, reject_line(), f"--skip{option}")) != is_listed


def test_bad_lines_of_a_list_are_told_and_a_missing_list_is_an_error(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "clients").write_text("example.net\nnot a host\n/(/\n")
    outcome = run(REPORT, f"--dbdir={empty}", f"--skip_clients={tmp_path / 'clients'}", log=reject_line())
    assert re.findall(r"clients line (\d+): ", outcome.stderr) == ["2", "3"]
    assert (outcome.status, len(outcome.stdout.splitlines())) == (0, 1)
    outcome = run(REPORT, f"--dbdir={empty}", f"--skip_clients={tmp_path / 'nothing'}", log=reject_line())
    assert outcome == ("", f"postgreyreport: can't open {tmp_path}/nothing: No such file or directory\n", 1)


@pytest.mark.parametrize(
    ("address", "name", "is_in_pool"),
    [
        ("198.51.100.7", "host-198-51-100-7.pool.example", True),
        ("198.51.100.7", "100.7.dyn.example", True),
        ("198.51.100.7", "host-100.example", False),
        ("2001:db8::12:ab", "2001-db8-0012-00ab.pool.example", True),
        ("2001:db8::12:ab", "mail12ab.example", False),
    ],
)
def test_pools_are_known_by_their_names(address: str, name: str, is_in_pool: bool, empty: Path) -> None:
    assert (report(empty, reject_line(address=address, name=name), "--skip_pool") == "") == is_in_pool


# What the DNS says


def check(server: NameServer, dbdir: Path, checks: str, domain: str, address: str = "198.51.100.7") -> str:
    """What the column of the check says."""
    log = reject_line(sender=f"alice@{domain}", address=address)
    return report(dbdir, log, f"--check_sender={checks}", "--tab", f"--nameserver={server.address}").split("\t")[0]


@pytest.mark.parametrize(
    ("checks", "domain", "expected"),
    [
        ("mx", "example.com", "MX"),
        ("mx,a", "example.com", "MX"),
        ("a", "example.com", ""),
        ("mx", "near.example", ""),
        ("mx/24", "near.example", "MX/24"),
        ("A/24,MX/24", "near.example", "MX/24"),
        ("a", "here.example", "A"),
        ("a", "beside.example", ""),
        ("mx,a/24", "beside.example", "A/24"),
        ("mx,mx/24,a,a/24", "nothing.example", ""),
        ("mx,mx/24,a,a/24", "not..a.domain", ""),
    ],
)
def test_senders_are_checked(name_server: NameServer, empty: Path, checks: str, domain: str, expected: str) -> None:
    assert check(name_server, empty, checks, domain) == expected


def test_ipv6_clients_are_checked(name_server: NameServer, empty: Path) -> None:
    assert check(name_server, empty, "mx", "six.example", "2001:db8::7") == "MX"
    assert check(name_server, empty, "mx", "six.example", "2001:db8::8") == ""
    assert check(name_server, empty, "a/24", "near6.example", "2001:db8::8") == "A/24"


def test_each_name_is_asked_for_once_and_all_at_a_time(empty: Path) -> None:
    log = "".join(
        reject_line(sender=f"{user}@{domain:x}.example", address=f"198.51.100.{domain}")
        for user in ("alice", "bob")
        for domain in range(1, 121)
    )
    with NameServer({}, delay=0.3) as server:
        report(empty, log, "--check_sender=mx,a", "--skip_dnsbl=list.example", f"--nameserver={server.address}")
    assert server.asked["64.example.", "MX"] == 1
    assert server.asked["100.100.51.198.list.example.", "A"] == 1
    assert server.most_waiting >= 100


def test_clients_on_a_blacklist_are_left_out(name_server: NameServer, empty: Path) -> None:
    addresses = ("198.51.100.7", "198.51.100.8", "198.51.100.9", "198.51.100.10", "2001:db8::7")
    log = "".join(reject_line(address=address) for address in addresses)
    options = ("--skip_dnsbl=other.example", "--skip-dnsbl=list.example", f"--nameserver={name_server.address}")
    output = report(empty, log, *options)
    assert re.findall(r"198\.51\.100\.\d+|2001\S+", output) == ["198.51.100.8", "198.51.100.9", "198.51.100.10"]


def test_name_servers_that_do_not_answer_are_told(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_checks, "Resolver", partial(Resolver, timeout=0.5))
    (tmp_path / "log").write_text(reject_line())
    with NameServer({("example.com.", "MX"): SILENT}) as server:
        options = (f"--dbdir={empty}", "--check_sender=mx", f"--nameserver={server.address}")
        outcome = call(main, *options, str(tmp_path / "log"))
    assert outcome.stderr == "postgreyreport: no name server answers: what was to be looked up is left out\n"
    assert (outcome.status, len(outcome.stdout.splitlines())) == (0, 1)


# For machines

LOG = reject_line(stamp="2026-07-21T09:57:31.5+02:00") + reject_line(
    stamp="2026-07-21T09:58:31+02:00", name="mx,2.example.com"
)
LOG += reject_line(address="2001:db8::7", sender="", stamp="no time", name="unknown")


def test_csv_has_all_columns(empty: Path) -> None:
    assert report(empty, LOG, "--format=csv") == (
        "time,tries,check_sender,client_address,client_name,sender,recipient\n"
        '2026-07-21T09:58:31+02:00,2,,198.51.100.7,"mx,2.example.com",alice@example.com,bob@example.org\n'
        ",1,,2001:db8::7,unknown,,bob@example.org\n"
    )


def test_json_is_an_array_of_objects(name_server: NameServer, empty: Path) -> None:
    output = report(empty, LOG, "--format=json", "--check_sender=mx", f"--nameserver={name_server.address}")
    first, second = json.loads(output)
    assert first == {
        "time": "2026-07-21T09:58:31+02:00",
        "tries": 2,
        "check_sender": "MX",
        "client_address": "198.51.100.7",
        "client_name": "mx,2.example.com",
        "sender": "alice@example.com",
        "recipient": "bob@example.org",
    }
    assert (second["time"], second["sender"], second["check_sender"]) == (None, "", None)


@pytest.mark.parametrize("form", ["text", "csv", "json"])
def test_what_strangers_wrote_is_safe_to_print(form: str, empty: Path) -> None:
    output = report(empty, reject_line(sender="\x1b[2J\xe9@example.com"), f"--format={form}")
    assert "\x1b" not in output
    assert "x1b[2j" in output
    output.encode("latin-1").decode("utf-8")


# The database, for people who look into it


def test_debug_db_needs_patterns(empty: Path) -> None:
    outcome = run(REPORT, f"--dbdir={empty}", "--debug-db", log=reject_line())
    assert outcome == (
        "",
        "postgreyreport: --debug_db: say with --debug_re=PATTERN for which clients; see postgreyreport --help\n",
        2,
    )


# As a command


def test_unreadable_lines_are_counted_in_one_line_at_the_end(empty: Path) -> None:
    log = "garbage\n" + reject_line() + reject_line().replace("to=<", "too=<")
    outcome = run(REPORT, f"--dbdir={empty}", log=log)
    assert len(outcome.stdout.splitlines()) == 1
    assert outcome.stderr == (
        "postgreyreport: 2 lines could not be read and were skipped, the first: standard input line 1: 'garbage'\n"
    )
    assert outcome.status == 0


def test_files_are_read_one_after_the_other(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text(reject_line() + reject_line(sender="carol@example.com"))
    (tmp_path / "log").write_text(server_line("action=pass, reason=client AWL"))
    arguments = (f"--dbdir={empty}", "--tab", tmp_path / "log.1", "-", tmp_path / "log")
    outcome = run(REPORT, *arguments, log=reject_line(sender="zoe@example.com"))
    assert re.findall(r"\w+@example\.com", outcome.stdout) == ["carol@example.com", "zoe@example.com"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--dbdir=/nonexistent/db"], 1, "/nonexistent/db"),
        (["{empty}", "/nonexistent/log"], 1, "can't open /nonexistent/log: No such file or directory"),
        (["{empty}", "--plot=/nonexistent/x.svg"], 1, "can't write /nonexistent/x.svg: No such file or directory"),
        (["{empty}", "--user=nobody-of-this-name"], 1, "there is no user nobody-of-this-name here (--user)"),
        (["--plot=x.pdf"], 2, "--plot: 'x.pdf' ends neither in .svg nor in .png"),
        (["--delay=soon"], 2, "'soon' is not a whole number"),
        (["--ipv4cidr=33"], 2, "'33' is not a whole number from 0 to 32"),
        (["--check_sender=mx,spf"], 2, "'spf' is none of mx, mx/24, a, a/24"),
        (["--debug_db", "--debug_re=("], 2, "'(' is no regular expression"),
        (["--format=xml"], 2, "xml"),
        (["--nameserver=example.com"], 2, "'example.com' is not the address of a name server"),
        (["--summary", "--check_sender=mx"], 2, "--check_sender is about the list"),
        (["--nonsense"], 2, "--nonsense: no such option"),
    ],
)
def test_errors_are_told_in_one_line(arguments: list[str], status: int, message: str, empty: Path) -> None:
    arguments = [argument.format(empty=f"--dbdir={empty}") for argument in arguments]
    outcome = run(REPORT, *arguments, log=reject_line())
    assert (outcome.stdout, outcome.status) == ("", status)
    assert message in outcome.stderr
    assert outcome.stderr.startswith("postgreyreport: ")
    assert outcome.stderr.count("\n") == 1


def test_closed_pipe_is_no_error(world: tuple[World, Path], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(world[0].lines))
    command = [*REPORT, f"--user={getpass.getuser()}", f"--dbdir={world[1]}", str(tmp_path / "log")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=60)
    assert (stderr, process.returncode) == (b"", -signal.SIGPIPE)


def test_help_version_and_manual() -> None:
    assert "--nosingle_line" in run(REPORT, "--help").stdout
    assert re.fullmatch(r"postgreyreport \d+\.\d+\.\d+\n", run(REPORT, "--version").stdout)
    assert "never came back" in run(REPORT, "--man", env={"MANPAGER": "cat"}).stdout


def peak_memory(dbdir: Path, log: Path) -> int:
    """The largest resident size of a report on this log, in KiB."""
    command = [*REPORT, f"--user={getpass.getuser()}", f"--dbdir={dbdir}", str(log)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment()) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


def test_memory_grows_with_triplets_and_not_with_the_log(empty: Path, tmp_path: Path) -> None:
    lines = "".join(reject_line(sender=f"list-{number}@example.com") for number in range(1000))
    lines += "".join(server_line("action=pass, reason=client AWL", sender="x@example.net") for _ in range(1000))
    (tmp_path / "short").write_text(lines)
    (tmp_path / "long").write_text(lines * 50)
    assert peak_memory(empty, tmp_path / "long") < peak_memory(empty, tmp_path / "short") + (6 << 10)


@pytest.mark.root
def test_root_opens_the_log_and_then_becomes_the_user() -> None:
    assert os.geteuid() == 0, "only root can become another user: run the tests as root"
    nobody = pwd.getpwnam("nobody")
    # pytest's own directories are closed to others.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o711)
        dbdir, log = directory / "db", directory / "log"
        fill(dbdir, record(lasted=RETURNED))
        log.write_text(reject_line() + reject_line(sender="carol@example.com"))
        log.chmod(0o600)
        arguments = (f"--dbdir={dbdir}", "--tab", log)
        refused = run(REPORT, "--user=nobody", *arguments)
        for path in (dbdir, *dbdir.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        allowed = run(REPORT, "--user=nobody", *arguments)
        as_number = run(REPORT, f"-u={nobody.pw_uid}", *arguments)
    assert (refused.stdout, refused.status) == ("", 1)
    assert str(dbdir) in refused.stderr
    assert re.findall(r"\w+@example\.com", allowed.stdout) == ["carol@example.com"]
    assert as_number == allowed


def test_values_are_read_as_they_are_meant() -> None:
    parse = parse_options
    assert parse("--check-sender=MX/24,a").check_sender == ("mx/24", "a")
    assert parse(r"--separate-by-ip=-\n").separate_by_ip == "-\n"
    assert [pattern for pattern, _ in parse("--debug_re=a,b").debug_re] == ["a", "b"]
    assert parse("--check_sender=" + ",".join(SENDER_CHECKS)).check_sender == SENDER_CHECKS
    assert parse("--delay=0").delay == 0
    assert (parse().delay, parse().single_line, parse("--nosingle_line").single_line) == (None, True, False)


@pytest.mark.parametrize("option", ["--check-sender=spf", "--check-sender=", "--delay=31536001", "--plot=x.gif"])
def test_values_beyond_the_border_are_refused(option: str) -> None:
    with pytest.raises(UsageError):
        make_parser().parse([option])
