# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets that the server listens on: bind them, name them, put them away.

`main` binds them as root, before privileges are dropped; the server listens on them once it can answer. Whatever names
an address has, it is listened on once, and a wildcard stands for all addresses of its port.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from postgrey_py.accounts import Account
from postgrey_py.daemon.option_values import split_listener
from postgrey_py.daemon.systemd import PassedSocket
from postgrey_py.daemon.unix_listener import UnixListener, bind_unix
from postgrey_py.errors import StartupError
from postgrey_py.greylist.settings import Settings

# An address that is in /etc/hosts but not on any interface: a host without IPv6 that calls ::1 localhost.
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_WILDCARDS: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Endpoint(NamedTuple):
    """An address to listen on by TCP.

    `host` is an address as the system writes it; `scope` is the interface of a link-local one.
    """

    family: int
    host: str
    port: int
    scope: int = 0

    def is_covered(self, held: Iterable[Endpoint]) -> bool:
        """Whether one of these is the same, or stands for all addresses of its port. Port 0 is another each time."""
        wildcard = Endpoint(self.family, _WILDCARDS[self.family], self.port)
        return self.port != 0 and (self in held or wildcard in held)

    def address(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as the system takes it."""
        if self.family == socket.AF_INET6:
            return (self.host, self.port, 0, self.scope)
        return (self.host, self.port)


def bind_listeners(
    settings: Settings, account: Account | None, passed: Sequence[PassedSocket] = ()
) -> list[socket.socket]:
    """Bind every --inet and --unix but those that were passed, and listen on none of them yet.

    Returns all listeners, the passed ones first. Raises StartupError; then none is left bound.
    """
    listeners: list[socket.socket] = list(passed)
    passed_endpoints = {endpoint for listener in passed for endpoint in _endpoints_of(listener)}
    held = set(passed_endpoints)
    paths = {os.path.realpath(os.fsdecode(name)) for name in _paths_of(passed)}
    wanted = [(spec, find_endpoints(spec)) for spec in settings.inet]
    wildcards = {endpoint for _, found in wanted for endpoint in found if endpoint.host == _WILDCARDS[endpoint.family]}
    try:
        for spec, found in wanted:
            open_ones = [one for one in found if not one.is_covered(held) and not one.is_covered(wildcards - {one})]
            _check_passed(spec, open_ones, passed_endpoints)
            listeners += _bind_inet(spec, open_ones, is_needed=len(open_ones) == len(found))
            held.update(open_ones)
        for path in settings.unix:
            real = os.path.realpath(path)
            if real not in paths:
                listeners.append(bind_unix(path, settings.socketmode, account))
                paths.add(real)
    except BaseException:
        close_listeners(listeners)
        raise
    return listeners


def bind_metrics(spec: str) -> list[socket.socket]:
    """Bind the addresses of --metrics, and listen on none of them yet. Raises StartupError."""
    found = find_endpoints(spec, "--metrics")
    wildcards = {one for one in found if one.host == _WILDCARDS[one.family]}
    return _bind_inet(spec, [one for one in found if not one.is_covered(wildcards - {one})], True, "--metrics")


def find_endpoints(spec: str, option: str = "--inet") -> list[Endpoint]:
    """Return all that this value of `option` stands for, each once. Raises StartupError.

    An IPv6 address that carries an IPv4 address is that IPv4 address.
    """
    host, port = split_listener(spec)
    try:
        found = socket.getaddrinfo(
            None if host == "*" else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "that is no host name"
        raise StartupError(f"{option}={spec}: can't find {host}, port {port}: {reason}") from error
    endpoints: dict[Endpoint, None] = {}
    for family, _, _, _, address in found:
        if family in _WILDCARDS:
            endpoints[_endpoint(family, address)] = None
    return list(endpoints)


def close_listeners(listeners: Iterable[socket.socket]) -> None:
    """Close them, and remove the files of our own Unix sockets as far as that is allowed."""
    for listener in listeners:
        if isinstance(listener, UnixListener):
            listener.remove_file()
        listener.close()


def describe_listener(listener: socket.socket) -> str:
    """Return the address of a listener, as Postfix's main.cf writes it."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}".replace("\0", "@")
    return f"inet:[{name[0]}]:{name[1]}" if listener.family == socket.AF_INET6 else f"inet:{name[0]}:{name[1]}"


def _endpoints_of(listener: socket.socket) -> list[Endpoint]:
    """Return the addresses of a socket that was passed; one for all IPv6 addresses may be for all of IPv4, too."""
    if listener.family not in _WILDCARDS:
        return []
    endpoint = _endpoint(listener.family, listener.getsockname())
    endpoints = [endpoint]
    is_v6_wildcard = endpoint.host == _WILDCARDS[socket.AF_INET6]
    if is_v6_wildcard and not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        endpoints.append(Endpoint(socket.AF_INET, _WILDCARDS[socket.AF_INET], endpoint.port))
    return endpoints


def _check_passed(spec: str, endpoints: Iterable[Endpoint], passed: Iterable[Endpoint]) -> None:
    """Raise StartupError for a wildcard where the service manager holds one address of its port."""
    for endpoint in endpoints:
        parts = [part.host for part in passed if part.family == endpoint.family and part.port == endpoint.port]
        if endpoint.host == _WILDCARDS[endpoint.family] and parts:
            raise StartupError(
                f"--inet={spec}: the service manager's socket has port {endpoint.port} of {parts[0]} already;"
                " let that one listen on all addresses, or name the others here"
            )


def _paths_of(passed: Iterable[socket.socket]) -> list[str | bytes]:
    return [listener.getsockname() for listener in passed if listener.family == socket.AF_UNIX]


def _endpoint(family: int, address: tuple[object, ...]) -> Endpoint:
    host, port = str(address[0]), int(str(address[1]))
    if family == socket.AF_INET6:
        mapped = ipaddress.IPv6Address(host.partition("%")[0]).ipv4_mapped
        if mapped is not None:
            return Endpoint(socket.AF_INET, str(mapped), port)
        return Endpoint(family, host, port, int(str(address[3])) if len(address) > 3 else 0)
    return Endpoint(family, host, port)


def _bind_inet(
    spec: str, endpoints: Sequence[Endpoint], is_needed: bool, option: str = "--inet"
) -> list[socket.socket]:
    """Bind these; one that this machine does not have is left out, unless all are so and `is_needed`."""
    bound: list[socket.socket] = []
    missing: OSError | None = None
    for endpoint in endpoints:
        try:
            listener = socket.socket(endpoint.family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if endpoint.family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(endpoint.address())
            bound.append(listener)
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS:
                missing = error
                continue
            close_listeners(bound)
            place = f"{endpoint.host}, port {endpoint.port}"
            raise StartupError(f"{option}={spec}: can't listen on {place}: {error.strerror}") from error
    if missing is not None and not bound and is_needed:
        host, port = split_listener(spec)
        raise StartupError(f"{option}={spec}: can't listen on {host}, port {port}: {missing.strerror}")
    return bound
