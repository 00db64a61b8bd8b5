# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings of a check, judged by thresholds, and the line that a plugin prints of them.

Source of its form: the Monitoring Plugins Development Guidelines, "Plugin Output" and "Performance data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from postgrey_py.commands.check.probe import Answer
from postgrey_py.commands.check.thresholds import METRICS, State, Thresholds, judge, most_urgent
from postgrey_py.commands.formats import printable
from postgrey_py.greylist.decision import Action

SERVICE = "POSTGREY"

# Of fewer decisions in an hour nobody can say whether their share is usual.
LEAST_DECISIONS = 20


class Value(NamedTuple):
    """A value of a metric."""

    metric: str
    number: float


class Finding(NamedTuple):
    """A thing that was found, for people, with the state it is worth, and the value behind it, if there is one."""

    text: str
    state: State = State.OK
    value: Value | None = None


class Judge:
    """Makes findings of values, by these thresholds."""

    def __init__(self, warning: Thresholds, critical: Thresholds) -> None:
        self._warning = warning
        self._critical = critical

    def find(self, text: str, metric: str, number: float) -> Finding:
        """Return the finding that this value of a metric is."""
        return Finding(text, judge(metric, number, self._warning, self._critical), Value(metric, number))

    def find_in_answer(self, answer: Answer) -> list[Finding]:
        """Return what the answer to a probe tells."""
        found = [self.find(f"answers within {1000 * answer.latency:.1f} ms", "latency", answer.latency)]
        if answer.outage is not None:
            text = "its database is up"
            if answer.outage:
                text = f"its database has been down for {answer.outage} s, mail passes without greylisting"
            found.append(self.find(text, "outage", answer.outage))
        elif answer.passed:
            found.append(
                Finding("it lets mail of nobody pass: is that whitelisted, or its database down?", State.WARNING)
            )
        return found

    def find_in_status(self, status: Mapping[str, Any]) -> list[Finding]:
        """Return what the server tells of itself: the status of the control protocol."""
        found = [Finding(problem, State.CRITICAL) for problem in status["problems"] if not status["outage"]["down"]]
        decisions = status["last_hour"]["decisions"]
        total = sum(one["count"] for one in decisions)
        deferred = sum(one["count"] for one in decisions if one["action"] == Action.GREYLIST.text)
        if total >= LEAST_DECISIONS:
            share = 100 * deferred / total
            found.append(self.find(f"{share:.0f} % of {total} decisions in the last hour deferred", "deferred", share))
        elif total:
            found.append(Finding(f"{deferred} of {total} decisions in the last hour deferred"))
        warnings = "; ".join(status["warnings"])
        found.append(self.find(warnings, "warnings", len(status["warnings"])))
        return found

    def wants_status(self) -> bool:
        """Return whether a threshold is about what only the control socket tells."""
        return not {*self._warning, *self._critical}.isdisjoint(("deferred", "warnings"))

    def format_line(self, findings: Sequence[Finding]) -> tuple[State, str]:
        """Return the state of the service, and the line that tells it: what is worst first, then performance data."""
        state = most_urgent(*(finding.state for finding in findings))
        ordered = [finding for finding in findings if finding.state is state]
        ordered += [finding for finding in findings if finding.state is not state]
        text = "; ".join(_safe(finding.text) for finding in ordered if finding.text)
        data = " ".join(self._format_value(finding.value) for finding in findings if finding.value is not None)
        return state, f"{SERVICE} {state.name} - {text}{f' | {data}' if data else ''}"

    def _format_value(self, value: Value) -> str:
        metric = METRICS[value.metric]
        ranges = [table[metric.name].text if metric.name in table else "" for table in (self._warning, self._critical)]
        most = "" if metric.most is None else f";{metric.most}"
        return f"{metric.name}={value.number:.6g}{metric.unit};{';'.join(ranges)};0{most}"


def _safe(text: str) -> str:
    """Return a text that is one line, and in which no performance data begins."""
    return printable(text.encode("utf-8", "surrogateescape")).replace("|", "/")
