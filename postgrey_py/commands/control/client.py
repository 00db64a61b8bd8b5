# SPDX-License-Identifier: GPL-2.0-or-later
"""The other side of the control socket."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from postgrey_py.commands.server_arguments import ServerFields
from postgrey_py.commands.server_options import settings_of
from postgrey_py.errors import ControlError, PostgreyError
from postgrey_py.greylist.settings import NO_CONTROL
from postgrey_py.protocol.control import Call, format_call, parse_reply

# The server sends a sign of life every ten seconds.
ANSWER_SECONDS = 60.0
CONNECT_SECONDS = 10.0

# More than any line of the server's.
_MAX_LINE_BYTES = 16 << 20

_NOBODY = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)


class NoServerError(PostgreyError):
    """Nobody listens on the control socket."""


def find_socket(tool: str, control: str | None, dbdir: str | None, server_options: str | None) -> str:
    """Return the path of the server's control socket, by these options of a `tool`. Raises PostgreyError."""
    if control is not None:
        return control
    path = settings_of(tool, ServerFields(control=None, dbdir=dbdir), server_options).control_path()
    if path is None:
        raise PostgreyError(f"the server has no control socket (--control={NO_CONTROL})")
    return path


class Client:
    """A connection to the server whose control socket is at `path`. Raises PostgreyError, NoServerError among them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            kind = NoServerError if error.errno in _NOBODY else PostgreyError
            raise kind(_explain(path, error)) from None
        self._socket.settimeout(ANSWER_SECONDS)
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._file.close()
            self._socket.close()

    def ask(self, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a command that sends nothing else. Raises PostgreyError."""
        for kind, value in self._replies(command, arguments):
            if kind == "result" and isinstance(value, dict):
                return value
        raise self._broken()

    def ask_all(self, command: str, arguments: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return what the command sends before its result, and the result. Raises PostgreyError."""
        items: list[dict[str, Any]] = []
        for kind, value in self._replies(command, arguments):
            if kind == "result" and isinstance(value, dict):
                return items, value
            if value and isinstance(value, dict):
                items.append(value)
        raise self._broken()

    def items(
        self, command: str, arguments: Mapping[str, Any], on_result: Callable[[Any], object] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what the command sends before its result, of which `on_result` is told. Raises PostgreyError."""
        for kind, value in self._replies(command, arguments):
            if kind == "result":
                if on_result is not None:
                    on_result(value)
                return
            if value and isinstance(value, dict):
                yield value
        raise self._broken()

    def _replies(self, command: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            # A server that refuses the connection says why, and hears nothing.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._socket.sendall(format_call(Call(command, given)))
            while line := self._file.readline(_MAX_LINE_BYTES):
                yield parse_reply(line)
        except TimeoutError:
            raise PostgreyError(f"the server at {self._path} does not answer") from None
        except OSError as error:
            raise PostgreyError(f"the connection to {self._path} broke: {error.strerror or error}") from None
        except ControlError as error:
            raise PostgreyError(str(error)) from None

    def _broken(self) -> PostgreyError:
        return PostgreyError(f"the server at {self._path} hung up without an answer")


def _explain(path: str, error: OSError) -> str:
    """Return why the socket can't be used, and what helps."""
    if error.errno in _NOBODY:
        return f"no server runs there: {path}: {error.strerror}; is it started, with another --control or --dbdir?"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} is for root and the user that the server runs as, not for {_own_name()}"
    return f"can't connect to {path}: {error.strerror or error}"


def _own_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
