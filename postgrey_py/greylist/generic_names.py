# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that a provider gives to addresses by a scheme, and that say nothing of who sends: `c-73-12-34-56.example.net`.

Machines of customers have such names, and bots among them share a domain with everybody else there. A name is generic
if it has the client's address in it: in decimal, with any sign between the numbers or padded to three digits without
one, in order or backwards; in hexadecimal; of IPv6, a part that can't be chance. So it is with the half of an IPv4
address, or a word for the lines of customers beside a number, unless the name says that it is of a mail server, as
large senders number theirs; for these, only what stands before the domain that somebody has registered counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from postgrey_py.greylist.address import IPV4_BITS, Address
from postgrey_py.greylist.lowercase import ascii_lower

# What providers call the lines of their customers, the machines that they let, and addresses that change.
_LINES = [
    "dyn",
    "dynamic",
    "dynamicip",
    "dynip",
    "dsl",
    "adsl",
    "vdsl",
    "xdsl",
    "sdsl",
    "dslb",
    "dial",
    "dialup",
    "ppp",
    "pppoe",
    "dhcp",
    "cable",
    "cpe",
    "cpc",
    "pool",
    "pools",
    "broadband",
    "broad",
    "bband",
    "fiber",
    "fibre",
    "ftth",
    "fttx",
    "gpon",
    "catv",
    "hfc",
    "wimax",
    "wifi",
    "wlan",
    "lte",
    "mobile",
    "gprs",
    "umts",
    "nat",
    "cgn",
    "res",
    "resnet",
    "residential",
    "home",
    "user",
    "users",
    "cust",
    "customer",
    "customers",
    "client",
    "clients",
    "subscriber",
    "abo",
    "rev",
    "reverse",
    "unassigned",
    "unused",
    "unknown",
    "bb",
    "hsd",
    "hsi",
    "hsia",
    "fios",
]
_LINE_WORDS = re.compile(rf"(?<![a-z])(?:{'|'.join(sorted(_LINES, key=len, reverse=True))})(?![a-z])")
# Words that are so much longer than others that they mean a line within a longer word, too.
_LINE_PARTS = re.compile(
    r"dynamic|dialup|pppoe|dhcp|[axvs]dsl|(?<![a-z])dsl[a-z]|[a-z]dsl(?![a-z])|broadband|ipngn|ipoe|ipbf"
)

# How mail servers are called, or begin.
_MAIL_WORDS = re.compile(
    r"(?<![a-z])(?:e?mail|mails|mailer|mailout|mailgw|mx|mta|vmta|smtp|esmtp|smtpout|out|outbound|outgoing|relay|relays|"
    r"mxout|send|sender|sendmail|newsletter|news|bounce|bounces|mg|msg|gateway|postfix|exim|exchange|delivery|mailhost|"
    r"mout|mo|mailing|spmta|pmta|smarthost|webmail|imap|pop3?)(?![a-z])"
)

# Somebody whose business is mail has such a domain.
_MAIL_DOMAIN = re.compile(r"mail|smtp|send|mta|newsletter")

_NUMBER = re.compile(r"\d+")
# Between the numbers of an address that belong together.
_SIGN = re.compile(r"[._x-]{1,2}")
_WORD = re.compile(r"[0-9a-z]+")
# Before a hexadecimal address.
_PREFIX = re.compile(r"0x|[a-z]{0,4}")

# So much of a hexadecimal IPv6 address is no chance.
_CHANCELESS_NIBBLES = 10
_CHANCELESS_GROUPS = 3


def is_generic_name(name: str, address: Address, domain: str | None = None) -> bool:
    """Return whether a client's verified name is of the kind that its provider makes of the client's address.

    `domain` is the organisational domain of the name; without it, that is taken to be the last two labels.
    """
    lowered = ascii_lower(name)
    # Some register a domain for each address, or let others have a name below a public suffix: so in all of it.
    if _has_address(lowered, address):
        return True
    host = _host_part(lowered, domain)
    if _MAIL_WORDS.search(host) or _MAIL_DOMAIN.search(lowered[len(host) :]):
        return False
    return _has_half(host, lowered, address) or (
        _NUMBER.search(host) is not None and bool(_LINE_WORDS.search(host) or _LINE_PARTS.search(host))
    )


def _host_part(name: str, domain: str | None) -> str:
    """Return what stands before the organisational domain."""
    name = name.rstrip(".")
    if domain is not None:
        return name.removesuffix(domain).rstrip(".") if f".{name}".endswith(f".{domain}") else name
    return ".".join(name.split(".")[:-2])


def _has_address(name: str, address: Address) -> bool:
    """Return whether the whole address is in there; of IPv6, so much of it that it can't be chance."""
    if address.bits != IPV4_BITS:
        return _has_ipv6(name, address)
    octets = _octets(address)
    first, second, third, fourth = octets
    # As it is; backwards; the network first or last, as in `host34.ip-51-77-12` and `12.34-56-78`.
    orders = (
        octets,
        octets[::-1],
        [fourth, first, second, third],
        [fourth, third, first, second],
        [third, fourth, first, second],
    )
    runs = _NUMBER.findall(name)
    numbers = [int(run) for run in runs if len(run) <= 3]
    if len(numbers) >= len(octets) and any(_follow(order, numbers) for order in orders):
        return True
    padded = {"".join(f"{number:03}" for number in order) for order in (octets, octets[::-1])}
    if not padded.isdisjoint(runs):
        return True
    hexadecimal = {"".join(f"{number:02x}" for number in order) for order in (octets, octets[::-1])}
    return any(word[-8:] in hexadecimal and _PREFIX.fullmatch(word[:-8]) for word in _WORD.findall(name))


def _octets(address: Address) -> list[int]:
    return list(address.value.to_bytes(4, "big"))


def _follow(wanted: Sequence[object], found: Sequence[object]) -> bool:
    """Return whether the first sequence is a part of the second."""
    length = len(wanted)
    return any(found[start : start + length] == wanted for start in range(len(found) - length + 1))


def _has_half(host: str, name: str, address: Address) -> bool:
    """Return whether the last two numbers of an IPv4 address are in the host part, or the first three in the name."""
    if address.bits != IPV4_BITS:
        return False
    first, second, third, fourth = _octets(address)
    pairs = ([third, fourth], [fourth, third])
    triples = ([first, second, third], [third, second, first])
    return any(
        _follow(numbers, group)
        for text, some in ((host, pairs), (name, triples))
        for group in _number_groups(text)
        for numbers in some
    )


def _number_groups(text: str) -> Iterator[list[int]]:
    """Yield numbers that stand side by side, with nothing but signs between them."""
    group: list[int] = []
    end = 0
    for match in _NUMBER.finditer(text):
        if len(match[0]) > 3 or (group and not _SIGN.fullmatch(text, end, match.start())):
            yield group
            group = []
        if len(match[0]) <= 3:
            group.append(int(match[0]))
        end = match.end()
    yield group


def _has_ipv6(name: str, address: Address) -> bool:
    digits = f"{address.value:032x}"
    squeezed = re.sub(r"[._x-]", "", name)
    for text in (digits, digits[::-1]):
        for start in range(len(text) - _CHANCELESS_NIBBLES + 1):
            part = text[start : start + _CHANCELESS_NIBBLES]
            # Not of zeros alone, or nearly so.
            if len(set(part)) > 2 and part in squeezed:
                return True
    groups = [f"{int(digits[start : start + 4], 16):x}" for start in range(0, 32, 4)]
    words = [word.lstrip("0") or "0" for word in _WORD.findall(name)]
    for start in range(len(groups) - _CHANCELESS_GROUPS + 1):
        some = groups[start : start + _CHANCELESS_GROUPS]
        if len("".join(some).strip("0")) > _CHANCELESS_GROUPS and _follow(some, words):
            return True
    return False
