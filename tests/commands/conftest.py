# SPDX-License-Identifier: GPL-2.0-or-later
"""Databases and logs that several tests of the tools read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.generated_log import World, make_world
from tests.commands.nameserver import NameServer
from tests.database.dbdirs import fill


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A log of 5,000 lines in which Perl's report is right, and the database to it."""
    return make_world(tmp_path_factory.mktemp("report"), seed=2, wanted=5_000)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A database without records."""
    fill(tmp_path / "db", {})
    return tmp_path / "db"


ZONE = {
    ("example.com.", "MX"): "10 mx1.example.com., 20 mx2.example.com.",
    ("mx1.example.com.", "A"): "203.0.113.1",
    ("mx2.example.com.", "A"): "198.51.100.7, 203.0.113.2",
    ("near.example.", "MX"): "10 mx.near.example.",
    ("mx.near.example.", "A"): "198.51.100.99",
    ("here.example.", "A"): "198.51.100.7",
    ("beside.example.", "A"): "198.51.100.8",
    ("six.example.", "MX"): "10 mx.six.example.",
    ("mx.six.example.", "AAAA"): "2001:db8::7",
    ("near6.example.", "AAAA"): "2001:db8::1:2:3:4",
    ("7.100.51.198.list.example.", "A"): "127.0.0.2",
    ("8.100.51.198.list.example.", "A"): "127.255.255.254",
    ("9.100.51.198.list.example.", "A"): "192.0.2.1",
    ("7.100.51.198.other.example.", "TXT"): '"not an address"',
    (f"{'.'.join('7' + '0' * 23)}.8.b.d.0.1.0.0.2.list.example.", "A"): "127.0.0.4",
}


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    with NameServer(ZONE) as server:
        yield server
