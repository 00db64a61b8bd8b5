# SPDX-License-Identifier: GPL-2.0-or-later
"""From a command line to a process that serves: bind, detach, pidfile, privileges, readiness.

The order matters: sockets and pidfile may need root, the database must not be touched by root, and the event loop
must be made after detaching. `main` keeps that order.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import daemon
import sdnotify
import setproctitle

from postgrey_py.accounts import Account, become, find_group, find_user
from postgrey_py.daemon.activation import PassedSocket
from postgrey_py.daemon.options import split_listener
from postgrey_py.errors import AccountError, StartupError
from postgrey_py.greylist.settings import Settings

PROCESS_NAME = "postgrey"
UMASK = 0o077

_READY = b"\0"

# An address that is in /etc/hosts but not on any interface: a host without IPv6 that calls ::1 localhost.
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def open_standard_streams() -> None:
    """Let standard streams that the caller has closed lead to /dev/null, so that no socket gets their numbers.

    To be called before anything else is opened: a descriptor gets the lowest number that is free.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def find_account(settings: Settings) -> Account | None:
    """The user and group to run as, or None to stay who we are. Raises StartupError."""
    if settings.user is None and settings.group is None:
        return None
    try:
        user = find_user(settings.user if settings.user is not None else str(os.geteuid()))
        account = user if settings.group is None else replace(user, gid=find_group(settings.group))
    except AccountError as error:
        raise StartupError(f"{error}: create it, or name another with --user and --group") from None
    if os.geteuid() != 0 and (account.uid, account.gid) != (os.geteuid(), os.getegid()):
        raise StartupError(
            f"only root can run it as --user={account.name}; leave --user and --group out to run it as yourself"
        )
    return account


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


class Readiness:
    """Tells whoever started the server how that went.

    A daemon's parent waits on a pipe and takes over the child's word as exit status; systemd gets READY=1.
    """

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe

    def ready(self) -> None:
        """The server answers from now on."""
        self._tell(_READY)
        sdnotify.SystemdNotifier().notify("READY=1")

    def failed(self, message: str) -> None:
        """The server could not start; the parent prints why."""
        self._tell(message.encode("utf-8", "surrogateescape"))

    def fileno(self) -> int | None:
        """The descriptor that detaching must not close."""
        return self._pipe

    def _tell(self, octets: bytes) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.write(self._pipe, octets)
            os.close(self._pipe)
            self._pipe = None


def detach(listeners: list[socket.socket]) -> Readiness:
    """Go on in the background; the caller's process waits here, and exits when the server is ready or has failed."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        _await_readiness(reading)
    os.close(reading)
    readiness = Readiness(writing)
    # For detaching only: its own ways with owners, masks, pidfiles and signals are not those that a mail server needs.
    context = daemon.DaemonContext(
        umask=UMASK, files_preserve=[*listeners, readiness], signal_map={}, initgroups=False, detach_process=True
    )
    context.open()
    return readiness


def _await_readiness(pipe: int) -> None:
    """Exit with 0 once the server says that it is ready, else print what it says and exit with 1."""
    with open(pipe, "rb") as words:
        said = words.read()
    if said != _READY:
        text = said.decode("utf-8", "surrogateescape") or "the server ended before it was ready; see the log"
        print(f"postgrey: {text}", file=sys.stderr, flush=True)
    os._exit(0 if said == _READY else 1)


class Pidfile:
    """The file with our process id, while the server runs."""

    def __init__(self, path: str, account: Account | None) -> None:
        """Write it. Raises StartupError where another postgrey's is, or where that is not allowed."""
        self.path = path
        running = _running_postgrey(path)
        if running is not None:
            raise StartupError(f"--pidfile={path}: postgrey already runs as process {running}")
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
            # Others must be able to read whom to signal, whatever our umask.
            os.chmod(path, 0o644)
            if account is not None and os.geteuid() == 0:
                os.chown(path, account.uid, account.gid)
        except OSError as error:
            raise StartupError(f"--pidfile={path}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove it; where the directory is root's, as /run is, it stays for the init script to remove."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def _running_postgrey(pidfile: str) -> int | None:
    """The process that a pidfile names, if it is alive and not something else that got the number after a reboot."""
    try:
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read(20))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return pid if file.read().startswith(PROCESS_NAME) and pid != os.getpid() else None
    except OSError:
        return pid if not os.path.isdir("/proc/self") else None


def drop_privileges(account: Account | None) -> None:
    """Root becomes this account for good. Raises AccountError."""
    if account is not None and os.geteuid() == 0:
        become(account)


def prepare_process(arguments: list[str]) -> None:
    """What holds for the process however it was started: its name, its mask, and as many open files as are allowed."""
    setproctitle.setproctitle(" ".join([PROCESS_NAME, *arguments]))
    # `pgrep -x postgrey` goes by this one.
    setproctitle.setthreadtitle(PROCESS_NAME)
    os.umask(UMASK)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
