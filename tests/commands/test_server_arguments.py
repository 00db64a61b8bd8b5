# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's arguments as settings, value by value."""

from __future__ import annotations

import pytest

from postgrey_py.commands.server_arguments import READ_FIELDS, ServerFields, read_options
from postgrey_py.commands.shell_assignments import UNKNOWN
from postgrey_py.greylist.settings import Settings


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], {}),
        (["--delay=60"], {"delay": 60}),
        (["-delay", "60"], {"delay": 60}),
        (["--delay=+60"], {"delay": 60}),
        # 0 stands for the default, and takes an earlier value back.
        (["--delay=60", "--delay=0"], {}),
        (["--delay=60", "--delay=61"], {"delay": 61}),
        (["--privacy"], {"privacy": True}),
        (["--lookup-by-host"], {"lookup_by_host": True}),
        (["--lookup-by-host", "--lookup-by-subnet"], {"lookup_by_host": False}),
        (["--max-age=35"], {"max_age": 35 * 86400}),
        (["--retry-window=2"], {"retry_window": 2 * 86400}),
        (["--retry-window=0"], {"retry_window": 0}),
        (["--retry-window=2h"], {"retry_window": 7200}),
        (["--retry-window=2H"], {"retry_window": 7200}),
        (["--ipv4cidr=32"], {"ipv4cidr": 32}),
        (["--ipv6cidr=128"], {"ipv6cidr": 128}),
        (["--auto-whitelist-clients=0"], {"auto_whitelist_clients": 0}),
        (["--auto-whitelist-clients"], {}),
        (["--auto-whitelist-clients", "--privacy"], {"privacy": True}),
        (["--whitelist-clients=/a", "--whitelist-clients=/b"], {"whitelist_clients": ("/a", "/b")}),
        (["--greylist-text=\xfc"], {"greylist_text": "\xc3\xbc"}),
        (["--greylist-text="], {}),
        (["--dbdir=/d", "--inet=10023", "--unknown", "word"], {"dbdir": "/d"}),
    ],
)
def test_arguments_are_settings(words: list[str], values: dict[str, object]) -> None:
    assert read_options(words) == (values, [])


@pytest.mark.parametrize(
    "word",
    [
        "--delay=x",
        "--delay=-1",
        "--delay=1234567890",
        "--ipv4cidr=33",
        "--ipv6cidr=129",
        "--dbdir=",
        "--retry-window=h",
    ],
)
def test_wrong_values_are_told(word: str) -> None:
    assert read_options([word]) == ({}, [f"{word} is not understood"])


def test_what_only_a_shell_knows_is_told() -> None:
    unknown = f"{UNKNOWN}$X{UNKNOWN}"
    assert read_options([f"--delay={unknown}"]) == ({}, ["--delay=$X is not understood"])
    assert read_options([unknown]) == ({}, ["$X is not understood"])
    # Of an option that no command asks for, the value does not matter.
    assert read_options([f"--inet={unknown}"]) == ({}, [])


def test_fields_are_those_of_settings() -> None:
    assert set(ServerFields.__annotations__) == READ_FIELDS
    assert READ_FIELDS - {"dbdir", "whitelist_clients", "whitelist_recipients"} <= set(Settings.__slots__)
