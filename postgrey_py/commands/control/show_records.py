# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of the server -> text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postgrey_py.commands.control.show import format_duration, safe
from postgrey_py.greylist.overrides import format_time
from postgrey_py.greylist.plural import counted


def show_triplet(one: Mapping[str, Any]) -> str:
    """Return a line about a triplet that waits, or has passed."""
    if one["client"] is None:
        whom = safe(one["key"])
    else:
        whom = f"{safe(one['client'])}, from {safe(one['sender']) or '<>'}, to {safe(one['recipient'])}"
    wait = f"passes in {format_duration(one['wait'])}" if one["wait"] else "passes at its next try"
    return f"{format_time(one['first_seen'])}: {whom}: {wait}\n"


def show_client(one: Mapping[str, Any]) -> str:
    """Return a line about a client."""
    last = f", last counted {format_time(one['last_seen'])}" if one["last_seen"] else ""
    return f"{safe(one['client'])}: {one['passes']} passes{last}\n"


def count_changes(result: Mapping[str, Any]) -> int:
    """Return how many records a change is about."""
    return int(result["triplets"]) + int(result.get("clients", 0))


def show_changes(result: Mapping[str, Any]) -> str:
    """Return how many records a change is about, and the first of them."""
    if not count_changes(result):
        return "nothing of that kind is known\n"
    counts = [counted(result[name], name) for name in ("triplets", "clients") if result.get(name)]
    first = result["first"]
    shown = show_client(first) if "passes" in first else show_triplet(first)
    return f"{' and '.join(counts)}; the first: {shown}"


def show_import(result: Mapping[str, Any]) -> str:
    """Return what became of imported records."""
    return (
        f"{result['added']} added, {result['changed']} changed by what was new in them, {result['same']} known already,"
        f" {result['old']} passed over: the next clean-up would remove them\n"
    )
