# SPDX-License-Identifier: GPL-2.0-or-later
"""The attributes of one policy request, checked and typed.

Attribute values are Latin-1 strings: one character is one byte that Postfix sent, whatever its encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from postgrey_py.errors import PostgreyError

# 1.37: values are cut here.
MAX_VALUE_CHARACTERS = 512

# For `latest_test_time`: as late as a number can be that is read at all, and no time at all.
_TIME_DIGITS = 15
ANY_TIME = 10**_TIME_DIGITS
NO_TIME = -1

# 1.37: checked in this order; the first one missing is named in the log.
NEEDED = ("client_address", "client_name", "recipient", "sender")


class MissingAttributeError(PostgreyError):
    """A request lacks an attribute without which nothing can be decided."""


class Request(NamedTuple):
    """What a decision looks at. A tuple because one is made for every request, thousands a second.

    `instance` is None when the mail server does not tell messages apart (Exim); `test_time`, seconds, replaces
    the clock for this request; `knows_etrn` is true for Postfix 2.3 and later.
    """

    client_address: str
    client_name: str
    sender: str
    recipient: str
    queue_id: str
    instance: str | None
    knows_etrn: bool
    test_time: int | None


def make_request(attributes: Mapping[str, str], latest_test_time: int = ANY_TIME) -> Request:
    """The request with these attributes (names and values of the policy delegation protocol).

    A `policy_test_time` that is not a number, or later than `latest_test_time`, counts as absent (`bad_test_time`
    tells). Raises MissingAttributeError, whose text is the line for the log.
    """
    get = attributes.get
    client_address, client_name = get("client_address"), get("client_name")
    recipient, sender = get("recipient"), get("sender")
    if client_address is None or client_name is None or recipient is None or sender is None:
        missing = next(name for name in NEEDED if name not in attributes)
        raise MissingAttributeError(f"attribute missing: {missing}")
    test_time = get("policy_test_time")
    cut = MAX_VALUE_CHARACTERS
    instance = get("instance")
    return Request(
        client_address[:cut],
        client_name[:cut],
        sender[:cut],
        recipient[:cut],
        get("queue_id", "")[:cut],
        None if instance is None else instance[:cut],
        "etrn_domain" in attributes,
        None if test_time is None or not is_time(test_time, latest_test_time) else int(test_time),
    )


def is_time(text: str, latest: int = ANY_TIME) -> bool:
    """Whether this is a number of seconds that fits a clock, and is not later than `latest`."""
    return text.isascii() and text.isdigit() and len(text) <= _TIME_DIGITS and int(text) <= latest


def bad_test_time(attributes: Mapping[str, str], latest: int = ANY_TIME) -> str | None:
    """The `policy_test_time` of this request when it is none that counts, to be logged as garbage; else None."""
    test_time = attributes.get("policy_test_time")
    return None if test_time is None or is_time(test_time, latest) else test_time
