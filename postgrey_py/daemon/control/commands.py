# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of the control socket by name, with their arguments and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from postgrey_py.daemon.control.arguments import NoArguments, read_arguments
from postgrey_py.daemon.control.changes import (
    ChangeArguments,
    ClientArguments,
    distrust,
    forget,
    release,
    trust,
)
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.control.explain import ExplainArguments, explain
from postgrey_py.daemon.control.listing import ListArguments, pending, trusted
from postgrey_py.daemon.control.orders import (
    AllowArguments,
    DisallowArguments,
    PauseArguments,
    allow,
    allowed,
    disallow,
    pause,
    resume,
)
from postgrey_py.daemon.control.status import status
from postgrey_py.daemon.control.transfer import ImportArguments, export_records, import_records
from postgrey_py.daemon.control.upkeep import clean_up, reload
from postgrey_py.daemon.control.watch import WatchArguments, watch
from postgrey_py.daemon.engine import Engine
from postgrey_py.errors import ControlError
from postgrey_py.protocol.control import Call

# A command that answers at once.
SHORT_SECONDS = 30.0
# One that walks over all records, beside mail.
LONG_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the dataclass of its arguments, what carries it out, and for how many seconds (None: for any)."""

    arguments: type[Any]
    run: Callable[[Engine, str, Any, Send], Awaitable[object]]
    seconds: float | None = SHORT_SECONDS


COMMANDS = {
    "allow": Command(AllowArguments, allow),
    "allowed": Command(NoArguments, allowed),
    "clean-up": Command(NoArguments, clean_up, LONG_SECONDS),
    "disallow": Command(DisallowArguments, disallow),
    "distrust": Command(ClientArguments, distrust),
    "explain": Command(ExplainArguments, explain),
    "export": Command(NoArguments, export_records, LONG_SECONDS),
    "forget": Command(ChangeArguments, forget, LONG_SECONDS),
    "import": Command(ImportArguments, import_records),
    "pause": Command(PauseArguments, pause),
    "pending": Command(ListArguments, pending, LONG_SECONDS),
    "release": Command(ChangeArguments, release, LONG_SECONDS),
    "reload": Command(NoArguments, reload),
    "resume": Command(NoArguments, resume),
    "status": Command(NoArguments, status),
    "trust": Command(ClientArguments, trust),
    "trusted": Command(ListArguments, trusted, LONG_SECONDS),
    "watch": Command(WatchArguments, watch, None),
}


async def answer(engine: Engine, call: Call, user: str, send: Send) -> object:
    """Carry out a request. Raises ControlError, OrderError, DatabaseError."""
    command = COMMANDS.get(call.command)
    if command is None:
        raise ControlError(
            f"there is no command {call.command[:80]!r}; known: {', '.join(COMMANDS)}", code="unknown-command"
        )
    arguments: Any = read_arguments(command.arguments, call.arguments)
    try:
        return await asyncio.wait_for(command.run(engine, user, arguments, send), command.seconds)
    except asyncio.TimeoutError:
        raise ControlError(
            f"{call.command} was given up after {command.seconds:.0f} seconds", code="too-slow"
        ) from None
