# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments of the server -> fields of Settings, as far as commands have a use for them; what is wrong is told.

Other options, and those of other versions, are passed over: it is not for a command to find fault with them. Called by
`server_options`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, TypedDict

from postgrey_py.commands.shell_assignments import UNKNOWN, show_word
from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR
from postgrey_py.greylist.suspicion import SUSPICIONS, USUAL_SUSPICIONS

_NUMBER = re.compile(r"\+?\d{1,9}", re.ASCII)
# How an argument begins that is an option.
OPTION_START = re.compile(r"--?[a-z][\w-]*(?:=|$)", re.ASCII)


class ServerFields(TypedDict, total=False):
    """The fields of Settings that commands read, for what a command says of them; None where it says nothing."""

    auto_whitelist_clients: int | None
    control: str | None
    dbdir: str | None
    delay: int | None
    greylist_action: str | None
    greylist_recipients: list[str] | None
    greylist_text: str | None
    ipv4cidr: int | None
    ipv6cidr: int | None
    lookup_by_domain: bool | None
    lookup_by_host: bool | None
    max_age: int | None
    never_trust_clients: list[str] | None
    only_suspects: list[str] | None
    privacy: bool | None
    retry_window: int | None
    training: bool | None
    whitelist_clients: list[str] | None
    whitelist_recipients: list[str] | None
    whitelist_senders: list[str] | None
    whitelist_unverified_senders: list[str] | None


def read_options(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return fields of Settings that these arguments of the server set, and what was not understood.

    Options that no command has a use for are left out.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or name not in _READERS:
            # Of other options, the value does not matter; in place of an option, there may be any.
            if word.startswith(UNKNOWN):
                problems.append(f"{show_word(word)} is not understood")
            continue
        field, read = _READERS[name]
        if read is None:
            values[field] = name != "lookup-by-subnet"
            continue
        if not equals and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        result = None if UNKNOWN in value else read(value)
        if result is None:
            problems.append(f"--{name}={show_word(value)} is not understood")
        elif result is _DEFAULT:
            values.pop(field, None)
        elif isinstance(result, tuple):
            values[field] = (*values.get(field, ()), *result)
        else:
            values[field] = result
    return values, problems


# What a reader returns for a value that stands for the default; None for one that is wrong.
_DEFAULT = object()


def _text(value: str) -> Any:
    # The server takes an empty one for its default.
    return os.fsencode(value).decode("latin-1") or _DEFAULT


def _path(value: str) -> Any:
    return value or None


def _paths(value: str) -> Any:
    return (value,) if value else None


def _number(value: str) -> Any:
    return int(value) if _NUMBER.fullmatch(value) else None


def _number_or_default(value: str) -> Any:
    number = _number(value)
    return _DEFAULT if number == 0 else number


def _network_size(most: int) -> Any:
    def read(value: str) -> Any:
        number = _number_or_default(value)
        return None if isinstance(number, int) and number > most else number

    return read


def _days(value: str) -> Any:
    number = _number_or_default(value)
    return number * SECONDS_PER_DAY if isinstance(number, int) else number


def _retry_window(value: str) -> Any:
    hours = value[-1:] in ("h", "H")
    number = _number(value[:-1] if hours else value)
    return number if number is None else number * (SECONDS_PER_HOUR if hours else SECONDS_PER_DAY)


def _clients(value: str) -> Any:
    return _number(value) if value else _DEFAULT


def _suspicions(value: str) -> Any:
    names = tuple(value.split(",")) if value else USUAL_SUSPICIONS
    return names if set(names) <= set(SUSPICIONS) else None


# The field that each option sets, and what reads its value; None for those without.
_READERS: dict[str, tuple[str, Any]] = {
    "auto-whitelist-clients": ("auto_whitelist_clients", _clients),
    "control": ("control", _path),
    "dbdir": ("dbdir", _path),
    "delay": ("delay", _number_or_default),
    "greylist-action": ("greylist_action", _text),
    "greylist-recipients": ("greylist_recipients", _paths),
    "greylist-text": ("greylist_text", _text),
    "ipv4cidr": ("ipv4cidr", _network_size(IPV4_BITS)),
    "ipv6cidr": ("ipv6cidr", _network_size(IPV6_BITS)),
    "lookup-by-domain": ("lookup_by_domain", None),
    "lookup-by-host": ("lookup_by_host", None),
    "lookup-by-subnet": ("lookup_by_host", None),
    "max-age": ("max_age", _days),
    "never-trust-clients": ("never_trust_clients", _paths),
    "only-suspects": ("only_suspects", _suspicions),
    "privacy": ("privacy", None),
    "retry-window": ("retry_window", _retry_window),
    "training": ("training", None),
    "whitelist-clients": ("whitelist_clients", _paths),
    "whitelist-recipients": ("whitelist_recipients", _paths),
    "whitelist-senders": ("whitelist_senders", _paths),
    "whitelist-unverified-senders": ("whitelist_unverified_senders", _paths),
}


READ_FIELDS = frozenset(field for field, _ in _READERS.values())
