# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers of the server -> text for people; strangers' names are made safe for a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from postgrey_py.commands.formats import printable
from postgrey_py.greylist.overrides import Pause, format_time
from postgrey_py.greylist.plural import counted

_COLOURS = {"pass": "\x1b[32m", "greylist": "\x1b[33m"}
_PLAIN = "\x1b[0m"


def show_status(status: Mapping[str, Any]) -> str:
    """Return the lines about a server's state."""
    lines = ["healthy" if status["healthy"] else "NOT HEALTHY"]
    lines += [f"  {text}" for text in status["problems"]]
    lines += [f"warning: {text}" for text in status["warnings"]]
    lines.append(f"version {status['version']}, process {status['pid']}, up for {format_duration(status['uptime'])}")
    lines.append(f"listening on {', '.join(status['listeners'])}; {counted(status['connections'], 'connections')}")
    databases = dict(status["databases"])
    checkpoint = databases.pop("last_checkpoint", None)
    for name, one in databases.items():
        lines.append(f"{name}: {_records(one)}, {_bytes(one['bytes'])} in {one['file']}")
    lines.append(f"last checkpoint: {format_time(checkpoint) if checkpoint else 'none'}")
    clean_up = status["clean_up"]
    lines.append(f"clean-up: last {_time(clean_up['last'])}, next {_time(clean_up['next'])}")
    for one in status["lists"].values():
        lines.append(
            f"{one['title']}: {counted(one['entries'], 'entries')} in force, {counted(len(one['unused']), 'lines')} not"
            f" used, read {format_time(one['read'])}: {' '.join(safe(path) for path in one['files'])}"
        )
        lines += [f"  {safe(text)}" for text in one["unused"]]
    lines += show_today(status["today"])
    lines += [f"allowed: {show_allowance(one).rstrip()}" for one in status["allowances"]]
    outage = status["outage"]
    lines.append(
        f"outages since the start: {outage['times']}, {counted(outage['passed'], 'requests')} passed because of them"
    )
    return "".join(f"{line}\n" for line in lines)


def show_today(today: Mapping[str, Any]) -> list[str]:
    """Return the lines about the decisions since midnight, the most frequent reason first."""
    decisions = sorted(today["decisions"], key=lambda one: -one["count"])
    lines = [f"today: {counted(sum(one['count'] for one in decisions) + today['unseen'], 'decisions')}"]
    for action, word in (("greylist", "deferred"), ("pass", "passed")):
        these = [one for one in decisions if one["action"] == action]
        reasons = [f"{one['reason']} {one['count']}" for one in these]
        number = sum(one["count"] for one in these)
        if action == "pass" and today["unseen"]:
            number += today["unseen"]
            reasons.append(f"database down {today['unseen']}")
        lines.append(f"  {word} {number}{': ' if reasons else ''}{', '.join(reasons)}")
    delays = today["delays"]
    if delays["count"]:
        lines.append(
            f"  came back and passed: {delays['count']}, after {format_duration(delays['median'])} (median),"
            f" {format_duration(delays['p95'])} (95 %)"
        )
    return lines


def show_allowance(one: Mapping[str, Any]) -> str:
    """Return a line about an allowance."""
    whom = ", ".join(f"{name} {safe(one[name])}" for name in ("client", "sender", "recipient") if one[name])
    kind = ", used" if one["used"] else ", for a single mail" if one["once"] else ""
    comment = f" ({safe(one['comment'])})" if one["comment"] else ""
    return f"{one['number']}: {whom} until {format_time(one['until'])}{kind}, by {one['by']}{comment}\n"


def show_pause(one: Mapping[str, Any]) -> str:
    """Return who paused, and until when."""
    return Pause(one["until"], one["by"]).text()


def show_reload(result: Mapping[str, Any]) -> str:
    """Return the lines about a reload: complaints, and what is in force."""
    return "".join(f"{safe(text)}\n" for text in (*result["complaints"], result["summary"]))


def show_clean_up(result: Mapping[str, Any]) -> str:
    """Return a line for each database that was cleaned up."""
    return "".join(
        f"{name}: {counted(one['before'], 'records')} before, {one['after']} after\n" for name, one in result.items()
    )


def show_decision(one: Mapping[str, Any], is_coloured: bool) -> str:
    """Return a line about a decision, as the log has it."""
    reason = one["reason"]
    if one["wait"] and one["action"] == "greylist":
        reason = f"{reason} ({one['wait']}s missing)"
    elif one["detail"]:
        reason = f"{reason} ({safe(one['detail'])})"
    elif one["delay"] is not None:
        reason = f"{reason}, delay={one['delay']}"
    action = f"{_COLOURS[one['action']]}{one['action']}{_PLAIN}" if is_coloured else one["action"]
    names = ("client_name", "client_address", "sender", "recipient")
    values = ", ".join(f"{name}={safe(one[name])}" for name in names if one[name])
    place = f" [{safe(one['entry']['file'])} line {one['entry']['line']}]" if one["entry"] else ""
    return f"{time.strftime('%H:%M:%S', time.localtime(one['time']))} {action}, {reason}, {values}{place}\n"


def format_duration(seconds: int) -> str:
    """Return a span of time in its two largest units."""
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def safe(text: str) -> str:
    """Return a text of the protocol that is safe to print."""
    return printable(text.encode("utf-8", "surrogateescape"))


def _records(one: Mapping[str, Any]) -> str:
    if one["records"] is None:
        return "not counted yet"
    return f"{counted(one['records'], 'records')} (at {format_time(one['counted'])})"


def _bytes(size: int | None) -> str:
    return "size unknown" if size is None else f"{size / (1 << 20):.1f} MiB"


def _time(seconds: int | None) -> str:
    return "none" if seconds is None else format_time(seconds)
