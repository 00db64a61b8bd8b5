# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from postgrey_py.commandline import Parser, find_manual
from postgrey_py.daemon.options import make_parser as make_server_parser
from postgrey_py.errors import PostgreyError, UsageError
from tests.support.servers import POSTGREY, ROOT

untimed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def make_parser() -> Parser:
    """A parser with an option of each kind, and files behind them."""
    parser = Parser("sample", "A sample.")
    parser.option("text", "t", help="takes a value")
    parser.option("number", type=int, default=7, help="takes a number")
    parser.option("maybe", nargs=argparse.OPTIONAL, const="nothing", help="takes a value or none")
    parser.option("many", "m", action="append", help="may come more than once")
    parser.option("choice", choices=["red", "blue"], help="takes one of two")
    parser.option("verbose", "v", action="store_true", help="takes none")
    parser.add_argument("files", nargs="*")
    return parser


def parse(*arguments: str) -> dict[str, Any]:
    return make_parser().parse(arguments)


def given_options(*arguments: str) -> dict[str, object]:
    """What differs from a command line without any argument."""
    nothing = parse()
    return {name: value for name, value in parse(*arguments).items() if value != nothing[name]}


def test_without_arguments_all_is_default() -> None:
    assert parse() == {
        "text": None,
        "number": 7,
        "maybe": None,
        "many": None,
        "choice": None,
        "verbose": False,
        "files": [],
    }


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--text=x"], {"text": "x"}),
        (["--text", "x"], {"text": "x"}),
        (["-text=x"], {"text": "x"}),
        (["-text", "x"], {"text": "x"}),
        (["-t", "x"], {"text": "x"}),
        (["-t=x"], {"text": "x"}),
        (["--t", "x"], {"text": "x"}),
        (["--text=a=b"], {"text": "a=b"}),
        (["--text="], {"text": ""}),
        (["--text", ""], {"text": ""}),
        # A value that must come is taken whatever it looks like.
        (["--text", "-v"], {"text": "-v"}),
        (["--text", "--verbose", "--verbose"], {"text": "--verbose", "verbose": True}),
        (["--text", "-"], {"text": "-"}),
        (["--text", "--number=3"], {"text": "--number=3"}),
        (["--text=a b  c"], {"text": "a b  c"}),
        (["--number=-3"], {"number": -3}),
        (["--number", "-3"], {"number": -3}),
        (["--text=1", "-t", "2"], {"text": "2"}),
        (["--many=1", "-m", "2", "--many", "-m"], {"many": ["1", "2", "-m"]}),
        (["-v"], {"verbose": True}),
        (["--v"], {"verbose": True}),
        (["-verbose", "--verbose"], {"verbose": True}),
        # One that may come is taken unless it looks like an option.
        (["--maybe"], {"maybe": ""}),
        (["--maybe="], {"maybe": ""}),
        (["--maybe", ""], {"maybe": ""}),
        (["--maybe=x"], {"maybe": "x"}),
        (["--maybe=-x"], {"maybe": "-x"}),
        (["--maybe", "x"], {"maybe": "x"}),
        (["--maybe", "-v"], {"maybe": "", "verbose": True}),
        (["--maybe", "x", "y"], {"maybe": "x", "files": ["y"]}),
        (["--choice", "red"], {"choice": "red"}),
        # What is no option.
        (["a", "b"], {"files": ["a", "b"]}),
        (["a", "-v", "b"], {"files": ["a", "b"], "verbose": True}),
        (["a", "--text", "x", "b", "--number=3", "c"], {"files": ["a", "b", "c"], "text": "x", "number": 3}),
        (["-"], {"files": ["-"]}),
        (["-v", "-", "a"], {"files": ["-", "a"], "verbose": True}),
        (["--", "-v"], {"files": ["-v"]}),
        (["-v", "--", "--text", "-"], {"files": ["--text", "-"], "verbose": True}),
        (["a", "--", "b"], {"files": ["a", "b"]}),
        (["--"], {}),
        (["-v", "--"], {"verbose": True}),
        # 1.37: empty arguments do not count, but behind `--` all does.
        (["", "-v", ""], {"verbose": True}),
        (["a", "", "b"], {"files": ["a", "b"]}),
        (["--", ""], {"files": [""]}),
    ],
)
def test_command_lines(arguments: list[str], options: dict[str, object]) -> None:
    assert given_options(*arguments) == options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense"], "--nonsense: no such option"),
        (["--nonsense=5"], "--nonsense=5: no such option"),
        (["-x"], "-x: no such option"),
        (["--tex=x"], "--tex=x: no such option; did you mean --text?"),
        (["--verb"], "--verb: no such option; did you mean --verbose?"),
        (["--Verbose"], "--Verbose: no such option; did you mean --verbose?"),
        (["-vt"], "-vt: no such option"),
        (["-tx"], "-tx: no such option"),
        (["---verbose"], "---verbose: no such option; did you mean --verbose?"),
        (["---"], "---: no such option"),
        (["--=x"], "--=x: no such option"),
        (["-5"], "-5: no such option"),
        (["--no-verbose"], "--no-verbose: no such option"),
        (["--files=x"], "--files=x: no such option"),
        (["--help"], "--help: no such option"),
        (["--verbose=1"], "--verbose=1: this option takes no value"),
        (["-v="], "-v=: this option takes no value"),
        (["--text"], "--text: this option needs a value"),
        (["-v", "-t"], "-t: this option needs a value"),
        (["--text", "--"], "--text: '--' is not a value"),
        (["-t=--"], "--text: '--' is not a value"),
        (["--maybe=--"], "--maybe: '--' is not a value"),
        (["--number=x"], "--number: invalid int value: 'x'"),
        (["--number="], "--number: invalid int value: ''"),
        (["-m", "1", "--number", "-v"], "--number: invalid int value: '-v'"),
    ],
)
def test_errors_name_option_and_value(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    assert str(caught.value) == message


def test_an_error_of_argparse_is_none_of_its_exits() -> None:
    with pytest.raises(UsageError, match=r"^--choice: invalid choice: 'green' \(choose from '?red'?, '?blue'?\)$"):
        parse("--choice=green")
    parser = Parser("sample", "A sample.")
    parser.option("needed", required=True)
    with pytest.raises(UsageError, match="--needed"):
        parser.parse([])


texts = st.text(st.sampled_from("-=ax \n\xe9"), max_size=6) | st.text(max_size=6)


@untimed
@given(texts)
@example("-")
@example("--text=x")
@example("---")
@example("-5")
@example("-v --")
def test_any_value_is_taken_as_it_is(text: str) -> None:
    assume(text != "--")
    assert (
        given_options("--text", text) == given_options(f"-text={text}") == given_options("-t", text) == {"text": text}
    )
    assert given_options("--many", text, f"-m={text}", "-v") == {"many": [text, text], "verbose": True}
    assert given_options(f"--maybe={text}") == {"maybe": text}
    assert given_options("-v", "--", text) == ({"verbose": True, "files": [text]})


words = ["-v", "-t", "--text", "--maybe", "--number=3", "-m=x", "--", "-", "a", "", "--text=--", "--nonsense"]


@untimed
@given(st.lists(st.sampled_from(words), max_size=6))
def test_any_command_line_is_read_or_refused(arguments: list[str]) -> None:
    try:
        options = parse(*arguments)
    except UsageError as error:
        message = str(error)
    else:
        # As many files as there can be, and nothing else among them.
        assert set(options["files"]) <= set(arguments)
        assert options["text"] is None or options["text"] in arguments
        return
    assert message
    assert "\n" not in message


def test_options_are_shown_under_all_their_names() -> None:
    text = make_parser().format_help()
    assert "--text" in text
    assert "-t" in text
    assert "--help" not in text


# The manual.


def test_the_manual_beside_the_source_comes_first() -> None:
    assert find_manual("postgrey.8") == ROOT / "man" / "postgrey.8"


@pytest.mark.parametrize("name", ["sample.1", "sample.1.gz"])
def test_an_installed_manual_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    page = tmp_path / "share" / "man" / "man1" / name
    page.parent.mkdir(parents=True)
    page.touch()
    assert find_manual("sample.1") == page


def test_a_manual_that_is_nowhere_is_told() -> None:
    with pytest.raises(PostgreyError, match=r"^the manual page no-such-page\.8 is not installed$"):
        find_manual("no-such-page.8")


def test_the_manual_is_shown() -> None:
    environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    shown = subprocess.run([*POSTGREY, "--man"], capture_output=True, text=True, env=environment, check=True).stdout
    plain = re.sub(".\b", "", shown)
    assert plain.startswith("POSTGREY(8)")
    assert "\nNAME\n" in plain
    assert "DIFFERENCES FROM POSTGREY 1.37" in plain


def test_without_a_man_program_it_says_where_the_manual_is(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    shown = subprocess.run([*POSTGREY, "--man"], capture_output=True, text=True, env=environment, check=False)
    page = ROOT / "man" / "postgrey.8"
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == f"postgrey: there is no man program here to show {page}\n"


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--dely=60", "--delay"),
        ("--dealy", "--delay"),
        ("--Delay=60", "--delay"),
        ("--inte=10023", "--inet"),
        ("--delay:60", "--delay"),
        ("--pid=/run/pid", "--pidfile"),
        ("--whitelist_clients=x", "--whitelist-clients"),
        ("--whitelist-client=x", "--whitelist-clients"),
        ("--retrywindow=3", "--retry-window"),
        ("--facilty=mail", "--facility"),
        ("--daemon", "--daemonize"),
        ("-verbos", "--verbose"),
        ("-dv", "-d -v"),
        ("-i10023", "-i=10023"),
    ],
)
def test_what_was_probably_meant_is_named(argument: str, meant: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_server_parser().parse([argument])
    assert str(refused.value) == f"{argument}: no such option; did you mean {meant}?"


@pytest.mark.parametrize("argument", ["--foo", "--noactoin", "--whitelist", "---", "-=", "--=5", "-x", "-\xb2"])
def test_where_nothing_is_near_nothing_is_named(argument: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_server_parser().parse([argument])
    assert str(refused.value) == f"{argument}: no such option"
