# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out where two outcomes of the same traffic differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from tests.parity.databases import Dump
from tests.parity.replay import Outcome
from tests.parity.traffic import Batch

DATE = re.compile(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (?=XYZ$)")
VERSION = re.compile(r"(?<=postgrey-)\d+(\.\w+)+")


def differences(one: Outcome, two: Outcome, traffic: Sequence[Batch]) -> list[str]:
    """One text for each kind of thing that differs, with the first example; empty when the outcomes are equal."""
    requests = [request.octets for batch in traffic for request in batch.requests]
    return [
        *first_difference("reply", [mask(r) for r in one.replies], [mask(r) for r in two.replies], requests),
        *first_difference("log line", one.log, two.log),
        *first_difference("warning", one.warnings, two.warnings),
        *first_difference("list of databases", sorted(one.databases), sorted(two.databases)),
        *(text for name in one.databases.keys() & two.databases.keys()
          for text in database_differences(name, one.databases[name], two.databases[name])),
    ]  # fmt: skip


def mask(reply: str) -> str:
    """The reply without what may differ: the version, and the real time (its form and zone stay)."""
    return VERSION.sub("VERSION", DATE.sub("DATE ", reply))


def first_difference(kind: str, one: Sequence[str], two: Sequence[str], context: Sequence[object] = ()) -> list[str]:
    """A text about the first place where two sequences differ, and how many places there are."""
    differing = [at for at, (a, b) in enumerate(zip_longest(one, two)) if a != b]
    if not differing:
        return []
    at = differing[0]
    found = [f"{kind}: {len(differing)} of {max(len(one), len(two))} differ, first number {at}:"]
    found += [f"  {sequence[at] if at < len(sequence) else None!r}" for sequence in (one, two)]
    found += [f"  for {context[at]!r}"] if at < len(context) else []
    return ["\n".join(found)]


def database_differences(name: str, one: Dump, two: Dump) -> list[str]:
    """Texts about the header and the records of one database."""
    keys = sorted(one.records.keys() | two.records.keys())
    lines = [[f"{key!r}: {dump.records.get(key)!r}" for key in keys] for dump in (one, two)]
    return [
        *first_difference(f"header of {name}", one.header, two.header),
        *first_difference(f"record of {name}", *lines),
    ]
