# SPDX-License-Identifier: GPL-2.0-or-later
"""The two databases as tables inside the open group transaction.

Reading outside a transaction costs nothing. The first write of a turn opens one, `commit_unflushed` ends it, and
`flush` makes all that was committed durable with one fsync; `commit` does both.
Berkeley DB's errors leave here as DatabaseError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from postgrey_py.database.binding import BerkeleyDBError, db, explain
from postgrey_py.database.environment import Environment
from postgrey_py.errors import DatabaseError

# What a slice of the clean-up frees by merging pages, roughly.
GUESSED_FREE_PAGES = 30


def _not_open(*_: object) -> NoReturn:
    raise DatabaseError("the database is not open")


class Table:
    """One database, by key; its writes wait for the commit of the store it belongs to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._handle: Any = None
        self._get: Callable[..., Any] = _not_open
        self._put: Callable[..., Any] = _not_open

    def attach(self, handle: Any) -> None:
        """Work on this database handle from now on."""
        self._handle = handle
        self._get = handle.get if handle is not None else _not_open
        self._put = handle.put if handle is not None else _not_open

    def get(self, key: bytes) -> bytes | None:
        """The value stored under `key`, or None. Raises DatabaseError."""
        try:
            return self._get(key, None, self._store.transaction)  # type: ignore[no-any-return]
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't read: {explain(error)}") from error

    def __setitem__(self, key: bytes, value: bytes) -> None:
        try:
            self._put(key, value, self._store.transaction or self._store.begin())
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't write: {explain(error)}") from error

    def records(self, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` committed records from key `start` on (b"" for the first), in the order of their keys."""
        found: list[tuple[bytes, bytes]] = []
        try:
            cursor = self._handle.cursor()
            try:
                record = cursor.set_range(start) if start else cursor.first()
                while record is not None and len(found) < limit:
                    found.append(record)
                    record = cursor.next()
            finally:
                cursor.close()
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't read: {explain(error)}") from error
        return found

    def delete(self, keys: list[bytes]) -> None:
        """Delete these records in a transaction of their own that is not waited for on the disk.

        A crash brings some of them back, which the next clean-up deletes again.
        """
        try:
            transaction = self._store.environment.begin()
            try:
                for key in keys:
                    self._handle.delete(key, transaction)
            except BaseException:
                transaction.abort()
                raise
            transaction.commit(db.DB_TXN_NOSYNC)
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't delete: {explain(error)}") from error

    def next_key(self, start: bytes, distance: int) -> bytes | None:
        """The key `distance` records behind `start` (b"" for the first), or None past the end."""
        records = self.records(start, distance + 1)
        return records[distance][0] if len(records) > distance else None

    def merge_pages(self, start: bytes, stop: bytes | None) -> int:
        """Merge half-empty pages of the keys from `start` to `stop`; returns how many that put on the free list."""
        result = self._compact(start, stop)
        # bsddb3 tells nothing but the number of pages cut off.
        return int(result["pages_free"]) if isinstance(result, dict) else GUESSED_FREE_PAGES

    def move_pages_down(self, start: bytes, stop: bytes | None) -> int:
        """Move pages of these keys from the end of the file to free places before it, and cut the end off.

        Returns how many pages were cut off. Its cost grows with the length of the free list, which is read whole each
        time.
        """
        # At a fill factor of 1 per cent nothing is merged on the way, so that the free list does not grow.
        result = self._compact(start, stop, flags=db.DB_FREE_SPACE, compact_fillpercent=1)
        return int(result["pages_truncated"] if isinstance(result, dict) else result)

    def _compact(self, start: bytes, stop: bytes | None, **options: int) -> Any:
        keys = {name: key for name, key in (("start", start), ("stop", stop)) if key}
        try:
            return self._handle.compact(**keys, **options)
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't compact: {explain(error)}") from error


class Store:
    """The records of an environment, and the one transaction of the turn that is under way.

    `commits` counts the turns that wrote something.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.commits = 0
        self.transaction: Any = None
        self.triplets = Table(self)
        self.clients = Table(self)
        self.attach()

    def attach(self) -> None:
        """Go on with the databases of the environment as it is now, opened or opened again."""
        self.transaction = None
        self.triplets.attach(self.environment.triplets)
        self.clients.attach(self.environment.clients)

    def begin(self) -> Any:
        """Open the turn's transaction."""
        self.transaction = self.environment.begin()
        return self.transaction

    def commit(self) -> None:
        """Make every record of the turn durable; nothing to do where none was written. Raises DatabaseError."""
        if self.commit_unflushed():
            self.flush()

    def commit_unflushed(self) -> bool:
        """Commit the records of the turn; false where none was written. Raises DatabaseError.

        They are on the disk after the next `flush`.
        """
        transaction, self.transaction = self.transaction, None
        if transaction is None:
            return False
        try:
            transaction.commit(db.DB_TXN_NOSYNC)
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't commit: {explain(error)}") from error
        self.commits += 1
        return True

    def flush(self) -> None:
        """Wait until all that was committed is on the disk. Any thread may call it. Raises DatabaseError."""
        self.environment.flush()

    def abort(self) -> None:
        """Forget the turn's records."""
        transaction, self.transaction = self.transaction, None
        if transaction is not None:
            try:
                transaction.abort()
            except BerkeleyDBError as error:
                raise DatabaseError(f"can't abort: {explain(error)}") from error
