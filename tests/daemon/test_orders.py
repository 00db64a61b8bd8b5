# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.orders import MOST_ALLOWANCES, ORDERS_NAME, Orders
from postgrey_py.daemon.worker import Worker
from postgrey_py.errors import OrderError
from postgrey_py.greylist.overrides import Overrides
from tests.support.logs import Memory

NOW = 1_700_000_000.0


class Clock:
    """A clock that is set."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def make_orders(dbdir: Path, memory: Memory, clock: Clock | None = None) -> Orders:
    return Orders(str(dbdir), Log(memory), clock or Clock())


def test_orders_come_back_as_they_were(tmp_path: Path, memory: Memory, worker: Worker) -> None:
    orders = make_orders(tmp_path, memory)
    orders.allow(int(NOW) + 900, sender="example.com", recipient="", client="", once=True, comment="\xe9", by="root")
    orders.allow(int(NOW) + 900, sender="", recipient="", client="192.0.2.0/24", once=False, comment="", by="root")
    orders.use(1, "mail.1")
    orders.pause(None, "root")
    asyncio.run(orders.save(worker))
    again = make_orders(tmp_path, memory)
    assert repr(again.current) == repr(orders.current)
    assert again.current.allowances[0].used_by == "mail.1"
    assert again.disallow(2, "root").client == "192.0.2.0/24"
    # Numbers are not given twice.
    assert again.allow(int(NOW) + 900, sender="example.net", by="root").number == 3


def test_each_change_is_told(tmp_path: Path, memory: Memory) -> None:
    told: list[Overrides] = []
    orders = make_orders(tmp_path, memory)
    orders.changed = told.append
    orders.allow(int(NOW) + 900, sender="example.com", once=True, by="root")
    orders.use(1, None)
    orders.use(1, None)
    orders.pause(int(NOW) + 5, "root")
    orders.resume("root")
    orders.disallow(1, "root")
    assert len(told) == 5
    assert [line.split(",")[0] for line in memory.lines] == [
        "allowance 1: sender=example.com",
        memory.lines[1].split(",")[0],
        "pause ended by root: mail is greylisted",
        "allowance 1 ended by root",
    ]


def test_orders_run_out(tmp_path: Path, memory: Memory, worker: Worker) -> None:
    clock = Clock()
    orders = make_orders(tmp_path, memory, clock)
    orders.allow(int(NOW) + 900, sender="example.com", by="root")
    orders.pause(int(NOW) + 900, "root")
    clock.now = NOW + 900
    assert orders.in_force() == Overrides()
    with pytest.raises(OrderError, match="there is no pause"):
        orders.resume("root")
    with pytest.raises(OrderError, match="there is no allowance 1"):
        orders.disallow(1, "root")
    asyncio.run(orders.save(worker))
    assert json.loads((tmp_path / ORDERS_NAME).read_bytes())["allowances"] == []


def test_their_number_is_bounded_and_those_that_ran_out_do_not_count(tmp_path: Path, memory: Memory) -> None:
    clock = Clock()
    orders = make_orders(tmp_path, memory, clock)
    for _ in range(MOST_ALLOWANCES):
        orders.allow(int(NOW) + 900, sender="example.com", by="root")
    with pytest.raises(OrderError, match="allowances already"):
        orders.allow(int(NOW) + 900, sender="example.com", by="root")
    clock.now = NOW + 900
    orders.allow(int(NOW) + 1900, sender="example.com", by="root")


def test_file_that_can_not_be_written_is_told_and_the_order_counts(
    tmp_path: Path, memory: Memory, worker: Worker
) -> None:
    orders = make_orders(tmp_path, memory)
    (tmp_path / f"{ORDERS_NAME}.new").mkdir()
    orders.pause(None, "root")
    with pytest.raises(OrderError, match=r"it is in force, but .* can't be written"):
        asyncio.run(orders.save(worker))
    assert orders.in_force().pause is not None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"version":2}',
        b'{"version":1}',
        b'{"version":1,"next":"x","pause":null,"allowances":[]}',
        b'{"version":1,"next":1,"pause":{"until":"x","by":"root"},"allowances":[]}',
        b'{"version":1,"next":1,"pause":null,"allowances":[{"number":1}]}',
        b'{"version":1,"next":1,"pause":null,"allowances":7}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_damaged_file_is_kept_and_told_of(octets: bytes, tmp_path: Path, memory: Memory) -> None:
    (tmp_path / ORDERS_NAME).write_bytes(octets)
    assert make_orders(tmp_path, memory).current == Overrides()
    assert (tmp_path / f"{ORDERS_NAME}.damaged").read_bytes() == octets
    assert len(memory.lines) == 1
    assert "damaged" in memory.lines[0]


def test_file_that_can_not_be_read_is_left_alone(tmp_path: Path, memory: Memory) -> None:
    (tmp_path / ORDERS_NAME).mkdir()
    assert make_orders(tmp_path, memory).current == Overrides()
    assert "can't read" in memory.lines[0]
    assert (tmp_path / ORDERS_NAME).is_dir()
