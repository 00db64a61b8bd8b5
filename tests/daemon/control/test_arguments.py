# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.daemon.control.arguments import MOST, NoArguments, read_arguments
from postgrey_py.errors import ControlError


@dataclass(frozen=True, slots=True)
class Example:
    number: int
    text: str = ""
    flag: bool = False
    maybe: int | None = None


def test_arguments_are_read_by_name() -> None:
    assert read_arguments(Example, {"number": 7}) == Example(7)
    given_all = {"number": 0, "text": "a", "flag": True, "maybe": None}
    assert read_arguments(Example, given_all) == Example(0, "a", True, None)
    assert read_arguments(NoArguments, {}) == NoArguments()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "the argument number is missing"),
        ({"number": 1, "other": 2}, 'there is no argument "other"; known: flag, maybe, number, text'),
        ({"number": "1"}, 'the argument number is a whole number, not "1"'),
        ({"number": 1.0}, "the argument number is a whole number, not 1.0"),
        ({"number": True}, "the argument number is a whole number, not true"),
        ({"number": -1}, "the argument number is a whole number, not -1"),
        ({"number": MOST + 1}, "the argument number is a whole number"),
        ({"number": None}, "the argument number is a whole number, not null"),
        ({"number": 1, "text": None}, "the argument text is a text, not null"),
        ({"number": 1, "text": ["a"]}, "the argument text is a text"),
        ({"number": 1, "flag": 1}, "the argument flag is true or false, not 1"),
        ({"number": 1, "maybe": "x"}, "the argument maybe is a whole number or null"),
        ({"number": 1, "text": 7 * 10**90}, "the argument text is a text"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ControlError) as caught:
        read_arguments(Example, arguments)
    assert caught.value.code == "bad-argument"
    assert str(caught.value).startswith(message)


@given(st.dictionaries(st.text() | st.sampled_from(["number", "text"]), st.none() | st.text() | st.floats()))
def test_nothing_else_is_raised(arguments: dict[str, object]) -> None:
    with pytest.raises(ControlError):
        read_arguments(Example, arguments)
