# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of the disk for programs under test: calls on chosen files that fail from one moment to the next."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "faults" / "faults.c"


class Faults:
    """The switch for the faults of all processes that run with `env`; see faults.c."""

    def __init__(self, library: Path, control: Path) -> None:
        self._control = control
        self.env = {"LD_PRELOAD": str(library), "FAULTS": str(control)}

    def begin(self, error: str, calls: str, patterns: str, more: str = "") -> None:
        """From now on these calls on files of these names fail with this error ("" lets them through).

        `more` are words that faults.c explains.
        """
        new = self._control.with_suffix(".new")
        new.write_text(f"{getattr(errno, error) if error else 0} {calls} {patterns} {more}\n")
        new.rename(self._control)

    def end(self) -> None:
        """From now on nothing fails."""
        self._control.unlink(missing_ok=True)


def build_library(directory: Path) -> Path:
    """Compile faults.c into this directory."""
    library = directory / "faults.so"
    command = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library
