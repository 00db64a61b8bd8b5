# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json

from postgrey_py.greylist.decision import Action, Decision, Reason
from postgrey_py.greylist.explanation import PENDING, Explanation
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.request import Request
from postgrey_py.protocol.descriptions import describe_decision, describe_explanation

REQUEST = Request("192.0.2.7", "mx\xff.example", "alice@example.com", "bj\xc3\xb6rn@example.org", "4F1A", None)
DECISION = Decision(Action.PASS, Reason.CLIENT_WHITELIST, entry=Line("/etc/clients", 7, "mx # \xe9"))


def test_decision_has_all_its_fields() -> None:
    assert describe_decision(REQUEST, DECISION, 0) == {
        "time": None,
        "action": "pass",
        "reason": "client whitelist",
        "detail": "",
        "wait": 0,
        "delay": None,
        "entry": {"file": "/etc/clients", "line": 7, "text": "mx # \udce9"},
        "client_address": "192.0.2.7",
        "client_name": "mx\udcff.example",
        "sender": "alice@example.com",
        "recipient": "bj\xf6rn@example.org",
        "queue_id": "4F1A",
        "suspicions": [],
    }


def test_explanation_has_what_the_decision_was_made_of() -> None:
    explanation = Explanation(REQUEST, DECISION, 5, b"k\xe9y", (1, None), PENDING, b"c", (3, 4), False, 6, 7, ("so",))
    found = describe_explanation(explanation)
    assert found.items() >= describe_decision(REQUEST, DECISION, 5).items()
    assert found["triplet"] == {"key": "k\udce9y", "state": "pending", "first_seen": 1, "last_seen": None}
    assert found["client"] == {"key": "c", "passes": 3, "last_seen": 4, "trusted": False}
    assert (found["passes_from"], found["passes_until"], found["remarks"]) == (6, 7, ["so"])
    assert json.loads(json.dumps(found)) == found
