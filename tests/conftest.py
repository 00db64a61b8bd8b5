# SPDX-License-Identifier: GPL-2.0-or-later
"""A run in which a test was skipped, or was expected to fail, is a failed run."""

from __future__ import annotations

import pytest

UNWANTED = ("skipped", "xfailed", "xpassed")


def _count_unwanted(config: pytest.Config) -> dict[str, int]:
    """How many tests, and files left out at collection, ended in each of the UNWANTED ways.

    A worker of pytest-xdist has no reporter; the process that it reports to counts for all of them.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return {}
    return {kind: len(reporter.stats[kind]) for kind in UNWANTED if kind in reporter.stats}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Make an otherwise successful run exit with an error."""
    if _count_unwanted(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say why it was an error."""
    for kind, count in _count_unwanted(config).items():
        terminalreporter.write_line(f"ERROR: {count} {kind}; here every test runs, and passes", red=True)
