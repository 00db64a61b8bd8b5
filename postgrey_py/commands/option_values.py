# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several tools have, and values that they take.

What only some options need is imported when they are given: it would double the time that a start takes.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from postgrey_py.commandline import Parser
from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS
from postgrey_py.greylist.settings import Settings

if TYPE_CHECKING:
    from postgrey_py.commands.dns import Nameserver


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a function for argparse that reads a whole number between these two."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def add_nameserver(parser: Parser) -> None:
    """Add --nameserver."""
    parser.option(
        "nameserver",
        type=_nameserver,
        metavar="ADDRESS[:PORT]",
        action="append",
        default=[],
        help="ask this name server instead of those in /etc/resolv.conf; repeatable",
    )


def _nameserver(text: str) -> Nameserver:
    from postgrey_py.commands.dns import parse_nameserver

    return parse_nameserver(text)


def add_network_sizes(parser: Parser) -> None:
    """Add --ipv4cidr and --ipv6cidr, the server's options that say which clients have a key in common.

    Their values are None where they are not given.
    """
    defaults = Settings()
    for kind, bits, default in (("4", IPV4_BITS, defaults.ipv4cidr), ("6", IPV6_BITS, defaults.ipv6cidr)):
        parser.option(
            f"ipv{kind}cidr",
            metavar="N",
            type=_network_size(bits, default),
            help=f"size of an IPv{kind} client's network, as the server has it (default: {default})",
        )


def _network_size(bits: int, default: int) -> Callable[[str], int]:
    read = whole_number(0, bits)
    # As the server has it, 0 means the default.
    return lambda text: read(text) or default
