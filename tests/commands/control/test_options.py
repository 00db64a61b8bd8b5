# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import argparse

import pytest

from postgrey_py.commands.control.options import SUBCOMMANDS, Options, make_options, make_parser, read_duration
from postgrey_py.errors import UsageError


def parse(*arguments: str) -> Options:
    given = make_parser().parse(arguments)
    for name in ("help", "man", "version"):
        given.pop(name)
    return make_options(**given)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172800), ("1w", 604800), ("1h30m", 5400)]
)
def test_duration(text: str, seconds: int) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "m", "-5m", "1.5h", "15 m", "15M", "1y", "m15", "9999999s", "\u0661m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no time such as"):
        read_duration(text)


def test_options_may_stand_on_either_side_of_the_command() -> None:
    assert parse("--for=15m", "allow", "--sender=example.com") == parse("allow", "--sender", "example.com", "--for=15m")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing: no such command; known: allow, "),
        (["stop"], "stop: no such command"),
        (["status", "now"], "status is followed by nothing, not by now"),
        (["disallow"], "disallow is followed by ID, not by nothing"),
        (["disallow", "1", "2"], "disallow is followed by ID, not by 1 2"),
        (["status", "--for=1h"], "--for: status has no such option"),
        (["watch", "--once"], "--once: watch has no such option"),
        (["pause", "--sender=a"], "--sender: pause has no such option"),
    ],
)
def test_what_does_not_fit_the_command_is_told(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    assert str(caught.value).startswith(message)


def test_help_names_each_command() -> None:
    text = make_parser().format_help()
    for name, command in SUBCOMMANDS.items():
        assert f"  {name:10} {command.help}\n" in text
