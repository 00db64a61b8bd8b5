# SPDX-License-Identifier: GPL-2.0-or-later
"""Call the main of a tool, which is faster than to run the command, where it makes no difference."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from unittest import mock

from postgrey_py.commands import run_as, server_options
from postgrey_py.greylist.settings import PATHS
from tests.commands.running import Outcome, environment


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    with mock.patch.dict(os.environ, environment()):
        time.tzset()
        yield
    time.tzset()


def _nobody_else() -> contextlib.AbstractContextManager[object]:
    """A tool that root runs becomes the server's user for good, where there is one; this process must not."""
    return mock.patch.object(run_as, "PATHS", replace(PATHS, user="-"))


def _no_server() -> contextlib.AbstractContextManager[object]:
    """Tools look for a server on this machine, and would take its options."""
    return mock.patch.object(server_options, "PLACES", server_options.Places(None, ()))


def call(main: Callable[[Sequence[str]], int], *arguments: str) -> Outcome:
    """What a tool prints, and its exit status."""
    with (
        _environment(),
        _nobody_else(),
        _no_server(),
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        status = main(arguments)
    return Outcome(stdout.getvalue(), stderr.getvalue(), status)
