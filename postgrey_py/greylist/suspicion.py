# SPDX-License-Identifier: GPL-2.0-or-later
"""Suspicions about a client, by nothing but what its request says: for sites that greylist suspects only."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection

from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.domains import UNKNOWN, DomainOf
from postgrey_py.greylist.generic_names import is_generic_name
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.request import Request


class Suspicion(enum.Enum):
    """A reason to greylist a client. The value is its name in --only-suspects, and in the log."""

    NO_NAME = "no-name"
    GENERIC_NAME = "generic-name"
    HELO = "helo"
    NULL_SENDER = "null-sender"


SUSPICIONS = tuple(one.value for one in Suspicion)
# Bounces come from servers as good as others.
USUAL_SUSPICIONS = tuple(one for one in SUSPICIONS if one != Suspicion.NULL_SENDER.value)

# What no mail server is called by others.
_LOCAL = re.compile(r"localhost(?:\.localdomain\d*)?|.*\.localdomain|.*\.localhost")


def find_suspicions(
    request: Request, address: Address, wanted: Collection[str], domain_of: DomainOf, own_name: str
) -> tuple[str, ...]:
    """Return which of the suspicions `wanted` there are about this client, in the order of Suspicion.

    `own_name` is that of this host.
    """
    name = request.client_name
    has_name = name not in ("", UNKNOWN)
    found = []
    for suspicion in Suspicion:
        if suspicion.value not in wanted:
            continue
        if suspicion is Suspicion.NO_NAME:
            is_suspect = not has_name
        elif suspicion is Suspicion.GENERIC_NAME:
            is_suspect = has_name and is_generic_name(name, address, domain_of(name))
        elif suspicion is Suspicion.HELO:
            is_suspect = is_strange_helo(request.helo_name, own_name)
        else:
            is_suspect = not request.sender
        if is_suspect:
            found.append(suspicion.value)
    return tuple(found)


def is_strange_helo(helo: str, own_name: str) -> bool:
    """Return whether no mail server should call itself that: an address, a name without a dot, or that of this host.

    One that is not known, since the mail server does not tell it, is not strange.
    """
    if not helo:
        return False
    name = ascii_lower(helo).rstrip(".")
    if name.startswith("[") or parse_address(name) is not None:
        return True
    return "." not in name or _LOCAL.fullmatch(name) is not None or name == ascii_lower(own_name).rstrip(".")
