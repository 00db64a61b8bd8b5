# SPDX-License-Identifier: GPL-2.0-or-later
"""A policy request: its attributes by name, checked and typed, however it was read.

Attribute values are Latin-1 strings: one character is one byte that Postfix sent, whatever its encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# The only type of request there is.
REQUEST_TYPE = "smtpd_access_policy"

# 1.37: values are cut here.
MAX_VALUE_CHARACTERS = 512

MAX_LOGGED_GARBAGE = 100

# Digits of the largest time that is read at all.
_TIME_DIGITS = 15

# Who sends this, with any value, wants no decision: whether the database answers, see `texts.probe_answer`.
PROBE = "postgrey_probe"

# 1.37: checked in this order; the first one missing is named in the log.
NEEDED = ("client_address", "client_name", "recipient", "sender")


class Flaws(NamedTuple):
    """The faults of a request.

    They are its type where it is another than REQUEST_TYPE, the first attribute that is missing, and lines that are
    none, each cut for the log.
    """

    type: str | None
    missing: str | None
    garbage: Sequence[str]


class Request(NamedTuple):
    """The attributes that decide. A tuple because one is made for every request, thousands a second.

    `instance` is None when the mail server does not tell messages apart (Exim); `helo_name` is empty where it does not
    tell that; `knows_etrn` is true for Postfix 2.3
    and later; `test_time`, seconds, replaces the clock for this request. `flaws` is None for one without any.
    `is_probe` tells that it is about no mail.
    """

    client_address: str
    client_name: str
    sender: str
    recipient: str
    queue_id: str
    instance: str | None
    helo_name: str = ""
    knows_etrn: bool = True
    test_time: int | None = None
    flaws: Flaws | None = None
    is_probe: bool = False


# The attributes that are fields as they stand.
TEXT_FIELDS = Request._fields[: Request._fields.index("helo_name") + 1]


def read_request(attributes: Mapping[str, str], garbage: Sequence[str] = ()) -> Request:
    """Return the request with these attributes, and these lines that are none. Never raises.

    A needed attribute that is missing is empty, and named in the flaws. A `policy_test_time` that is not a number of
    seconds is garbage.
    """
    time = attributes.get("policy_test_time")
    test_time = None
    if time is not None:
        if _is_time(time):
            test_time = int(time)
        else:
            garbage = [*garbage, f"policy_test_time={time}"[:MAX_LOGGED_GARBAGE]]
    kind = attributes.get("request", "")
    missing = next((name for name in NEEDED if name not in attributes), None)
    flaws = None
    if garbage or missing is not None or kind != REQUEST_TYPE:
        flaws = Flaws(None if kind == REQUEST_TYPE else kind[:MAX_VALUE_CHARACTERS], missing, garbage)

    def text(name: str) -> str:
        return attributes.get(name, "")[:MAX_VALUE_CHARACTERS]

    return Request(
        client_address=text("client_address"),
        client_name=text("client_name"),
        sender=text("sender"),
        recipient=text("recipient"),
        queue_id=text("queue_id"),
        instance=text("instance") if "instance" in attributes else None,
        helo_name=text("helo_name"),
        knows_etrn="etrn_domain" in attributes,
        test_time=test_time,
        flaws=flaws,
        is_probe=PROBE in attributes,
    )


def request_about(client: str, name: str, helo: str, sender: str, recipient: str) -> Request:
    """Return the request that a mail server would send about this mail; `name` is the client's verified one."""
    return read_request(
        {
            "request": REQUEST_TYPE,
            "client_address": client,
            "client_name": name,
            "helo_name": helo,
            "sender": sender,
            "recipient": recipient,
        }
    )


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _TIME_DIGITS
