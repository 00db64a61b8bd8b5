# SPDX-License-Identifier: GPL-2.0-or-later
"""One question to a policy server, over the socket that the mail server uses.

It is about no mail: our server answers it from the database and keeps nothing of it. To a server that does not know
probes it looks like a request of the year 1970, of which 1.37 keeps one record until its next clean-up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from typing import NamedTuple

from postgrey_py.commands.check.thresholds import State
from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.request import PROBE, REQUEST_TYPE
from postgrey_py.greylist.texts import OUTAGE, PASS

# Of documentation (RFC 5737, RFC 2606): nobody's address, nobody's mail.
_ATTRIBUTES = {
    "request": REQUEST_TYPE,
    "protocol_state": "RCPT",
    "client_address": "192.0.2.1",
    "client_name": "unknown",
    "sender": "postgrey-check@example.invalid",
    "recipient": "postgrey-check@example.invalid",
    # Of the past, so that the next clean-up of a server that keeps a record removes it.
    "policy_test_time": "1",
    PROBE: "1",
}
REQUEST = "".join(f"{name}={value}\n" for name, value in _ATTRIBUTES.items()).encode("ascii") + b"\n"

_MOST_REPLY_BYTES = 8192
_MOST_OUTAGE_DIGITS = 12
_END = b"\n\n"

_NOBODY = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)
_FULL = (errno.EAGAIN, errno.ETIMEDOUT)


class Service(NamedTuple):
    """The place where a server listens: the Unix socket `path`, or `port` of `host`."""

    path: str | None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ProbeError(PostgreyError):
    """The server gave no answer. `state` is what that is worth."""

    def __init__(self, message: str, state: State = State.CRITICAL) -> None:
        super().__init__(message)
        self.state = state


class Answer(NamedTuple):
    """An answer: after how many seconds it came, and for how many the database has been down, 0 when it is up.

    `outage` is None for another server than ours. `passed` tells that such a server let the mail of the probe pass.
    """

    latency: float
    outage: int | None
    passed: bool


def probe(service: Service, seconds: float) -> Answer:
    """Return what the server answers within this time. Raises ProbeError."""
    answer = _ask(service, seconds)
    if answer.outage is not None or not answer.passed:
        return answer
    # Our server passes what it can't decide when its database fails just now; then the next answer says so.
    return _ask(service, seconds - answer.latency)._replace(latency=answer.latency)


def _ask(service: Service, seconds: float) -> Answer:
    began = time.monotonic()
    reply = _exchange(service, began + seconds)
    return read_answer(reply, time.monotonic() - began)


def read_answer(reply: bytes, latency: float) -> Answer:
    """Return the answer that this reply is, its empty line included. Raises ProbeError for one that is none."""
    lines = reply.decode("latin-1").splitlines()
    values = dict(line.partition("=")[::2] for line in lines if "=" in line)
    if "action" not in values:
        raise ProbeError("answers, but not as a policy server does")
    outage = values.get(OUTAGE, "")
    is_number = outage.isascii() and outage.isdigit() and len(outage) <= _MOST_OUTAGE_DIGITS
    return Answer(latency, int(outage) if is_number else None, values["action"].split(" ")[0] == PASS)


def _exchange(service: Service, deadline: float) -> bytes:
    """Return the first reply of the server. Raises ProbeError."""
    try:
        with contextlib.closing(_connect(service, deadline)) as connection:
            connection.sendall(REQUEST)
            reply = b""
            while not reply.replace(b"\r\n", b"\n").endswith(_END):
                connection.settimeout(_left(deadline))
                octets = connection.recv(_MOST_REPLY_BYTES)
                if not octets or len(reply) >= _MOST_REPLY_BYTES:
                    raise ProbeError(f"runs at {service}, but answers with {'too much' if octets else 'nothing'}")
                reply += octets
            return reply
    except TimeoutError:
        raise ProbeError(f"runs at {service}, but does not answer") from None
    except OSError as error:
        raise ProbeError(f"runs at {service}, but hangs up: {error.strerror or error}") from None


def _connect(service: Service, deadline: float) -> socket.socket:
    """Return a connection. Raises ProbeError."""
    try:
        if service.path is None:
            return socket.create_connection((service.host, service.port), _left(deadline))
        return _connect_unix(service.path, deadline)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name"
        raise ProbeError(f"can't find {service.host}: {why}", State.UNKNOWN) from None
    except TimeoutError:
        raise ProbeError(f"runs at {service}, but accepts no connection") from None
    except OSError as error:
        raise _explain(service, error) from None


def _connect_unix(path: str, deadline: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_left(deadline))
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _explain(service: Service, error: OSError) -> ProbeError:
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _NOBODY:
        return ProbeError(f"not running: nobody listens at {service} ({why})")
    if error.errno in _FULL:
        return ProbeError(f"runs at {service}, but accepts no connection")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ProbeError(f"{service} may not be used: {why}", State.UNKNOWN)
    if service.path is not None:
        return ProbeError(f"{service} can't be used: {why}", State.UNKNOWN)
    return ProbeError(f"can't reach {service}: {why}")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
