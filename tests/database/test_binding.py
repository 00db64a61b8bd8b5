# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import ROOT

BSDDB3_ALONE = Path(__file__).parent / "bsddb3_alone"


def run_with_bsddb3(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": f"{BSDDB3_ALONE}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


# Debian's packages run with bsddb3, which crashes here and there where berkeleydb answers. It is built for the system's
# Python; another one, of `make PYTHON=...`, can't load it.
if Path(sys.executable).resolve().parent == Path("/usr/bin"):

    @pytest.mark.parametrize("module", ["test_store", "test_environment"])
    def test_the_database_works_with_the_binding_that_debian_packages(module: str) -> None:
        shown = run_with_bsddb3("-c", "from postgrey_py.database.binding import db; print(db.DBEnv.__module__)")
        assert "bsddb3" in shown.stdout
        run = run_with_bsddb3("-m", "pytest", "-q", "-x", "-m", "not proof", f"tests/database/{module}.py")
        assert run.returncode == 0, run.stdout[-3000:]
