# SPDX-License-Identifier: GPL-2.0-or-later
"""The control protocol: lines of JSON between an administrator's tool and the server. See doc/control-protocol.md.

A request is `{"version": 1, "command": "status", "arguments": {}}`. The server answers it with any number of
`{"item": ...}` and then one of `{"result": ...}` and `{"error": {"code": "...", "message": "..."}}`. Names and
addresses are bytes that strangers chose: UTF-8 where they are, with U+DC80 to U+DCFF for each other byte (`to_wire`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from postgrey_py.errors import ControlError

VERSION = 1

# With its line end.
MAX_MESSAGE_BYTES = 64 << 10


class Call(NamedTuple):
    """A request: the name of a command, and its arguments by name."""

    command: str
    arguments: Mapping[str, Any]


class Reply(NamedTuple):
    """One line of an answer: `kind` is "item", "result" or "error"."""

    kind: str
    value: Any


def format_call(call: Call) -> bytes:
    """Return a request as the line that is sent."""
    return _line({"version": VERSION, "command": call.command, "arguments": dict(call.arguments)})


def parse_call(line: bytes) -> Call:
    """Return the request that this line is. Raises ControlError."""
    message = _parse(line)
    unknown = sorted(set(message) - {"version", "command", "arguments"})
    if unknown:
        raise ControlError(f"{_show(unknown[0])} is nothing of a request", code="bad-message")
    version, command, arguments = message.get("version"), message.get("command"), message.get("arguments", {})
    if version != VERSION or isinstance(version, bool):
        raise ControlError(f"version {_show(version)} is not spoken here, only {VERSION}", code="bad-version")
    if not isinstance(command, str):
        raise ControlError('"command" is missing, or no text', code="bad-message")
    if not isinstance(arguments, dict):
        raise ControlError('"arguments" is no object', code="bad-message")
    return Call(command, arguments)


def format_item(value: object) -> bytes:
    """Return a line with one of the values that an answer has before its end."""
    return _line({"item": value})


def format_result(value: object) -> bytes:
    """Return the line that ends an answer well."""
    return _line({"result": value})


def format_error(error: ControlError) -> bytes:
    """Return the line that ends an answer with an error."""
    return _line({"error": {"code": error.code, "message": str(error)}})


def parse_reply(line: bytes) -> Reply:
    """Return the line of an answer. Raises ControlError for an error among them as for what is no answer."""
    message = _parse(line)
    if len(message) != 1:
        raise ControlError("the answer is not understood", code="bad-message")
    kind, value = next(iter(message.items()))
    if kind == "error" and isinstance(value, dict):
        raise ControlError(str(value.get("message")), code=str(value.get("code")))
    if kind not in ("item", "result"):
        raise ControlError("the answer is not understood", code="bad-message")
    return Reply(kind, value)


def to_wire(text: str) -> str:
    """Return a text that has a character for each byte, as the server holds it, as the protocol has it."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "surrogateescape")


def from_wire(text: str) -> str:
    """Return a text of the protocol with a character for each byte. Raises ControlError for what is no text."""
    try:
        return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:
        raise ControlError(f"{_show(text)} is no text", code="bad-argument") from None


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    """Return the object that this line is. Raises ControlError."""
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"this is no line of JSON: {error}", code="bad-message") from None
    if not isinstance(message, dict):
        raise ControlError("this is no JSON object", code="bad-message")
    return message


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return these as an object. A name that comes twice is refused: who checks it may see the other one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
