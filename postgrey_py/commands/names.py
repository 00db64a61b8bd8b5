# SPDX-License-Identifier: GPL-2.0-or-later
"""The options about names that several tools have, and the names of addresses as these options want them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from postgrey_py.commandline import Parser
from postgrey_py.commands.dns import Nameserver, Resolver
from postgrey_py.commands.option_values import add_nameserver
from postgrey_py.commands.progress import ProgressBar
from postgrey_py.greylist.address import Address, parse_address

HOSTS = Path("/etc/hosts")


def add_name_options(parser: Parser) -> None:
    """Add --nameserver and --no-resolve."""
    add_nameserver(parser)
    parser.option("no-resolve", action="store_true", help="do not look names up")


def names_of(
    addresses: Collection[str], nameservers: Sequence[Nameserver], is_resolving: bool, tool: str
) -> dict[str, str]:
    """The reverse names of those addresses that have one; of none unless `is_resolving`. Raises PostgreyError.

    Standard error shows how far it is, and gets a line of this `tool` when no name server answers.
    """
    if nameservers and not is_resolving:
        print(f"{tool}: --nameserver has no effect with --no-resolve", file=sys.stderr)
    if not is_resolving or not addresses:
        return {}
    names = _look_up_hosts(addresses)
    resolver = Resolver(nameservers)
    with ProgressBar("looking up names") as bar:
        names |= resolver.names_of([address for address in addresses if address not in names], bar.show)
    if resolver.is_given_up:
        print(f"{tool}: no name server answers: addresses are shown instead of names", file=sys.stderr)
    return names


def _look_up_hosts(addresses: Collection[str]) -> dict[str, str]:
    """The names of those addresses that /etc/hosts has; where it can't be read, of none."""
    names: dict[Address | None, str] = {}
    with contextlib.suppress(OSError):
        for line in HOSTS.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.partition("#")[0].split()
            if len(fields) > 1:
                names.setdefault(parse_address(fields[0]), fields[1])
    names.pop(None, None)
    known = ((address, names.get(parse_address(address))) for address in addresses)
    return {address: name for address, name in known if name is not None}
