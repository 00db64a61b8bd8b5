# SPDX-License-Identifier: GPL-2.0-or-later
"""What shells are told of a small parser; that real shells complete with it is in commands/test_completion."""

from __future__ import annotations

import argparse
import subprocess

import pytest
from completion import Option, bash_completion, options_of, takes_files, zsh_completion

from postgrey_py.commandline import Parser


def parser(**option: object) -> Parser:
    made = Parser("the-tool", "It does things.")
    made.option("thing", **option)  # type: ignore[arg-type]
    return made


def the_option(**option: object) -> Option:
    (found,) = options_of(parser(**option))
    return found


@pytest.mark.parametrize(
    ("option", "takes_value", "needs_value"),
    [({}, True, True), ({"nargs": "?"}, True, False), ({"action": "store_true"}, False, False)],
)
def test_values_are_needed_possible_or_not_taken(
    option: dict[str, object], takes_value: bool, needs_value: bool
) -> None:
    found = the_option(help="x", **option)
    assert (found.takes_value, found.needs_value) == (takes_value, needs_value)


@pytest.mark.parametrize(
    ("dest", "metavar", "kind"),
    [
        ("dbdir", "PATH", "directory"),
        ("thing", "PATH", "file"),
        ("thing", "FILE", "file"),
        ("thing", "USER", "user"),
        ("thing", "GROUP", "group"),
        ("thing", "N", ""),
    ],
)
def test_the_kind_of_a_value(dest: str, metavar: str, kind: str) -> None:
    assert the_option(dest=dest, metavar=metavar).kind == kind


def test_defaults_are_left_out_of_the_help() -> None:
    assert the_option(help="delay of N %% (default: 300), or so").help == "delay of N %, or so"


def test_hidden_options_are_not_offered() -> None:
    assert options_of(parser(help=argparse.SUPPRESS)) == []


def test_an_option_that_may_come_again_is_offered_again() -> None:
    assert the_option(action="append", default=[]).is_repeatable
    assert not the_option().is_repeatable
    assert "'(--thing)--thing=[x]:THING:'" in zsh_completion(parser(help="x"))
    assert "'*--thing=[x]:THING:'" in zsh_completion(parser(help="x", action="append", default=[]))


def test_zsh_gets_its_special_characters_escaped() -> None:
    text = zsh_completion(parser(help="it's [a]:b\\"))
    assert "[it'\\''s \\[a\\]\\:b\\\\]" in text


def test_words_to_choose_from_are_offered() -> None:
    chosen = parser(choices=["one", "two"])
    assert "compgen -W 'one two'" in bash_completion(chosen)
    assert ":(one two)'" in zsh_completion(chosen)


@pytest.mark.parametrize("dest", ["files", "pattern"])
def test_arguments_are_files_where_they_are_called_so(dest: str) -> None:
    made = parser()
    made.operand(dest, nargs="*")
    assert takes_files(made) is (dest == "files")
    assert ("compgen -f" in bash_completion(made)) is (dest == "files")


@pytest.mark.parametrize("option", [{}, {"choices": ["a"]}, {"metavar": "FILE"}, {"action": "store_true"}])
def test_bash_reads_it(option: dict[str, object]) -> None:
    text = bash_completion(parser(**option))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert "complete -F _the_tool the-tool\n" in text
