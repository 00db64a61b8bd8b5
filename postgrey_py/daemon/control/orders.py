# SPDX-License-Identifier: GPL-2.0-or-later
"""allow, allowed, disallow, pause, resume: orders that count at once, and outlive a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from postgrey_py.daemon.control.arguments import NoArguments, text_of
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.engine import Engine
from postgrey_py.errors import ControlError
from postgrey_py.greylist.overrides import Allowance, Pause
from postgrey_py.protocol.control import to_wire

# An order for longer is an entry of a whitelist.
MOST_SECONDS = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class AllowArguments:
    """Whose mail passes, and for how many seconds; with `once`, a single mail."""

    seconds: int
    client: str = ""
    sender: str = ""
    recipient: str = ""
    once: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class DisallowArguments:
    """The number of an allowance."""

    number: int


@dataclass(frozen=True, slots=True)
class PauseArguments:
    """For how many seconds; None until it is ended."""

    seconds: int | None = None


async def allow(engine: Engine, user: str, arguments: AllowArguments, _: Send) -> object:
    """Let mail through for a while; returns the allowance."""
    texts = {name: text_of(name, getattr(arguments, name)) for name in ("client", "sender", "recipient", "comment")}
    until = _end(engine, arguments.seconds)
    allowance = engine.orders.allow(until, **texts, once=arguments.once, by=user)
    await engine.orders.save(engine.worker)
    return describe_allowance(allowance)


async def allowed(engine: Engine, _user: str, _: NoArguments, send: Send) -> object:
    """Send the allowances that are in force; returns how many."""
    allowances = engine.orders.in_force().allowances
    for allowance in allowances:
        await send(describe_allowance(allowance))
    return {"count": len(allowances)}


async def disallow(engine: Engine, user: str, arguments: DisallowArguments, _: Send) -> object:
    """End an allowance; returns it."""
    allowance = engine.orders.disallow(arguments.number, user)
    await engine.orders.save(engine.worker)
    return describe_allowance(allowance)


async def pause(engine: Engine, user: str, arguments: PauseArguments, _: Send) -> object:
    """Let everything through; returns the pause."""
    until = None if arguments.seconds is None else _end(engine, arguments.seconds)
    pause = engine.orders.pause(until, user)
    await engine.orders.save(engine.worker)
    return describe_pause(pause)


async def resume(engine: Engine, user: str, _: NoArguments, __: Send) -> object:
    """End the pause; returns it."""
    pause = engine.orders.resume(user)
    await engine.orders.save(engine.worker)
    return describe_pause(pause)


def describe_allowance(allowance: Allowance) -> dict[str, Any]:
    """Return an allowance for the protocol."""
    return {
        "number": allowance.number,
        "until": allowance.until,
        "client": to_wire(allowance.client),
        "sender": to_wire(allowance.sender),
        "recipient": to_wire(allowance.recipient),
        "once": allowance.once,
        "used": allowance.used_by is not None,
        "comment": to_wire(allowance.comment),
        "by": allowance.by,
    }


def describe_pause(pause: Pause) -> dict[str, Any]:
    """Return a pause for the protocol."""
    return {"until": pause.until, "by": pause.by}


def _end(engine: Engine, seconds: int) -> int:
    if not 0 < seconds <= MOST_SECONDS:
        raise ControlError(
            f"{seconds} seconds: an order is for a second at least, and a year at most", code="bad-argument"
        )
    return int(engine.clock()) + seconds
