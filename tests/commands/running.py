# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the tools as commands, ours and Perl's, as the administrator does."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.servers import REFERENCE, ROOT

# As whoever runs the tests: a report that root asks for is made by the server's user, where there is one.
REPORT = (
    sys.executable,
    str(ROOT / "scripts" / "postgreyreport"),
    f"--user={getpass.getuser()}",
    # This machine may have a server.
    "--server-options=none",
)
PERL_REPORT = ("perl", str(REFERENCE / "usr" / "bin" / "postgreyreport"))
POLICY_TEST = (sys.executable, str(ROOT / "scripts" / "policy-test"))
PERL_POLICY_TEST = ("perl", str(REFERENCE / "usr" / "sbin" / "policy-test"))

TIMEOUT = 120.0


class Outcome(NamedTuple):
    """What a command printed, and its exit status."""

    stdout: str
    stderr: str
    status: int


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of the commands: our code, a time zone that has summer and winter, no colours."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TZ": "Europe/Berlin", "LC_ALL": "C.UTF-8", **(extra or {})}


def run(
    command: Sequence[str], *arguments: str | Path, log: str | bytes = b"", env: Mapping[str, str] | None = None
) -> Outcome:
    """Run a command with this log on its standard input. Output is Latin-1, a character for each byte."""
    stdin = log.encode("latin-1") if isinstance(log, str) else log
    done = subprocess.run(
        [*command, *map(str, arguments)], input=stdin, capture_output=True, env=environment(env), timeout=TIMEOUT
    )
    return Outcome(done.stdout.decode("latin-1"), done.stderr.decode("latin-1"), done.returncode)
