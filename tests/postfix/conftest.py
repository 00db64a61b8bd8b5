# SPDX-License-Identifier: GPL-2.0-or-later
"""A policy server and a Postfix that asks it, started for one test and stopped after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.postfix.instance import POSTFIX, Postfix
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer


class MailSystem(NamedTuple):
    policy: PolicyServer
    postfix: Postfix


StartMailSystem = Callable[..., MailSystem]


@pytest.fixture(scope="session", autouse=True)
def postfix_can_run() -> None:
    if os.geteuid() != 0:
        pytest.fail("these tests start a Postfix, which only root can do: run them as root")
    if not os.access(POSTFIX, os.X_OK):
        pytest.fail(f"{POSTFIX} is missing: install Debian's package postfix")


@pytest.fixture(params=[POSTGREY, PERL_POSTGREY], ids=["ours", "perl"])
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    """The policy server to run: what is asserted of ours must be true of Perl Postgrey too."""
    chosen: Sequence[str] = request.param
    return chosen


@pytest.fixture
def start_mail_system(tmp_path: Path) -> Iterator[StartMailSystem]:
    """A function that starts both, `options` being the policy server's; `service` is how Postfix reaches it."""
    with ExitStack() as running:

        def start(command: Sequence[str], *options: str, service: str = "") -> MailSystem:
            policy = PolicyServer(command, tmp_path / "db", options)
            postfix = Postfix(tmp_path / "postfix", service or f"inet:127.0.0.1:{policy.port}")
            # pytest shows it with a failure.
            running.callback(lambda: print(policy.log(), postfix.log(), sep="\n"))
            # Perl Postgrey often loses its first TERM, and nobody needs this database any more.
            running.callback(policy.kill)
            return MailSystem(policy.start(), running.enter_context(postfix))

        yield start
