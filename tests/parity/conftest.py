# SPDX-License-Identifier: GPL-2.0-or-later
"""Print the seed of the traffic, and how often each branch was hit, at the end of a run."""

from __future__ import annotations

import pytest

from tests.parity.campaign import BRANCH_COUNTS, SEED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"parity: POSTGREY_PARITY_SEED={SEED}")
    for branch, count in BRANCH_COUNTS.items():
        terminalreporter.write_line(f"parity: {count:6} {branch.value}")
