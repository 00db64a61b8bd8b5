# SPDX-License-Identifier: GPL-2.0-or-later
"""The one list of commands. Packaging, completions, and the tests of manual pages and packages go by it."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from postgrey_py.commandline import Parser


class Command(NamedTuple):
    """A command: its script has its name, and so has its manual page in this section.

    `parser_module` has a `make_parser()`. It is imported only when that is called, since no room knows all of them.
    """

    name: str
    section: int
    parser_module: str

    @property
    def page(self) -> str:
        """The file of its manual page."""
        return f"{self.name}.{self.section}"

    def make_parser(self) -> Parser:
        """Return the parser of its options."""
        parser = importlib.import_module(self.parser_module).make_parser()
        if not isinstance(parser, Parser):
            raise TypeError(f"{self.parser_module}.make_parser() makes no Parser")
        return parser


COMMANDS = (
    Command("policy-test", 8, "postgrey_py.commands.replay.main"),
    Command("postgrey", 8, "postgrey_py.daemon.options"),
    Command("postgrey-check", 1, "postgrey_py.commands.check.main"),
    Command("postgrey-search", 1, "postgrey_py.commands.search"),
    Command("postgrey_clients_dump", 8, "postgrey_py.commands.clients_dump"),
    Command("postgreyctl", 8, "postgrey_py.commands.control.options"),
    Command("postgreyreport", 1, "postgrey_py.commands.report.options"),
)
