# SPDX-License-Identifier: GPL-2.0-or-later
"""reload and clean-up, which answer with what came of it."""

from __future__ import annotations

from postgrey_py.daemon.control.arguments import NoArguments
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.control.status import describe_lists
from postgrey_py.daemon.engine import Engine
from postgrey_py.errors import ControlError


async def reload(engine: Engine, user: str, _: NoArguments, __: Send) -> object:
    """Read the whitelists again; returns what there is to complain of, and what is in force."""
    complaints = await engine.reload(f"asked for by {user}")
    return {
        "complaints": complaints,
        "failures": engine.whitelists.failures,
        "summary": engine.whitelists.summary(),
        "lists": describe_lists(engine.whitelists),
    }


async def clean_up(engine: Engine, _user: str, _: NoArguments, __: Send) -> object:
    """Remove old records now; returns how many records there were and are."""
    outcome = await engine.upkeep.clean_up_now()
    if isinstance(outcome, str):
        raise ControlError(outcome, code="refused")
    return {name: {"before": count.before, "after": count.after} for name, count in outcome.counts.items()}
