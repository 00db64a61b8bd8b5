# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of the report that have no effect beside others are refused or told."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgrey_py.commands.report.combinations import check_combination
from postgrey_py.commands.report.main import main
from postgrey_py.errors import UsageError
from tests.commands.calling import call
from tests.commands.reporting import parse_options, reject_line

REFUSED = [
    (["--summary", "--show-tries"], "--show_tries is about the list"),
    (["--summary", "--show_time"], "--show_time is about the list"),
    (["--summary", "--tab"], "--tab is about the list"),
    (["--summary", "--nosingle_line"], "--nosingle_line is about the list"),
    (["--summary", "--separate-by-ip=x"], "--separate_by_ip is about the list"),
    (["--plot=x.svg", "--separate_by_subnet=x"], "--separate_by_subnet is about the list"),
    (["--plot=x.svg", "--check-sender=mx"], "--check_sender is about the list"),
    (["--summary", "--skip-dnsbl=bl.example"], "--skip_dnsbl is about the list"),
    (["--plot=x.svg", "--format=json"], "--format: --plot draws and prints nothing"),
    (["--plot=x.svg", "--format=text"], "--format: --plot draws and prints nothing"),
    (["--debug_db", "--debug_re=x", "--summary"], "--summary: --debug_db prints records"),
    (["--debug_db", "--debug_re=x", "--plot=x.svg"], "--plot: --debug_db prints records"),
    (["--debug_db", "--debug_re=x", "--format=csv"], "--format: --debug_db prints records"),
    (["--lookup-by-host", "--lookup-by-subnet"], "--lookup-by-host and --lookup-by-subnet: say one"),
]


@pytest.mark.parametrize(("options", "complaint"), REFUSED)
def test_what_makes_no_sense_is_refused(options: list[str], complaint: str, empty: Path) -> None:
    outcome = call(main, f"--dbdir={empty}", *options)
    assert (outcome.stdout, outcome.status) == ("", 2)
    assert outcome.stderr.startswith(f"postgreyreport: {complaint}")
    assert not Path("x.svg").exists()


TOLD = [
    (["--format=csv", "--tab"], ["--tab has no effect with --format=csv"]),
    (["--format=json", "--show_tries", "--show_time"], ["--show_time", "--show_tries"]),
    (["--format=json", "--nosingle_line"], ["--nosingle_line has no effect with --format=json"]),
    (["--format=json", "--separate_by_ip=x"], ["--separate_by_ip has no effect with --format=json"]),
    (["--nosingle_line", "--tab"], ["--tab has no effect with --nosingle_line"]),
    (["--nosingle_line", "--show_time"], ["--show_time has no effect with --nosingle_line"]),
    (["--nameserver=127.0.0.1"], ["--nameserver has no effect without --check_sender or --skip_dnsbl"]),
    (["--debug_re=x"], ["--debug_re has no effect without --debug_db"]),
    (["--debug_db", "--debug_re=x", "--tab"], ["--tab has no effect with --debug_db"]),
    (["--nosingle_line", "--show_tries"], []),
    (["--format=csv", "--nosingle_line", "--single_line"], []),
    (["--format=text", "--tab", "--show_tries"], []),
]


@pytest.mark.parametrize(("options", "complaints"), TOLD)
def test_what_has_no_effect_is_told(options: list[str], complaints: list[str], empty: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(reject_line())
    outcome = call(main, f"--dbdir={empty}", *options, str(tmp_path / "log"))
    assert outcome.status == 0
    lines = outcome.stderr.splitlines()
    assert len(lines) == len(complaints)
    for line, complaint in zip(lines, complaints, strict=True):
        assert line.startswith(f"postgreyreport: {complaint}")


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_refusal_is_an_error_of_the_command_line(options: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_combination(parse_options(*options))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("options", [[], ["--summary", "--format=csv"], ["--plot=x.svg"], ["--tab", "--show-time"]])
def test_what_goes_together_is_not_told_of(options: list[str]) -> None:
    assert check_combination(parse_options(*options)) == []
