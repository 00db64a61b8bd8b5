# SPDX-License-Identifier: GPL-2.0-or-later
"""The options about names that several tools have, and the names of addresses as these options want them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection

from postgrey_py.commandline import Parser
from postgrey_py.tools.dns import Resolver, nameserver
from postgrey_py.tools.progress import ProgressBar


def add_name_options(parser: Parser) -> None:
    """Add --nameserver and --no-resolve."""
    parser.option(
        "nameserver",
        type=nameserver,
        metavar="ADDRESS[:PORT]",
        action="append",
        default=[],
        help="ask this name server instead of those in /etc/resolv.conf; repeatable",
    )
    parser.option("no-resolve", action="store_true", help="do not look names up")


def names_of(addresses: Collection[str], options: argparse.Namespace, tool: str) -> dict[str, str]:
    """The reverse names of those addresses that have one, none at all with --no-resolve. Raises PostgreyError.

    Standard error shows how far it is, and gets a line of this `tool` when no name server answers.
    """
    if options.no_resolve or not addresses:
        return {}
    resolver = Resolver(options.nameserver)
    with ProgressBar("looking up names") as bar:
        names = resolver.names_of(addresses, bar.show)
    if resolver.is_given_up:
        print(f"{tool}: no name server answers: addresses are shown instead of names", file=sys.stderr)
    return names
