# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of deferred mail: the pattern of the server's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgrey_py.commands.maillog import compile_greylist_text
from postgrey_py.commands.report.greylist_text import pattern_of_text
from postgrey_py.commands.report.main import main
from tests.commands.calling import call
from tests.commands.reporting import reject_line

GREYLISTED = "Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"


@pytest.mark.parametrize(
    ("text", "logged", "others"),
    [
        ("Come back later", "Come back later", ["Come  back later", "come back later"]),
        ("Wait %s seconds", "Wait 300 seconds", ["Wait %s seconds", "Wait some seconds"]),
        ("%r: %s s (try again?)", "example.org: 7 s (try again?)", ["example.org: 7 s try again"]),
        ("%s", "300", ["soon"]),
        ("100% [x].*", "100% [x].*", ["100% x.."]),
        ("sp\xc3\xa4ter", "sp??ter", ["spater"]),
        ("sp\xc3\xa4ter", "sp\xc3\xa4ter", []),
    ],
)
def test_the_pattern_of_a_text_finds_what_postfix_logs(text: str, logged: str, others: list[str]) -> None:
    finds = compile_greylist_text(pattern_of_text(text))
    assert finds(f"rejected: {logged}; from=<a@b>".encode("latin-1"))
    assert [other for other in others if finds(f"rejected: {other}; from=<a@b>".encode("latin-1"))] == []


def test_the_text_of_the_server_is_known(empty: Path, tmp_path: Path) -> None:
    """And the usual one is found too, for the log may be older than the server's text."""
    (tmp_path / "default").write_text("POSTGREY_TEXT='Come back in %s seconds'\n")
    (tmp_path / "log").write_text(
        reject_line(recipient="new@example.org").replace(GREYLISTED, "Come back in 300 seconds")
        + reject_line(recipient="usual@example.org")
        + reject_line(recipient="other@example.org").replace(GREYLISTED, "Mailbox busy")
    )
    options = (f"--dbdir={empty}", f"--server-options={tmp_path / 'default'}", "--tab", str(tmp_path / "log"))
    outcome = call(main, *options)
    assert [line.split("\t")[-1] for line in outcome.stdout.splitlines()] == ["new@example.org", "usual@example.org"]
    assert (outcome.stderr, outcome.status) == ("", 0)
    outcome = call(main, *options, "--greylist-text=busy")
    assert [line.split("\t")[-1] for line in outcome.stdout.splitlines()] == ["other@example.org"]
