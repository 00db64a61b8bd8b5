# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets that the server listens on: bind them, name them, put them away.

`main` binds them as root, before privileges are dropped; the server listens on them once it can answer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from typing import Any

from postgrey_py.accounts import Account
from postgrey_py.daemon.options import split_listener
from postgrey_py.daemon.systemd import PassedSocket
from postgrey_py.errors import StartupError
from postgrey_py.greylist.settings import Settings

# An address that is in /etc/hosts but not on any interface: a host without IPv6 that calls ::1 localhost.
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind_listeners(
    settings: Settings, account: Account | None, passed: Sequence[PassedSocket] = ()
) -> list[socket.socket]:
    """Bind every --inet and --unix but those that were passed, and listen on none of them yet.

    Returns all listeners, the passed ones first. Raises StartupError; then none is left bound.
    """
    listeners: list[socket.socket] = list(passed)
    held = {_address(listener) for listener in passed}
    try:
        for spec in settings.inet:
            listeners += _bind_inet(spec, held)
        for path in settings.unix:
            if (socket.AF_UNIX, path) not in held:
                listeners.append(_bind_unix(path, settings.socketmode, account))
    except BaseException:
        close_listeners(listeners)
        raise
    return listeners


def close_listeners(listeners: Iterable[socket.socket]) -> None:
    """Close them, and remove the files of our own Unix sockets as far as that is allowed."""
    for listener in listeners:
        if listener.family == socket.AF_UNIX and not isinstance(listener, PassedSocket):
            with contextlib.suppress(OSError):
                os.unlink(listener.getsockname())
        listener.close()


def describe_listener(listener: socket.socket) -> str:
    """Where it listens, as Postfix's main.cf writes it."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"inet:[{name[0]}]:{name[1]}" if listener.family == socket.AF_INET6 else f"inet:{name[0]}:{name[1]}"


def _address(listener: socket.socket) -> tuple[int, Any]:
    name = listener.getsockname()
    return listener.family, name if listener.family == socket.AF_UNIX else name[:2]


def _bind_inet(spec: str, held: set[tuple[int, Any]]) -> list[socket.socket]:
    host, port = split_listener(spec)
    try:
        found = socket.getaddrinfo(
            None if host == "*" else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise StartupError(f"--inet={spec}: can't find {host}, port {port}: {error}") from error
    bound: list[socket.socket] = []
    missing: OSError | None = None
    wanted = [entry for entry in found if (entry[0], entry[4][:2]) not in held]
    for family, kind, protocol, _, address in wanted:
        try:
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            bound.append(listener)
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS:
                missing = error
                continue
            close_listeners(bound)
            raise StartupError(f"--inet={spec}: can't listen on {address[0]}, port {port}: {error.strerror}") from error
    if not bound and len(wanted) == len(found):
        raise StartupError(f"--inet={spec}: can't listen on {host}, port {port}: {missing}")
    return bound


def _bind_unix(path: str, mode: int, account: Account | None) -> socket.socket:
    _remove_stale_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, mode)
        if account is not None and os.geteuid() == 0:
            os.chown(path, account.uid, account.gid)
    except OSError as error:
        listener.close()
        raise StartupError(f"--unix={path}: can't listen there: {error.strerror or error}") from error
    return listener


def _remove_stale_socket(path: str) -> None:
    """Make way for a socket at `path` where a dead server left one. Raises StartupError for anything alive."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise StartupError(f"--unix={path}: there is a file that is no socket; remove it or choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(path)
        raise StartupError(f"--unix={path}: another server listens there")
    except ConnectionRefusedError:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StartupError(f"--unix={path}: can't listen there: {error.strerror}") from error
