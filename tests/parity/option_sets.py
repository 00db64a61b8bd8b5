# SPDX-License-Identifier: GPL-2.0-or-later
"""The options under which both servers are compared, and the whitelists that belong to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.parity.world import Population
from tests.support.servers import STOCK_CLIENTS, STOCK_RECIPIENTS

# unlike 1.37: no two-number networks, no bad addresses, masks or patterns, no IPv4-mapped addresses, no ::/0,
# no domains with a dot or an @ before them, and no names that are not ASCII.
OWN_CLIENTS = r"""
# A comment, an empty line, white space at both ends.

   white.example	# and its subdomains
UPPER_case.example
/^DIALUP\d+\.isp\.example$/
/(?:^|\.)pool(?:-[a-f\d]{2}){2}\./
/^no-such-name-(?:a|b){2,3}\s*$/
192.0.2.17
198.51.100.0/25
203.0.113
10.0.2
10.1.4.0/22
2001:db8:1::/48
2001:DB8:0:9::/64
2001:db8:2:b::11
two words are no name
"""
# Names that the list knows, and names that only look like it.
OWN_NAMES = (
    *("white.example", "mx.White.Example", "a.b.white.example", "white.example.", "mywhite.example"),
    *("white.example.net", "a.dotted.example", "a..dotted.example", ".dotted.example", "x.upper_CASE.example"),
    *("tr\xe9s.example", "TR\xc9S.example", "dialup17.isp.example", "x.dialup17.isp.example"),
    *("mx.POOL-0a-1F.example", "pool-0a.example"),
)
OWN_RECIPIENTS = r"""
quiet@example.org
role@   # at any domain
white-rcpt.example
first+second@example.org
bob@one@example.org
/^test\d+@/
René@example.org
two words are no address
"""


@dataclass(frozen=True, slots=True)
class OptionSet:
    """A name for messages, the options, and the clients whose traffic suits them.

    `logs_actions` is false where the options keep the action lines out of the log.
    """

    name: str
    options: tuple[str, ...] = ()
    population: Population = field(default=Population())
    logs_actions: bool = True

    def arguments(self, directory: Path) -> tuple[str, ...]:
        """The options as arguments; the own whitelists are written into `directory`."""
        clients, recipients = directory / "own-clients", directory / "own-recipients"
        clients.write_text(OWN_CLIENTS, encoding="latin-1")
        recipients.write_text(OWN_RECIPIENTS, encoding="latin-1")
        return tuple(o.format(own_clients=clients, own_recipients=recipients) for o in self.options)


def stock_population() -> Population:
    """Clients that the stock whitelist lets pass, by name and by address."""
    entries = [line.split("#")[0].strip() for line in STOCK_CLIENTS.read_text().splitlines()]
    numeric = re.compile(r"[\d.]+(/\d+)?|[\da-f:]+(/\d+)?")
    addresses = tuple(first_address(entry) for entry in entries if entry and numeric.fullmatch(entry))
    names = tuple("mail." + entry for entry in entries if re.fullmatch(r"[\w.-]+\.[a-z]+", entry))
    return Population(names=(*names, "Mail17.Telekom.DE", "smtp-7.orange.fr.example"), addresses=addresses)


def first_address(network: str) -> str:
    """An address in a network as the whitelist writes it: with or without mask, or three numbers."""
    address = network.split("/")[0]
    return address + ".1" if address.count(".") == 2 else address


def option_sets() -> list[OptionSet]:
    """All sets; the last three change several things at once."""
    # unlike 1.37: no negative or absurd numbers, and no 0 that 1.37 takes for the default.
    return [
        OptionSet("default"),
        OptionSet("delay", ("--delay=60",)),
        OptionSet("by-host", ("--lookup-by-host",)),
        OptionSet("privacy", ("--privacy",)),
        OptionSet("cidr", ("--ipv4cidr=16", "--ipv6cidr=48")),
        OptionSet("awl-0", ("--auto-whitelist-clients=0",), Population(addresses=("::1",), clients_stay=True)),
        OptionSet("awl-1", ("--auto-whitelist-clients=1",), Population(addresses=("::1",), clients_stay=True)),
        OptionSet("awl-2", ("--auto-whitelist-clients=2",)),
        OptionSet("retry-window", ("--retry-window=6h",)),
        OptionSet("exim", ("--exim",)),
        OptionSet(
            "stock-whitelists",
            (f"--whitelist-clients={STOCK_CLIENTS}", f"--whitelist-recipients={STOCK_RECIPIENTS}"),
            stock_population(),
        ),
        OptionSet(
            "own-whitelists",
            ("--whitelist-clients={own_clients}", "--whitelist-recipients={own_recipients}"),
            Population(names=OWN_NAMES),
        ),
        # unlike 1.37: no placeholder comes twice.
        OptionSet(
            "own-texts",
            (
                "--greylist-action=DEFER",
                "--greylist-text=Come back to %r in %s seconds (100%)",
                "--x-greylist-header=X-Own: %t by postgrey-%v on %h at %d",
                "--hostname=mx.example.org",
            ),
        ),
        OptionSet(
            "text-with-code",
            (
                "--greylist-action=450",
                "--greylist-text=4.7.1 %r is %s away",
                "--retry-window=1",
                "--auto-whitelist-clients",
            ),
        ),
        OptionSet(
            "quiet",
            ("--quiet", "--privacy", "--lookup-by-host", "--auto-whitelist-clients=2"),
            logs_actions=False,
        ),
    ]
