# SPDX-License-Identifier: GPL-2.0-or-later
"""One thread for what waits for the disk."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from postgrey_py.daemon.worker import Worker


def test_things_are_done_in_their_order_in_one_thread() -> None:
    done: list[tuple[int, str]] = []

    def note(number: int) -> int:
        done.append((number, threading.current_thread().name))
        return number

    async def main() -> list[int]:
        worker = Worker()
        results = await asyncio.gather(*(worker.do(partial(note, number)) for number in range(5)))
        worker.close()
        return list(results)

    assert asyncio.run(main()) == list(range(5))
    assert [number for number, _ in done] == list(range(5))
    assert len({name for _, name in done}) == 1
    assert done[0][1].startswith("postgrey-disk")


def test_an_error_is_raised_where_it_is_waited_for_and_the_next_thing_done() -> None:
    def fail() -> None:
        raise OSError(5, "broken")

    async def main() -> int:
        worker = Worker()
        with pytest.raises(OSError, match="broken"):
            await worker.do(fail)
        result = await worker.do(lambda: 7)
        worker.close()
        return result

    assert asyncio.run(main()) == 7
