# SPDX-License-Identifier: GPL-2.0-or-later
"""An explanation of the server -> text for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from postgrey_py.commands.control.show import format_duration, safe
from postgrey_py.greylist.decision import Reason
from postgrey_py.greylist.domains import UNKNOWN

_MEANINGS = {
    Reason.CLIENT_WHITELIST.text: "the client is on a whitelist",
    Reason.RECIPIENT_WHITELIST.text: "the recipient is on a whitelist",
    Reason.SENDER_WHITELIST.text: "the sender is on a whitelist",
    Reason.NOT_GREYLISTED.text: "the recipient is not on the list of those who are greylisted (--greylist-recipients)",
    Reason.NOT_SUSPECT.text: "nothing makes the client a suspect (--only-suspects)",
    Reason.AUTO_WHITELIST.text: "the client is on the auto-whitelist",
    Reason.NEW.text: "this mail is new",
    Reason.EARLY_RETRY.text: "it comes back too early",
    Reason.TRIPLET_FOUND.text: "it has waited long enough",
    Reason.DOMAIN_AUTO_WHITELIST.text: "the client's domain is on the auto-whitelist",
    Reason.DOMAIN_FOUND.text: "a machine of the client's domain has waited long enough",
    Reason.ALLOWED.text: "it is allowed",
    Reason.PAUSED.text: "greylisting is paused",
    Reason.TRAINING.text: "greylisting is in training",
    Reason.UNKNOWN_ADDRESS.text: "the client's address can't be read",
    Reason.ATTRIBUTE_MISSING.text: "something is missing",
}


def show_explanation(one: Mapping[str, Any]) -> str:
    """Return the lines about a decision, and what it was made of."""
    return "".join(f"{line}\n" for line in _lines(one))


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    yield _decision(one)
    if one["passes_from"] is not None:
        begin = "" if one["action"] == "greylist" else "without that it would be deferred; "
        yield (
            f"  {begin}it passes when it is tried again from {_moment(one['passes_from'], one['time'])}"
            f" (in {format_duration(one['wait'])}) until {_moment(one['passes_until'], one['time'])}"
        )
    name = "its name is not verified" if one["client_name"] in ("", UNKNOWN) else safe(one["client_name"])
    yield (
        f"  mail: client {safe(one['client_address'])} ({name}), from {safe(one['sender']) or '<>'},"
        f" to {safe(one['recipient'])}, at {_time(one['time'])}"
    )
    # A server of an earlier version has none.
    if one.get("suspicions"):
        yield f"  suspect: {', '.join(one['suspicions'])}"
    if one["triplet"]["key"]:
        yield f"  triplet {safe(one['triplet']['key'])}: {_triplet(one['triplet'])}"
        yield f"  client {_client(one['client'])}"
    if (domain := one.get("domain")) and domain["name"]:
        seen = "never seen"
        if domain["first_seen"] is not None:
            seen = f"first seen {_time(domain['first_seen'])}, last {_time(domain['last_seen'])}"
        yield f"  domain {safe(domain['name'])}: {seen}"
    yield from (f"  but: {safe(remark)}" for remark in one["remarks"])


def _decision(one: Mapping[str, Any]) -> str:
    """Return what becomes of the mail, by which rule, and where that stands."""
    action = "DEFERRED" if one["action"] == "greylist" else "PASSES"
    meaning = _MEANINGS.get(one["reason"], "")
    detail = f" ({safe(one['detail'])})" if one["detail"] else ""
    text = f"{action}: {meaning}{detail}" if meaning else f"{action}: {one['reason']}{detail}"
    if one["reason"] == Reason.TRIPLET_FOUND.text and one["delay"] is None:
        text = f"{action}: mail of this client, sender and recipient has passed before"
    entry = one["entry"]
    if entry is not None:
        text += f": {safe(entry['file'])} line {entry['line']}: {safe(entry['text']).strip()}"
    return f"{text} [reason={one['reason']}]"


def _triplet(triplet: Mapping[str, Any]) -> str:
    if triplet["first_seen"] is None:
        return "never seen"
    last = "" if triplet["last_seen"] is None else f", last {_time(triplet['last_seen'])}"
    times = f"first seen {_time(triplet['first_seen'])}{last}"
    if triplet["state"] == "lapsed":
        return f"{times}: not tried again within the retry window, so it begins anew"
    return f"{times}: {triplet['state']}"


def _client(client: Mapping[str, Any]) -> str:
    if not client["key"]:
        return "not counted: there is no auto-whitelist"
    key = safe(client["key"])
    if client["passes"] is None:
        return f"{key}: none of its mail has come back yet"
    last = "" if client["last_seen"] is None else f", last counted {_time(client['last_seen'])}"
    trusted = "on the auto-whitelist" if client["trusted"] else "not on the auto-whitelist yet"
    return f"{key}: {trusted}, {client['passes']} passes{last}"


def _moment(seconds: int, now: int) -> str:
    """Return a time, with its day where that is another than that of `now`."""
    local = time.localtime(seconds)
    if time.localtime(now)[:3] == local[:3]:
        return time.strftime("%H:%M:%S", local)
    return time.strftime("%a %d %b %H:%M:%S", local)


def _time(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return str(seconds)
