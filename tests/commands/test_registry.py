# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of commands is that of the scripts, manual pages and completions, and setup.cfg installs all of them."""

from __future__ import annotations

from configparser import ConfigParser

import pytest

from postgrey_py.commandline import Parser
from postgrey_py.commands.registry import COMMANDS, Command
from tests.support.servers import ROOT


def setup_list(section: str, option: str) -> list[str]:
    config = ConfigParser()
    config.optionxform = str  # type: ignore[assignment, method-assign]
    config.read(ROOT / "setup.cfg")
    return config[section][option].split()


def test_scripts_are_those_of_the_commands() -> None:
    names = [f"scripts/{command.name}" for command in COMMANDS]
    assert sorted(f"scripts/{path.name}" for path in (ROOT / "scripts").iterdir() if path.is_file()) == sorted(names)
    assert setup_list("options", "scripts") == names


def test_manual_pages_are_those_of_the_commands() -> None:
    pages = sorted(command.page for command in COMMANDS)
    assert sorted(path.name for path in (ROOT / "man").glob("*.[18]")) == pages
    installed = [page for section in "18" for page in setup_list("options.data_files", f"share/man/man{section}")]
    assert sorted(installed) == sorted(f"man/{page}" for page in pages)


def test_completions_are_those_of_the_commands() -> None:
    bash = setup_list("options.data_files", "share/bash-completion/completions")
    zsh = setup_list("options.data_files", "share/zsh/site-functions")
    assert bash == [f"completions/bash/{command.name}" for command in COMMANDS]
    assert zsh == [f"completions/zsh/_{command.name}" for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_has_a_parser_of_its_name(command: Command) -> None:
    parser = command.make_parser()
    assert isinstance(parser, Parser)
    assert parser.prog == command.name
    assert parser.options
