# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of shell variables: what is read is what a shell sets, and nothing is executed."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postgrey_py.commands.shell_assignments import read_assignments, show_word, split_words


@pytest.mark.parametrize(
    "text",
    [
        "A=1",
        "A=1\n",
        'A="--inet=10023 --delay=10"\n',
        "A='--inet=10023 --delay=10'\n",
        "A=--inet=10023\\ --delay=10\n",
        "# comment\n\n  A=1 # another\n#A=2\n",
        "A=1; B=2\nB=3;A=4",
        "export A=1\n",
        'A="one \\\n two"\n',
        "A=one\\\ntwo\n",
        'A="one\n two"\n',
        'A="a\\"b\\\\c\\d\\$e"\n',
        "A=\"it's\"'\"'so\n",
        "A=1\nA=2\n",
        "A=1\nA+=2\n",
        'A=1\nA="$A --more"\n',
        "B=x\nA=${B}y$B\n",
        "A='$B'\n",
        "A=a#b\n",
        'A="a # b"\n',
        "A=\n",
        'A=""\n',
        "if true; then A=1\nfi\n",
        "echo A=2 >/dev/null\nA=1\n",
        "A=$\n",
        "A='ä €'\n",
    ],
)
def test_what_is_read_is_what_a_shell_sets(text: str) -> None:
    shell = subprocess.run(["bash", "-c", f'{text}\nprintf %s "$A"'], capture_output=True, text=True, check=True)
    found = read_assignments(text, {})
    assert (found.values["A"], found.broken) == (shell.stdout, ())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('A="--delay=$N x"', "--delay=$N x"),
        ("A=--delay=${N}", "--delay=${N}"),
        ('A="${N:-5 6} x"', "${N:-5 6} x"),
        ('A="--hostname=$(hostname -f) --delay=10"', "--hostname=$(hostname -f) --delay=10"),
        ("A=`touch /nowhere` B", "`touch /nowhere`"),
        ('N=$(id)\nA="$N y"', "$(id) y"),
        ("A=$1", "$1"),
    ],
)
def test_what_a_shell_would_have_to_find_out_is_kept_as_it_is(text: str, shown: str) -> None:
    value = read_assignments(text, {}).values["A"]
    assert show_word(value) == shown
    assert value != shown, "marked as unknown"


def test_what_is_unknown_stays_one_word() -> None:
    value = read_assignments('A="a $(b c) d"', {}).values["A"]
    assert [show_word(word) for word in split_words(value)] == ["a", "$(b c)", "d"]


@pytest.mark.parametrize("text", ['A="open', "A='open\nB=1\n", 'B=2\nA=--x"y\n'])
def test_quotes_that_are_not_closed_are_told(text: str) -> None:
    assert "A" in read_assignments(text, {}).broken


def test_variables_may_be_set_before() -> None:
    assert read_assignments('A="$A --more"', {"A": "--inet=1"}).values["A"] == "--inet=1 --more"


def test_a_value_may_have_spaces_without_quotes_as_systemd_has_it() -> None:
    assert read_assignments("A=--inet=1 --delay=10 # so\n", {}).values["A"] == "--inet=1 --delay=10"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("--a --b=1", ["--a", "--b=1"]),
        ("--a='x y' --b", ["--a=x y", "--b"]),
        ("--a=it's --b", ["--a=it's", "--b"]),
    ],
)
def test_words(value: str, words: list[str]) -> None:
    assert split_words(value) == words


@settings(deadline=None, database=None)
@given(st.text("A=$\"'\\#;`(){} \n-x\0", max_size=40))
def test_anything_is_read(text: str) -> None:
    for value in read_assignments(text, {}).values.values():
        assert "\0" not in show_word(value)
        split_words(value)
