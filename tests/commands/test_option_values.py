# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers that options take."""

from __future__ import annotations

import argparse

import pytest

from postgrey_py.commandline import Parser
from postgrey_py.commands.option_values import add_network_sizes, whole_number


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("007", 7), ("10", 10)])
def test_numbers_within_the_limits_are_read(text: str, number: int) -> None:
    assert whole_number(1, 10)(text) == number


@pytest.mark.parametrize("text", ["0", "11", "-1", "+1", "", " 1", "1.0", "1" * 19, "\u0661"])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a whole number from 1 to 10$"):
        whole_number(1, 10)(text)


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ([], (None, None)),
        (["--ipv4cidr=32", "--ipv6cidr=128"], (32, 128)),
        # As the server has it, 0 means the default.
        (["--ipv4cidr=0", "--ipv6cidr=0"], (24, 64)),
        (["--ipv4cidr=1", "--ipv6cidr=1"], (1, 1)),
    ],
)
def test_sizes_of_networks(arguments: list[str], sizes: tuple[int | None, int | None]) -> None:
    parser = Parser("tool", "does something")
    add_network_sizes(parser)
    options = parser.parse_args(arguments)
    assert (options.ipv4cidr, options.ipv6cidr) == sizes
