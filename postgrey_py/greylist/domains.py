# SPDX-License-Identifier: GPL-2.0-or-later
"""The domains that a client's verified name and a sender belong to, and what the first proves about the second."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from postgrey_py.greylist.address import Address
from postgrey_py.greylist.generic_names import is_generic_name
from postgrey_py.greylist.request import Request

# The name that Postfix gives to a client whose name it could not verify.
UNKNOWN = "unknown"

# The organisational domain of a name, in small letters; None where there is none.
DomainOf: TypeAlias = Callable[[str], "str | None"]


def no_domain(_: str) -> None:
    """Stand for a list of public suffixes where nobody has asked for one: no name is of a domain."""


def client_domain(request: Request, address: Address, domain_of: DomainOf) -> str | None:
    """Return the domain that the client's name proves it to be of; None where it has no name, or a generic one."""
    name = request.client_name
    if name in ("", UNKNOWN):
        return None
    domain = domain_of(name)
    if domain is None or is_generic_name(name, address, domain):
        return None
    return domain


def sender_domain(request: Request, domain_of: DomainOf) -> str | None:
    """Return the organisational domain of the sender; None for bounces, and for a sender without a domain."""
    _, at, domain = request.sender.rpartition("@")
    return domain_of(domain) if at else None


def is_proven(request: Request, address: Address, domain_of: DomainOf) -> bool:
    """Return whether the client is of the sender's domain, so that the sender is not forged by somebody else."""
    domain = client_domain(request, address, domain_of)
    return domain is not None and domain == sender_domain(request, domain_of)
