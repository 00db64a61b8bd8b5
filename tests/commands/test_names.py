# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of addresses: from /etc/hosts before the DNS, and none with --no-resolve."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgrey_py.commandline import Parser
from postgrey_py.commands import names
from postgrey_py.commands.dns import reverse_name
from postgrey_py.commands.names import add_name_options, names_of
from tests.commands.nameserver import NameServer

ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


def names_with(*arguments: str) -> dict[str, str]:
    """The names of ADDRESSES, with these options of a tool."""
    parser = Parser("tool", "does something")
    add_name_options(parser)
    given = parser.parse(arguments)
    return names_of(ADDRESSES, given["nameserver"], is_resolving=not given["no_resolve"], tool="tool")


@pytest.fixture(autouse=True)
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hosts"
    monkeypatch.setattr(names, "HOSTS", path)
    return path


def test_the_file_of_hosts_comes_before_the_dns(hosts: Path) -> None:
    hosts.write_text("192.0.2.1 first alias # 192.0.2.2 x\n192.0.2.1 second\na b\n2001:DB8:0::1 six\n192.0.2.2\n")
    zone = {(reverse_name(address), "PTR"): f"dns-{number}.example." for number, address in enumerate(ADDRESSES)}
    with NameServer(zone) as server:
        found = names_with(f"--nameserver={server.address}")
        assert set(server.asked) == {(reverse_name("192.0.2.2"), "PTR")}
    assert found == {"192.0.2.1": "first", "192.0.2.2": "dns-1.example", "2001:db8::1": "six"}


def test_a_missing_file_of_hosts_is_no_matter() -> None:
    with NameServer({}) as server:
        assert names_with(f"--nameserver={server.address}") == {}


def test_nothing_is_looked_up_with_no_resolve(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hosts.write_text("192.0.2.1 first\n")
    assert names_with("--no-resolve") == {}
    assert capsys.readouterr().err == ""
    names_with("--no-resolve", "--nameserver=192.0.2.53")
    assert capsys.readouterr().err == "tool: --nameserver has no effect with --no-resolve\n"
