# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyreport` prints what Perl's prints, where that is right."""

from __future__ import annotations

import getpass
import re
from itertools import groupby
from pathlib import Path

import pytest

from tests.commands.generated_log import World, make_world
from tests.commands.nameserver import NameServer
from tests.commands.reporting import perl_report, reject_line, report
from tests.commands.running import PERL_REPORT, REPORT, run

OPTIONS = [
    (),
    ("--show_tries", "--show_time"),
    ("--show_tries", "--show_time", "--tab"),
    ("--tab",),
    ("--nosingle_line",),
    ("--no-single_line", "--show_tries"),
    ("--nosingle_line", r"--separate_by_subnet=:==\n", r"--separate_by_ip=\n"),
    (r"--separate_by_ip=---\n",),
    ("--delay=1200",),
    ("--delay", "1200", "-single_line"),
    ("--skip_pool",),
    ("--greylist-text=rejected: Grey.*org\\.html",),
    ("--return_string=Nothing has this text",),
]


def split_by_client(output: str) -> list[tuple[str, list[str]]]:
    """The lines of each client, sorted because Perl's have no order, and the addresses and separators in theirs.

    In the grouped form lines without an address belong to the address before.
    """
    address = ""
    lines = []
    for line in output.splitlines(keepends=True):
        if found := re.search(r"\b10(\.\d+){3}\b", line):
            address = found[0]
        lines.append((f"separator {line}" if re.match(r"[-:]|$", line) else address, line))
    return [(key, sorted(line for _, line in group)) for key, group in groupby(lines, key=lambda pair: pair[0])]


def log_for(lines: list[str], options: tuple[str, ...]) -> str:
    """The lines with which these options do something, and about which 1.37 is right."""
    if any("subnet" in option for option in options):
        # To separate_by_subnet of 1.37 each unknown client is a network of its own.
        return "".join(line for line in lines if "unknown[" not in line)
    if "--skip_pool" in options:
        pool = re.compile(r"(?<=reject: RCPT from )mail\.(?=\w+\.example\[\d+\.\d+\.(\d+)\.(\d*[02468])\])")
        return "".join(pool.sub(r"host-\1-\2.", line) for line in lines)
    return "".join(lines)


def one_mail_of_each_client(lines: list[str]) -> list[str]:
    """The lines without the rejections of other mails than the first of each client."""
    mails: dict[str, str] = {}
    rejection = re.compile(r"reject: RCPT from \S+\[(\S+)\].* (from=<.*> to=<.*>)")
    found = ((line, rejection.search(line)) for line in lines)
    return [line for line, parts in found if parts is None or mails.setdefault(parts[1], parts[2]) == parts[2]]


def assert_same_for_each_client(world: tuple[World, Path], options: tuple[str, ...]) -> None:
    """Perl's report has the mails of one client in no order."""
    log = log_for(world[0].lines, options)
    ours, perls = report(world[1], log, *options), perl_report(world[1], log, *options)
    assert split_by_client(ours) == split_by_client(perls)
    assert bool(ours) == ("Nothing" not in " ".join(options))


def assert_same_bytes(world: tuple[World, Path], options: tuple[str, ...]) -> None:
    """Where each client has but one mail."""
    log = log_for(one_mail_of_each_client(world[0].lines), options)
    assert report(world[1], log, *options) == perl_report(world[1], log, *options)


each_option = pytest.mark.parametrize("options", OPTIONS, ids=" ".join)


@each_option
def test_generated_log_is_reported_as_perl_does(world: tuple[World, Path], options: tuple[str, ...]) -> None:
    assert_same_for_each_client(world, options)


@each_option
def test_where_each_client_has_one_mail_the_bytes_are_the_same(
    world: tuple[World, Path], options: tuple[str, ...]
) -> None:
    assert_same_bytes(world, options)


def test_pools_are_skipped_for_a_reason(world: tuple[World, Path]) -> None:
    log = log_for(world[0].lines, ("--skip_pool",))
    assert 0 < report(world[1], log, "--skip_pool").count("\n") < report(world[1], log).count("\n")


@pytest.fixture(scope="module")
def long_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    return make_world(tmp_path_factory.mktemp("long"), seed=1, wanted=300_000)


@pytest.mark.proof
@each_option
def test_long_log_is_reported_as_perl_does(long_world: tuple[World, Path], options: tuple[str, ...]) -> None:
    assert_same_for_each_client(long_world, options)


@pytest.mark.proof
@each_option
def test_where_each_client_has_one_mail_the_bytes_of_a_long_log_are_the_same(
    long_world: tuple[World, Path], options: tuple[str, ...]
) -> None:
    assert_same_bytes(long_world, options)


CLIENTS = "# comment\nmail.xb.example\n/^UNKNOWN$/\n10.0.25\n10.0.5.178\nxe.example\n"


@pytest.mark.parametrize("option", ["--skip_clients", "--match-clients"])
def test_lists_of_clients_do_what_perls_do(world: tuple[World, Path], option: str, tmp_path: Path) -> None:
    generated, dbdir = world
    (tmp_path / "clients").write_text(CLIENTS)
    (tmp_path / "more").write_text("mail.xf.example\n")
    for files in (["clients"], ["clients", "more"]):
        options = [f"{option}={tmp_path / name}".replace("-clients", "_clients") for name in files]
        ours, perls = (each(dbdir, "".join(generated.lines), *options) for each in (report, perl_report))
        assert split_by_client(ours) == split_by_client(perls)
        assert 0 < len(ours.splitlines()) < len(generated.lost)


def test_checks_are_shown_as_perl_shows_them(name_server: NameServer, empty: Path) -> None:
    senders = ("a@example.com", "b@near.example", "c@here.example", "d@beside.example", "e@nothing.example")
    log = "".join(reject_line(sender=sender, address=f"198.51.100.{n}") for n, sender in enumerate(senders, start=5))
    resolver = {"RES_NAMESERVERS": "127.0.0.1", "RES_OPTIONS": f"port:{name_server.port}"}
    options = (f"--user={getpass.getuser()}", f"--dbdir={empty}", "--check_sender=mx/24,a/24")
    for layout in ("--show_tries", "--nosingle_line", "--tab"):
        perls = run(PERL_REPORT, *options, layout, log=log, env=resolver)
        ours = run(REPORT, *options, layout, f"--nameserver={name_server.address}", log=log)
        assert ours == perls
        assert ours.stdout.count("MX/24") == 2
