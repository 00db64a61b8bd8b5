# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages say what the programs do: the same options, the same defaults, and no warning of a formatter."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pytest

from postgrey_py.commandline import Parser
from postgrey_py.commands.registry import COMMANDS
from postgrey_py.daemon.clock import DISTRUST_SECONDS, LARGEST_STEP, SHORTEST_WINDOW
from postgrey_py.daemon.option_values import AUTO_WHITELIST_CLIENTS
from postgrey_py.daemon.options import MAX_LISTEN_QUEUE_SIZE
from postgrey_py.daemon.outage import CALM_SECONDS, COMPLAINT_SECONDS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from postgrey_py.daemon.upkeep import CHECKPOINT_SECONDS, CLEAN_UP_SECONDS, FIRST_CLEAN_UP_SECONDS, INSIST_SECONDS
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.lock import LOCK
from postgrey_py.greylist.instances import REMEMBERED_INSTANCES
from postgrey_py.greylist.records import COUNTING_INTERVAL
from postgrey_py.greylist.settings import (
    DEBIAN_PATHS,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    UPSTREAM_PATHS,
    Paths,
    Settings,
)
from postgrey_py.protocol.reader import MAX_REQUEST_BYTES

ROOT = Path(__file__).resolve().parents[1]


class Page(NamedTuple):
    """A manual page, and what makes the parser whose options it documents."""

    path: Path
    make_parser: Callable[[], Parser]


PAGES = [Page(ROOT / "man" / command.page, command.make_parser) for command in COMMANDS]
SERVER = next(page for page in PAGES if page.path.name == "postgrey.8")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)


class Entry(NamedTuple):
    """One entry of OPTIONS: its head, every spelling in that, and what it says."""

    head: str
    spellings: tuple[str, ...]
    text: str


def render(path: Path, width: int = 1000) -> str:
    """The page as a reader sees it, without bold and underlining."""
    command = ["mandoc", "-T", "utf8", "-O", f"width={width}", os.fspath(path)]
    rendered = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return re.sub(".\b", "", rendered)


def read_section(path: Path, title: str) -> str:
    """What stands under this heading of the rendered page."""
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?=^\S|\Z)", render(path), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{path} has no section {title}"
    return found[1]


def read_options(path: Path) -> list[Entry]:
    """The entries of OPTIONS: a head is a line that starts with a dash, and what it says is indented more."""
    entry = re.compile(r"^( +)(-.+)\n((?:\1 +\S.*\n|\n)+)", re.MULTILINE)
    return [
        Entry(head, tuple(re.findall(r"(?<![\w-])--?[a-z][\w-]*", head)), " ".join(body.split()))
        for _, head, body in entry.findall(read_section(path, "OPTIONS"))
    ]


def read_option(path: Path, spelling: str) -> str:
    """What OPTIONS says of one option."""
    return next(entry.text for entry in read_options(path) if spelling in entry.spellings)


def documented_spellings(page: Page) -> set[str]:
    """Every way to write an option that OPTIONS has."""
    return {spelling for entry in read_options(page.path) for spelling in entry.spellings}


def options_of(page: Page) -> list[argparse.Action]:
    """The options of the parser with the hidden ones."""
    return page.make_parser().options


def spellings_of(page: Page) -> set[str]:
    """Every way to write an option of the parser."""
    return {spelling for option in options_of(page) for spelling in option.option_strings}


@each_page
def test_every_option_of_the_parser_is_documented(page: Page) -> None:
    assert spellings_of(page) - documented_spellings(page) == set()


@each_page
def test_every_documented_option_exists(page: Page) -> None:
    assert documented_spellings(page) - spellings_of(page) == set()


@each_page
def test_each_option_has_one_entry_with_all_its_spellings(page: Page) -> None:
    expected = sorted(sorted(option.option_strings) for option in options_of(page))
    assert sorted(sorted(entry.spellings) for entry in read_options(page.path)) == expected


@each_page
def test_options_are_in_alphabetical_order(page: Page) -> None:
    names = [next(s for s in entry.spellings if s.startswith("--")) for entry in read_options(page.path)]
    assert names == sorted(names)


@each_page
def test_a_value_is_shown_where_an_option_takes_one(page: Page) -> None:
    shown = {name for entry in read_options(page.path) for name in re.findall(r"(--[\w-]+)\[?=", entry.head)}
    taking = {s for option in options_of(page) if option.nargs != 0 for s in option.option_strings if s[1] == "-"}
    assert shown == taking


@each_page
def test_mandoc_has_no_complaint(page: Page) -> None:
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page.path], capture_output=True, text=True)
    assert (lint.stdout + lint.stderr, lint.returncode) == ("", 0)


@each_page
def test_groff_has_no_complaint(page: Page) -> None:
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", os.fspath(page.path)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
    man = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    assert (man.stderr, man.returncode) == ("", 0)


@each_page
def test_no_line_is_wider_than_a_terminal(page: Page) -> None:
    assert [line for line in render(page.path, width=78).splitlines() if len(line) > 80] == []


def _whitelist_files(choose: Callable[[Paths], str]) -> str:
    return f"{choose(UPSTREAM_PATHS)} or {choose(DEBIAN_PATHS)}, and the same name with .local at its end"


# What stands behind "The default is" for each field of Settings that is something when no option sets it.
DEFAULTS: Mapping[str, Callable[[Settings], str]] = {
    "delay": lambda settings: f"{settings.delay} seconds.",
    "max_age": lambda settings: f"{settings.max_age // SECONDS_PER_DAY} days.",
    "retry_window": lambda settings: f"{settings.retry_window // SECONDS_PER_DAY} days.",
    "auto_whitelist_clients": lambda settings: f"{settings.auto_whitelist_clients}, with the option and without.",
    "ipv4cidr": lambda settings: f"{settings.ipv4cidr} bits.",
    "ipv6cidr": lambda settings: f"{settings.ipv6cidr} bits.",
    "greylist_action": lambda settings: f"{settings.greylist_action}.",
    "greylist_text": lambda settings: f"“{settings.greylist_text}”.",
    "x_greylist_header": lambda settings: f"“{settings.x_greylist_header}”.",
    "hostname": lambda _: "the name of this host,",
    "dbdir": lambda _: f"{UPSTREAM_PATHS.dbdir} or {DEBIAN_PATHS.dbdir}.",
    "whitelist_clients": lambda _: _whitelist_files(lambda paths: paths.whitelist_clients),
    "whitelist_recipients": lambda _: _whitelist_files(lambda paths: paths.whitelist_recipients),
    "socketmode": lambda settings: f"0{settings.socketmode:o}.",
    "log_format": lambda settings: f"{settings.log_format}.",
    "syslog_facility": lambda settings: f"{settings.syslog_facility}.",
}


def test_no_default_of_settings_is_left_out() -> None:
    set_without_options = {f.name for f in fields(Settings) if getattr(Settings(), f.name) not in (None, False, ())}
    assert set(DEFAULTS) == set_without_options


@pytest.mark.parametrize("field", sorted(DEFAULTS))
def test_default_agrees_with_settings(field: str) -> None:
    expected = f"The default is {DEFAULTS[field](Settings())}"
    assert expected in read_option(SERVER.path, f"--{field.replace('_', '-')}")


def test_the_auto_whitelist_has_one_default_as_the_page_says() -> None:
    assert Settings().auto_whitelist_clients == AUTO_WHITELIST_CLIENTS


@pytest.mark.parametrize("option", ["user", "group"])
def test_default_accounts_agree_with_settings(option: str) -> None:
    upstream, debian = getattr(UPSTREAM_PATHS, option), getattr(DEBIAN_PATHS, option)
    names = upstream if upstream == debian else f"{upstream} or {debian}"
    assert f"The default for root is {names};" in read_option(SERVER.path, f"--{option}")


# Numbers and names that the page has from the program, and how it puts them.
FIGURES = [
    ("OPTIONS", MAX_LISTEN_QUEUE_SIZE, 999, "at most 999."),
    ("AUTO-WHITELIST", COUNTING_INTERVAL, SECONDS_PER_HOUR, "not more than one an hour"),
    ("FILES", TRIPLETS, "postgrey.db", "postgrey.db The triplets."),
    ("FILES", CLIENTS, "postgrey_clients.db", "postgrey_clients.db The clients"),
    ("FILES", LOCK, "postgrey.lock", "postgrey.lock Locked"),
    ("DATABASE AND SAFETY", CHECKPOINT_SECONDS, 60, "About once a minute,"),
    ("DATABASE AND SAFETY", FIRST_CLEAN_UP_SECONDS, SECONDS_PER_HOUR / 2, "half an hour after the start,"),
    ("DATABASE AND SAFETY", CLEAN_UP_SECONDS, SECONDS_PER_DAY, "then once a day,"),
    ("DATABASE AND SAFETY", LARGEST_STEP, SECONDS_PER_HOUR, "jumps by more than an hour,"),
    ("DATABASE AND SAFETY", SHORTEST_WINDOW, 2 * SECONDS_PER_DAY, "more than 2 days old,"),
    ("DATABASE AND SAFETY", DISTRUST_SECONDS, SECONDS_PER_DAY, "the clean-up waits a day,"),
    ("DATABASE AND SAFETY", INSIST_SECONDS, 600, "within ten minutes"),
    ("DATABASE AND SAFETY", FIRST_PAUSE_SECONDS, 1, "pauses that grow from 1 second to 30"),
    ("DATABASE AND SAFETY", LONGEST_PAUSE_SECONDS, 30, "pauses that grow from 1 second to 30"),
    ("DATABASE AND SAFETY", CALM_SECONDS, 60, "fails again within a minute"),
    ("DATABASE AND SAFETY", COMPLAINT_SECONDS, 60, "then once a minute"),
    ("DIFFERENCES FROM POSTGREY 1.37", MAX_REQUEST_BYTES, 64 << 10, "more than 64 KiB"),
    ("DIFFERENCES FROM POSTGREY 1.37", REMEMBERED_INSTANCES, 1000, "Here 1000 are remembered."),
]


@pytest.mark.parametrize(("section", "program_has", "page_has", "words"), FIGURES)
def test_figures_and_names_are_those_of_the_program(
    section: str, program_has: float | str, page_has: float | str, words: str
) -> None:
    assert program_has == page_has, f"the program has changed: say so in {section} of {SERVER.path}, and here"
    assert words in " ".join(read_section(SERVER.path, section).split())


def test_readme_lists_the_options_of_the_server() -> None:
    readme = ROOT / "README.md"
    assert readme.is_file(), "there is no README.md"
    names = set(re.findall(r"^\| *`(--[a-z][\w-]*)", readme.read_text(encoding="utf-8"), re.MULTILINE))
    assert names, "README.md has no table of options: rows that begin with the long name, as in | `--delay=N` | ..."
    assert names - spellings_of(SERVER) == set(), "README.md lists options that the server does not have"
    # One spelling of each will do, and what --help hides may be missing.
    needed = [option.option_strings for option in options_of(SERVER) if option.help != argparse.SUPPRESS]
    assert [spellings for spellings in needed if not names & set(spellings)] == [], "README.md lacks these options"


SAMPLE = r"""
.Dd November 21, 2026
.Dt SAMPLE 8
.Os
.Sh NAME
.Nm sample
.Nd a page whose options are known
.Sh OPTIONS
Not an option:
.Fl \-unlisted .
.Bl -tag -width 4n
.It Fl b , Fl \-beta Ns Op = Ns Ar n
First words.
.Pp
Last words of
.Fl \-other .
.It Fl \-alpha , Fl \-al\-pha
Text.
.El
.Sh EXAMPLES
.Bl -tag -width 4n
.It Fl \-elsewhere
Not an option.
.El
""".lstrip()


def test_options_are_read_from_their_heads_alone(tmp_path: Path) -> None:
    page = tmp_path / "sample.8"
    page.write_text(SAMPLE)
    assert read_options(page) == [
        Entry("-b, --beta[=n]", ("-b", "--beta"), "First words. Last words of --other."),
        Entry("--alpha, --al-pha", ("--alpha", "--al-pha"), "Text."),
    ]
