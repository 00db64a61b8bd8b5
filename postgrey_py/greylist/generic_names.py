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
from collections.abc import Iterator

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
# Numbers of an address as they stand in a name: up to three signs in between.
_BETWEEN = r"[._x-]{1,2}"

# So many characters of a hexadecimal IPv6 address are no chance.
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


def _has_address(host: str, address: Address) -> bool:
    """Return whether the whole address is in there; of IPv6, so much of it that it can't be chance."""
    if address.bits == IPV4_BITS:
        return any(re.search(pattern, host) for pattern in _whole_forms(_octets(address)))
    return _has_ipv6(host, address)


def _octets(address: Address) -> list[int]:
    return list(address.value.to_bytes(4, "big"))


def _whole_forms(octets: list[int]) -> Iterator[str]:
    """Yield patterns for each form of an IPv4 address."""
    first, second, third, fourth = octets
    # As it is; backwards; the network first or last, as in `host34.ip-51-77-12` and `12.34-56-78`.
    orders = (octets, octets[::-1], [fourth, first, second, third], [fourth, third, first, second])
    for order in (*orders, [third, fourth, first, second]):
        numbers = [rf"0{{0,2}}{number}" for number in order]
        yield rf"(?<!\d){_joined(numbers)}(?!\d)"
    for order in (octets, octets[::-1]):
        yield rf"(?<!\d){''.join(f'{number:03}' for number in order)}(?!\d)"
        # Behind a few letters at most, which may be digits of a number as well.
        yield rf"(?<![0-9a-z])(?:0x|[a-z]{{0,4}}){''.join(f'{number:02x}' for number in order)}(?![0-9a-f])"


def _joined(numbers: list[str]) -> str:
    """Return a pattern for these numbers, one after the other, with signs and in one place words between them."""
    a, b, c, d = numbers
    inner = _BETWEEN
    # Words may stand between one number and the other three, or between both halves.
    words = r"[._x-][a-z][a-z0-9._-]{0,40}?[a-z._-]"
    three = f"{b}{inner}{c}{inner}{d}"
    return (
        f"(?:{a}(?:{inner}|{words}){three}|{a}{inner}{b}(?:{inner}|{words}){c}{inner}{d}"
        f"|{a}{inner}{b}{inner}{c}(?:{inner}|{words}){d})"
    )


def _has_half(host: str, name: str, address: Address) -> bool:
    """Return whether the last two numbers of an IPv4 address are in the host part, or the first three in the name."""
    if address.bits != IPV4_BITS:
        return False
    first, second, third, fourth = _octets(address)
    pairs = ((third, fourth), (fourth, third))
    triples = ((first, second, third), (third, second, first))
    return any(
        re.search(rf"(?<!\d){_BETWEEN.join(rf'0{{0,2}}{number}' for number in numbers)}(?!\d)", text)
        for text, some in ((host, pairs), (name, triples))
        for numbers in some
    )


def _has_ipv6(host: str, address: Address) -> bool:
    digits = f"{address.value:032x}"
    squeezed = re.sub(r"[._x-]", "", host)
    for text in (digits, digits[::-1]):
        for start in range(len(text) - _CHANCELESS_NIBBLES + 1):
            part = text[start : start + _CHANCELESS_NIBBLES]
            # Not of zeros alone, or nearly so.
            if len(set(part)) > 2 and part in squeezed:
                return True
    groups = [f"{int(digits[start : start + 4], 16):x}" for start in range(0, 32, 4)]
    for start in range(len(groups) - _CHANCELESS_GROUPS + 1):
        some = groups[start : start + _CHANCELESS_GROUPS]
        if len("".join(some).strip("0")) > _CHANCELESS_GROUPS and re.search(
            rf"(?<![0-9a-f]){_BETWEEN.join(rf'0{{0,3}}{group}' for group in some)}(?![0-9a-f])", host
        ):
            return True
    return False
