# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that do nothing, or something else than who gave them expects, are told; they are obeyed all the same."""

from __future__ import annotations

import pytest

from postgrey_py.daemon.option_warnings import find_option_warnings
from postgrey_py.daemon.options import parse_command_line
from postgrey_py.greylist.settings import Settings
from tests.daemon.conftest import StartServer
from tests.support.policy import PolicyClient


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        (["--pidfile=/run/pid"], ["--pidfile is not written without --daemonize"]),
        (["--pidfile=/run/pid", "-d"], []),
        (["--facility=news"], ["--syslog-facility has no effect without --daemonize: the log goes to standard error"]),
        (["--facility=news", "-d"], []),
        (["--socketmode=0600"], ["--socketmode has no effect without --unix"]),
        (["--socketmode=0600", "--unix=/run/s"], []),
        (["-q", "-v"], ["--verbose has no effect with --quiet"]),
        (["--lookup-by-host", "--ipv4cidr=20"], ["--ipv4cidr has no effect with --lookup-by-host"]),
        (["--ipv6cidr=48", "--lookup-by-host"], ["--ipv6cidr has no effect with --lookup-by-host"]),
        (["--ipv4cidr=20", "--ipv6cidr=48", "-v"], []),
        (["--listen-queue-size=5000"], ["--listen-queue-size=5000 is more than the most, 999, which is taken"]),
        (["--listen-queue-size=999"], []),
        (["--greylist-action=defer_if_permit", "--greylist-text=x"], []),
    ],
)
def test_options_without_effect_are_told(options: list[str], warnings: list[str]) -> None:
    command_line = parse_command_line(["--inet=10023", *options])
    assert list(command_line.warnings) == warnings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--greylist-action=REJECT"], "--greylist-action=REJECT: refuses mail for good"),
        (["--greylist-action=DEFER_IF_PREMIT"], "did you mean DEFER_IF_PERMIT?"),
        (["--greylist-action=defer_if_permit", "--exim"], "no deferral to Exim"),
        (["--greylist-action=caf\xe9"], "--greylist-action=caf\xe9: "),
    ],
)
def test_actions_that_do_not_defer_are_told(options: list[str], said: str) -> None:
    (warning,) = parse_command_line(["--inet=10023", *options]).warnings
    assert said in warning


def test_an_action_that_does_not_defer_is_obeyed_and_logged(start: StartServer) -> None:
    server = start("--greylist-action=DISCARD")
    with PolicyClient(server.port) as client:
        assert client.ask().startswith("DISCARD 4.2.0 Greylisted, ")
    assert "--greylist-action=DISCARD: accepts mail and throws it away" in server.log()


@pytest.mark.parametrize(("retry_window", "is_told"), [(299, True), (300, False)])
def test_a_retry_window_must_not_be_over_before_the_delay(retry_window: int, is_told: bool) -> None:
    warnings = find_option_warnings(Settings(delay=300, retry_window=retry_window), ())
    text = "no mail can ever pass: the retry window (299 seconds) is over before the delay (300 seconds) is"
    assert warnings == ([text] if is_told else [])


def test_what_was_not_given_is_not_told_of() -> None:
    idle = Settings(lookup_by_host=True, quiet=True)
    assert find_option_warnings(idle, ()) == []
    assert find_option_warnings(idle, ("ipv6cidr", "verbose")) == [
        "--verbose has no effect with --quiet",
        "--ipv6cidr has no effect with --lookup-by-host",
    ]
