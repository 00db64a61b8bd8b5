# SPDX-License-Identifier: GPL-2.0-or-later
"""explain: the decision about a mail as it would be made now, and why."""

from __future__ import annotations

from dataclasses import dataclass

from postgrey_py.daemon.control.arguments import text_of
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.engine import Engine
from postgrey_py.errors import ControlError
from postgrey_py.greylist.domains import UNKNOWN
from postgrey_py.greylist.explanation import explain as explain_request
from postgrey_py.greylist.request import request_about
from postgrey_py.greylist.tables import Records
from postgrey_py.protocol.descriptions import describe_explanation


@dataclass(frozen=True, slots=True)
class ExplainArguments:
    """A mail: its client's address, verified name and HELO, sender, recipient, and when it comes; None for now."""

    client: str
    sender: str
    recipient: str
    name: str = UNKNOWN
    helo: str = ""
    at: int | None = None


async def explain(engine: Engine, _user: str, arguments: ExplainArguments, _: Send) -> object:
    """Return the decision about this mail, and what it is made of. Nothing is written."""
    texts = {
        name: text_of(name, getattr(arguments, name)) for name in ("client", "sender", "recipient", "name", "helo")
    }
    request = request_about(texts["client"], texts["name"], texts["helo"], texts["sender"], texts["recipient"])
    if engine.outage.is_down:
        raise ControlError(f"the database is down, and all mail passes: {engine.outage.reason}", code="database")
    now = int(engine.clock()) if arguments.at is None else arguments.at
    records = Records(engine.store.triplets, engine.store.clients)
    lists = engine.whitelists.current
    return describe_explanation(
        explain_request(engine.decider.policy, lists, engine.settings, request, texts["helo"], records, now)
    )
