# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
from dataclasses import fields

from postgrey_py.commands.control.options import SUBCOMMANDS
from postgrey_py.daemon.control.commands import COMMANDS
from tests.daemon.conftest import StartServer
from tests.support.control import ControlClient
from tests.support.servers import ROOT

DOCUMENT = (ROOT / "doc" / "control-protocol.md").read_text(encoding="utf-8")
ROWS = {row[1]: row[2] for row in re.finditer(r"^\| `([a-z-]+)` \|([^|]*)\|[^|]*\|[^|]*\|$", DOCUMENT, re.MULTILINE)}


def test_each_command_is_documented_with_its_arguments() -> None:
    assert ROWS.keys() == COMMANDS.keys()
    for name, command in COMMANDS.items():
        documented = set(re.findall(r"`(\w+)`", ROWS[name]))
        assert documented == {field.name for field in fields(command.arguments)}, name


def test_each_command_has_a_subcommand_that_asks_for_it() -> None:
    assert set(COMMANDS) <= set(SUBCOMMANDS)


def test_unknown_command_is_told_which_are_known(start: StartServer) -> None:
    with ControlClient(start().dbdir) as client:
        error = client.ask("drop-everything")["error"]
    assert error["code"] == "unknown-command"
    assert all(name in error["message"] for name in COMMANDS)
