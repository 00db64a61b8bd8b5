# SPDX-License-Identifier: GPL-2.0-or-later
"""watch: decisions as they happen, for whoever looks on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.engine import Engine
from postgrey_py.errors import ControlError
from postgrey_py.greylist.decision import Decision
from postgrey_py.greylist.filters import make_filter
from postgrey_py.greylist.request import Request
from postgrey_py.protocol.control import from_wire
from postgrey_py.protocol.descriptions import describe_decision

# Decisions that wait for somebody who reads slowly; what comes on top of these is counted only.
MOST_WAITING = 1000


@dataclass(frozen=True, slots=True)
class WatchArguments:
    """The decisions to be shown: of this client or network, sender, recipient, action; empty for any."""

    client: str = ""
    sender: str = ""
    recipient: str = ""
    action: str = ""


async def watch(engine: Engine, _user: str, arguments: WatchArguments, send: Send) -> object:
    """Send decisions until the client goes away. An item with `lost` tells how many there was no time for."""
    if arguments.action not in ("", "pass", "greylist"):
        raise ControlError(f"the action is pass or greylist, not {arguments.action[:80]!r}", code="bad-argument")
    texts = (from_wire(text) for text in (arguments.client, arguments.sender, arguments.recipient))
    wanted = make_filter(*texts, may_name=True)
    waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_WAITING)
    lost = 0

    def see(request: Request, decision: Decision, now: int) -> None:
        nonlocal lost
        if arguments.action in ("", decision.action.text) and wanted.matches_request(request):
            if waiting.full():
                lost += 1
            else:
                waiting.put_nowait(describe_decision(request, decision, now))

    with engine.decider.watched_by(see):
        while True:
            await send(await waiting.get())
            if lost:
                told, lost = lost, 0
                await send({"lost": told})
