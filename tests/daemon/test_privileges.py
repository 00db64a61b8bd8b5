# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process gives up besides its user, seen in /proc of one that does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.servers import ROOT


def status_after(*calls: str) -> dict[str, str]:
    program = f"""
from pathlib import Path
from postgrey_py.daemon import privileges
{"; ".join(calls)}
print(Path("/proc/self/status").read_text())
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in result.stdout.splitlines())}


def test_no_program_gains_privileges_any_more() -> None:
    assert status_after("privileges.forbid_new_privileges()")["NoNewPrivs"] == "1"


def test_capabilities_go_with_those_that_would_be_inherited() -> None:
    status = status_after("privileges.drop_capabilities()")
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff")} == {0}


@pytest.mark.root
def test_the_bounding_set_is_emptied_and_nothing_else() -> None:
    before, after = status_after("pass"), status_after("privileges.empty_bounding_set()")
    assert (int(after["CapBnd"], 16), int(after["CapAmb"], 16)) == (0, 0)
    assert after["CapEff"] == before["CapEff"]


def test_without_the_right_to_do_so_nothing_happens() -> None:
    before = status_after("privileges.drop_capabilities()")
    after = status_after("privileges.drop_capabilities()", "privileges.empty_bounding_set()")
    assert after["CapBnd"] == before["CapBnd"]
