# SPDX-License-Identifier: GPL-2.0-or-later
"""Decisions and explanations as objects of JSON, for the control protocol and for commands that print the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from postgrey_py.greylist.decision import Decision, StoredRecord
from postgrey_py.greylist.explanation import Explanation
from postgrey_py.greylist.records import Record
from postgrey_py.greylist.request import Request
from postgrey_py.protocol.control import to_wire


def describe_decision(request: Request, decision: Decision, now: int) -> dict[str, Any]:
    """Return a decision for the protocol."""
    return {"time": now or None, **_describe(request, decision)}


def describe_for_log(request: Request, decision: Decision) -> dict[str, Any]:
    """Return every field of a decision, for a line of the log that has its own time."""
    return {
        **_describe(request, decision),
        "instance": None if request.instance is None else to_wire(request.instance),
        "waited": decision.waited,
        "notes": [note.name.lower() for note in decision.notes],
        "triplets": _describe_stored(decision.triplets),
        "clients": _describe_stored(decision.clients),
    }


def _describe_stored(records: Sequence[StoredRecord]) -> dict[str, str]:
    return {to_wire(key.decode("latin-1")): value.decode("ascii") for key, value in records}


def _describe(request: Request, decision: Decision) -> dict[str, Any]:
    entry = decision.entry
    return {
        "action": decision.action.text,
        "reason": decision.reason.text,
        "detail": to_wire(decision.detail),
        "wait": decision.wait,
        "delay": decision.delay,
        "entry": None
        if entry is None
        else {"file": to_wire(entry.file), "line": entry.number, "text": to_wire(entry.text)},
        "client_address": to_wire(request.client_address),
        "client_name": to_wire(request.client_name),
        "sender": to_wire(request.sender),
        "recipient": to_wire(request.recipient),
        "queue_id": to_wire(request.queue_id),
        "suspicions": list(decision.suspicions),
    }


def describe_explanation(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation for the protocol: the decision, and what it was made of."""
    return {
        **describe_decision(explanation.request, explanation.decision, explanation.at),
        "triplet": {
            "key": to_wire(explanation.triplet_key.decode("latin-1")),
            "state": explanation.state,
            "first_seen": _first(explanation.triplet),
            "last_seen": _second(explanation.triplet),
        },
        "client": {
            "key": to_wire(explanation.client_key.decode("latin-1")),
            "passes": _first(explanation.client),
            "last_seen": _second(explanation.client),
            "trusted": explanation.is_trusted,
        },
        "domain": {
            "name": to_wire(explanation.domain),
            "first_seen": _first(explanation.domain_triplet),
            "last_seen": _second(explanation.domain_triplet),
        },
        "passes_from": explanation.passes_from,
        "passes_until": explanation.passes_until,
        "remarks": [to_wire(remark) for remark in explanation.remarks],
    }


def _first(record: Record | None) -> int | None:
    return None if record is None else record[0]


def _second(record: Record | None) -> int | None:
    return None if record is None else record[1]
