# SPDX-License-Identifier: GPL-2.0-or-later
"""The firewall of the manual's recipe for two MX hosts, in a network of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.namespaces import PrivateSystem
from tests.postfix.test_recipes import read_recipe

pytestmark = pytest.mark.root


def test_the_firewall_keeps_others_out(tmp_path: Path) -> None:
    rules = read_recipe("Two MX hosts, one server")[0]
    listener = "import socket; s = socket.create_server(('192.0.2.10', 10023)); print(flush=True)\nwhile 1: s.accept()"
    connect = "import socket, sys; socket.create_connection(('192.0.2.10', 10023), 2, (sys.argv[1], 0))"
    with PrivateSystem(tmp_path) as system:
        system.shell("for host in 10 11 12; do ip address add 192.0.2.$host/32 dev lo; done\n" + rules)
        server = subprocess.Popen(
            ["nsenter", f"--target={system.pid}", "--net", "/usr/bin/python3", "-c", listener], stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()
            for host, status in (("192.0.2.10", 0), ("192.0.2.11", 0), ("192.0.2.12", 1)):
                system.run("/usr/bin/python3", "-c", connect, host, status=status)
        finally:
            server.kill()
            server.communicate()
