# SPDX-License-Identifier: GPL-2.0-or-later
"""Write requests as Postfix does, and as a program does that has read its documentation badly."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

# 1.37 cuts names and values to this many bytes.
LONGEST = 512

GARBAGE = (
    *("no equals sign", " ", "=", "==", "=value without a name", "=\xe9", "%d%s%%", "x" * 150, "." * 600),
    *("GET / HTTP/1.0", "\xff\xfe", "tab\tand\0nul"),
)
# To 1.37 a name begins at the first character that is not "=".
ODD_ATTRIBUTES = ("=sender=mallory@example.com", "==recipient=mallory@example.org", "=helo_name=", "a==b", "sender =x")
LINE_ENDS = ((b"\n",), (b"\r\n",), (b"\n", b"\r\n"))


def write_request(attributes: Mapping[str, str | int | None], rng: random.Random) -> bytes:
    """The octets of one request: its lines in order or disturbed, with LF, with CRLF, or with both by turns."""
    lines = [f"{name}={value}" for name, value in attributes.items() if value is not None]
    for disturb in DISTURBANCES:
        if rng.random() < 0.05:
            disturb(lines, rng)
    ends = rng.choices(LINE_ENDS, (0.9, 0.05, 0.05))[0]
    return b"".join(line.encode("latin-1") + rng.choice(ends) for line in [*lines, ""])


def shuffle(lines: list[str], rng: random.Random) -> None:
    rng.shuffle(lines)


def drop_needed(lines: list[str], rng: random.Random) -> None:
    """Leave out one or two of the attributes that a decision needs."""
    needed = ["client_address", "client_name", "recipient", "sender"]
    dropped = rng.sample(needed, rng.choice((1, 1, 2)))
    lines[:] = [line for line in lines if line.split("=", 1)[0] not in dropped]


def repeat(lines: list[str], rng: random.Random) -> None:
    """Put another value of a name before the one that counts, which is the last."""
    for line in rng.sample(lines, 2):
        lines.insert(0, line.split("=", 1)[0] + "=overruled")


def lengthen(lines: list[str], rng: random.Random) -> None:
    """Make a value longer than what is kept, and add a name longer than what is kept."""
    # unlike 1.37: no request comes near the 64 KiB at which a connection is closed.
    at = rng.randrange(len(lines))
    name = lines[at].split("=", 1)[0]
    if name in ("sender", "recipient", "client_name"):
        lines[at] = lines[at].ljust(len(name) + rng.choice((LONGEST, LONGEST + 1, LONGEST + 200)), "l")
    lines.insert(at, "n" * 600 + "=" + "v" * 600)


def add_odd_lines(lines: list[str], rng: random.Random) -> None:
    # unlike 1.37: no CR inside a line, which wedges the connection in 1.37.
    for _ in range(rng.choice((1, 1, 3))):
        odd = rng.choice(GARBAGE if rng.random() < 0.8 else ODD_ATTRIBUTES)
        lines.insert(rng.randrange(len(lines) + 1), odd)


DISTURBANCES: tuple[Callable[[list[str], random.Random], None], ...] = (
    shuffle,
    drop_needed,
    repeat,
    lengthen,
    add_odd_lines,
)
