# SPDX-License-Identifier: GPL-2.0-or-later
"""The health of the server: what keeps it from its work, and what its administrator should know of."""

from __future__ import annotations

from postgrey_py.daemon.engine import Engine


def find_problems(engine: Engine) -> list[str]:
    """Return what keeps the server from doing its work; empty when it is healthy."""
    if not engine.outage.is_down:
        return []
    return [f"the database is down, mail passes without greylisting: {engine.outage.reason}"]


def find_warnings(engine: Engine) -> list[str]:
    """Return what its administrator should know of, though it does its work."""
    warnings = []
    pause = engine.orders.in_force().pause
    if pause is not None:
        warnings.append(f"greylisting is paused {pause.text()}: all mail passes")
    if engine.settings.training:
        warnings.append("greylisting is in training (--training): all mail passes")
    if (text := describe_list_failures(engine)) is not None:
        warnings.append(text)
    return warnings


def describe_list_failures(engine: Engine) -> str | None:
    """Return how much of the lists is not in force; None where all is."""
    failures = engine.whitelists.failures
    if not failures:
        return None
    noun = "line or file" if failures == 1 else "lines or files"
    return f"{failures} {noun} of the lists not in force: postgrey --check tells which, and why"
