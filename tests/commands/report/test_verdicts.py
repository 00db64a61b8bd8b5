# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the database knows that a mail came back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from postgrey_py.commands.report.history import Deferral, Mail
from postgrey_py.commands.report.verdicts import Verdicts, judge
from postgrey_py.database.snapshot import TableSnapshot
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.keys import triplet_key
from postgrey_py.greylist.settings import Settings

MAIL = ("192.0.2.7", "alice@example.com", "bob@example.org")


class Table(TableSnapshot):
    """Records in memory; `walked` counts those that were gone over, `looked_up` those that were asked for."""

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self._records = records
        self.walked = 0
        self.looked_up = 0

    def get(self, key: bytes) -> bytes | None:
        self.looked_up += 1
        return self._records.get(key)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for record in self._records.items():
            self.walked += 1
            yield record


def deferral(client: str = MAIL[0], recipient: str = MAIL[2]) -> Deferral:
    address = parse_address(client)
    assert address is not None
    return Deferral(Mail(address, ""), address, client, "", f"{MAIL[1]}/{recipient}", len(MAIL[1]), "", 1)


def stored(value: bytes, settings: Settings) -> Table:
    address = parse_address(MAIL[0])
    assert address is not None
    return Table({triplet_key(address, MAIL[1], MAIL[2], settings): value})


@pytest.mark.parametrize(
    ("value", "came_back"),
    [(b"1000,1300", True), (b"1000,1299", False), (b"1000,1000", False), (b"1000", False), (b"", False)],
)
@pytest.mark.parametrize("privacy", [False, True])
@pytest.mark.parametrize("by_host", [False, True])
def test_a_mail_came_back_when_it_was_seen_after_the_delay(
    value: bytes, came_back: bool, privacy: bool, by_host: bool
) -> None:
    settings = Settings(privacy=privacy, lookup_by_host=by_host)
    verdicts = Verdicts(stored(value, settings), settings, is_lookup_known=True)
    assert verdicts.came_back([deferral(recipient="other@example.org"), deferral()]) == ({1} if came_back else set())


def test_keys_of_both_kinds_are_found_where_the_look_up_is_not_known() -> None:
    table = stored(b"1000,1300", Settings(lookup_by_host=True))
    assert Verdicts(table, Settings(), is_lookup_known=False).came_back([deferral()]) == {0}
    assert Verdicts(table, Settings(), is_lookup_known=True).came_back([deferral()]) == set()


def test_few_records_are_walked_and_many_are_looked_up() -> None:
    settings = Settings()
    few = stored(b"1000,1300", settings)
    Verdicts(few, settings, is_lookup_known=True).came_back([deferral()])
    assert (few.walked, few.looked_up) == (1, 0)
    others = {b"192.0.2.0/x%d@example.com/y@example.org" % number: b"1,1" for number in range(6)}
    many = Table({**others, **dict(iter(few))})
    assert Verdicts(many, settings, is_lookup_known=True).came_back([deferral()]) == {0}
    assert many.looked_up > 0


def test_only_mail_that_never_came_back_is_lost_and_the_rest_is_marked() -> None:
    settings = Settings()
    known, unknown = deferral(), deferral(recipient="other@example.org")
    seen_by_log = deferral(recipient="third@example.org")
    seen_by_log.mail.came_back = True
    verdicts = Verdicts(stored(b"1000,1300", settings), settings, is_lookup_known=True)
    assert judge([known, unknown, seen_by_log], verdicts) == [unknown]
    assert known.mail.came_back
    assert not unknown.mail.came_back


@pytest.mark.parametrize(
    ("written", "read", "complaint"),
    [
        (False, False, None),
        (True, True, None),
        (False, True, "the database was written without --privacy: leave that out, or every mail seems lost"),
        (True, False, "the database was written with --privacy: say so here too, or every mail seems lost"),
    ],
)
def test_privacy_must_fit_the_database(written: bool, read: bool, complaint: str | None) -> None:
    table = stored(b"1000,1300", Settings(privacy=written))
    assert Verdicts(table, Settings(privacy=read), is_lookup_known=True).complaint() == complaint


def test_an_empty_database_fits_anything() -> None:
    assert Verdicts(Table({}), Settings(privacy=True), is_lookup_known=True).complaint() is None
