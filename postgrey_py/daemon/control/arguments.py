# SPDX-License-Identifier: GPL-2.0-or-later
"""The arguments of a control message -> a dataclass of the command, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, get_args, get_type_hints

from postgrey_py.errors import ControlError
from postgrey_py.protocol.control import from_wire

Arguments = TypeVar("Arguments")

# Of a text.
MOST_CHARACTERS = 1000

# No time or count that makes sense is larger.
MOST = 10**12

_NAMES = {str: "a text", int: "a whole number", bool: "true or false", type(None): "null"}


@dataclass(frozen=True, slots=True)
class NoArguments:
    """A command without arguments."""


def read_arguments(kind: type[Arguments], given: Mapping[str, Any]) -> Arguments:
    """Return the arguments as this dataclass, whose fields are texts, whole numbers, flags, or None.

    Raises ControlError, which names what is unknown, missing, or of a wrong kind.
    """
    types = get_type_hints(kind)
    unknown = sorted(set(given) - set(types))
    if unknown:
        known = ", ".join(sorted(types)) or "none"
        raise ControlError(f"there is no argument {_show(unknown[0])}; known: {known}", code="bad-argument")
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in given:
            if field.default is MISSING:
                raise ControlError(f"the argument {field.name} is missing", code="bad-argument")
            continue
        wanted = get_args(types[field.name]) or (types[field.name],)
        value = given[field.name]
        if type(value) not in wanted or (type(value) is int and not 0 <= value <= MOST):
            names = " or ".join(_NAMES[one] for one in wanted)
            raise ControlError(f"the argument {field.name} is {names}, not {_show(value)}", code="bad-argument")
    return kind(**given)


def text_of(name: str, value: str) -> str:
    """Return the value of the argument of this name with a character for each byte. Raises ControlError."""
    text = from_wire(value.strip())
    if len(text) > MOST_CHARACTERS or any(ord(letter) < 32 for letter in text):
        raise ControlError(f"the {name} is too long, or has control characters in it", code="bad-argument")
    return text


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
