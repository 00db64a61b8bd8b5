# SPDX-License-Identifier: GPL-2.0-or-later
"""List entries that look as if they meant a mail, and do not: which, and why.

Asked only where somebody wants a decision explained. The texts are for people.
"""

from __future__ import annotations

from collections.abc import Iterator

from postgrey_py.greylist.address import IPV4_BITS, Address
from postgrey_py.greylist.domains import UNKNOWN
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.whitelists import AnyList, Whitelists

# Of each kind of remark.
MOST = 3

# Addresses that share so many bits are neighbours.
_NEAR_BITS = {IPV4_BITS: 24}
_NEAR_BITS_IPV6 = 48

# A domain of two labels whose first one is shorter is taken for one under which anybody may have a name: co.uk.
_SHORTEST_DOMAIN = 4


def find_near_misses(request: Request, address: Address, helo: str, whitelists: Whitelists) -> tuple[str, ...]:
    """Return remarks on entries of the lists that nearly match this mail, which no list lets through.

    `helo` is what the client calls itself, empty where that is not known.
    """
    return tuple(
        dict.fromkeys(
            (
                *_find_unverified_names(request, address, helo, whitelists),
                *_find_wrong_lists(request, address, whitelists),
                *_find_related_names(request, whitelists),
                *_find_neighbours(address, whitelists),
                *_find_unused_lines(request, address, helo, whitelists),
            )
        )
    )


def _find_unverified_names(request: Request, address: Address, helo: str, lists: Whitelists) -> Iterator[str]:
    """Yield the entry for the name that the client gives itself."""
    name = request.client_name
    if not helo or ascii_lower(helo) == ascii_lower(name):
        return
    # No network matches the address, so that only the name can.
    line = lists.client.match(helo, address)
    if line is None:
        return
    if name in ("", UNKNOWN):
        yield f"{helo} is listed{_at(line)}, but Postfix could not verify the name: client_name={UNKNOWN}"
    else:
        yield f"{helo} is listed{_at(line)}, but that is what the client calls itself; its verified name is {name}"


def _find_wrong_lists(request: Request, address: Address, lists: Whitelists) -> Iterator[str]:
    """Yield entries of a list that is about something else."""
    for word, value in (("sender", request.sender), ("recipient", request.recipient)):
        domain = value.rpartition("@")[2]
        line = lists.client.match(domain, address) if domain else None
        if line is not None:
            yield (
                f"{domain} is listed{_at(line)}, but this is the domain of the {word}, and the list is about clients:"
                " the hosts that connect"
            )
    line = lists.recipient.match(request.sender) if request.sender else None
    if line is not None:
        yield f"{request.sender} is listed{_at(line)}, but this is the sender, and the list is about recipients"
    name = request.client_name
    line = lists.recipient.match(f"postmaster@{name}") if name not in ("", UNKNOWN) else None
    if line is not None and "@" not in line.entry():
        yield f"{name} is listed{_at(line)}, but this is the client, and the list is about recipients"


def _find_related_names(request: Request, lists: Whitelists) -> Iterator[str]:
    """Yield entries for names below that of the client or the recipient's domain, and beside it."""
    recipient_domain = request.recipient.rpartition("@")[2]
    for word, value, listed_names in (
        ("client", request.client_name, lists.client.names()),
        ("recipient's domain", recipient_domain, lists.recipient.names()),
    ):
        name = ascii_lower(value)
        if name in ("", UNKNOWN):
            continue
        names = list(listed_names)
        below = [(listed, line) for listed, line in names if listed.endswith(f".{name}")]
        for listed, line in below[:MOST]:
            yield f"{listed} is listed{_at(line)}, but not what is above it, such as the {word} {value}"
        parent = name.partition(".")[2]
        if below or not _is_somebodys(parent):
            continue
        beside = [(listed, line) for listed, line in names if listed.endswith(f".{parent}")]
        for listed, line in beside[:MOST]:
            yield f"{listed} is listed{_at(line)}, and the {word} is {value}: {parent} would mean both"


def _is_somebodys(domain: str) -> bool:
    """Whether all names below this one probably belong to one owner."""
    first, dot, rest = domain.partition(".")
    return bool(dot) and ("." in rest or len(first) >= _SHORTEST_DOMAIN)


def _find_neighbours(address: Address, lists: Whitelists) -> Iterator[str]:
    """Yield entries for addresses near that of the client."""
    shift = address.bits - _NEAR_BITS.get(address.bits, _NEAR_BITS_IPV6)
    near = [
        line
        for value, length, line in lists.client.networks(address.bits)
        if (value << (address.bits - length)) >> shift == address.value >> shift
    ]
    for line in near[:MOST]:
        yield f"{line.entry()} is listed{_at(line)}, which is near {address.text()}, but does not contain it"


def _find_unused_lines(request: Request, address: Address, helo: str, lists: Whitelists) -> Iterator[str]:
    """Yield the remarks on lines that are not in force and name what this mail has."""
    domains = (request.sender.rpartition("@")[2], request.recipient.rpartition("@")[2])
    near = address.network(_NEAR_BITS.get(address.bits, _NEAR_BITS_IPV6))
    wanted = {
        ascii_lower(value)
        for value in (request.client_name, address.text(), helo, request.sender, request.recipient, near, *domains)
        if value not in ("", UNKNOWN)
    }
    all_lists: tuple[AnyList, ...] = (lists.client, lists.recipient)
    for one in all_lists:
        unused = [remark.text for remark in one.remarks if not remark.is_in_force]
        yield from [text for text in unused if any(value in ascii_lower(text) for value in wanted)][:MOST]


def _at(line: Line) -> str:
    return f" ({line.place()})"
