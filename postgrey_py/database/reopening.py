# SPDX-License-Identifier: GPL-2.0-or-later
"""Opening a database again after it has failed. Called by the daemon, with nobody using the database."""

from __future__ import annotations

from postgrey_py.database.binding import BerkeleyDBError, explain
from postgrey_py.database.environment import Environment
from postgrey_py.errors import DatabaseError

# No triplet has such a key: the network comes first.
_TRIAL_KEY = b"\0trial"


def reopen(environment: Environment) -> None:
    """Close the databases, open them with a look at every page, and prove that they keep what is written.

    Raises DatabaseError.
    """
    environment.close_databases()
    environment.open(verify=True)
    _prove(environment)


def _prove(environment: Environment) -> None:
    """Commit a transaction that changes nothing, and flush it: an environment also opens where its log takes nothing.

    Raises DatabaseError.
    """
    try:
        transaction = environment.begin()
        try:
            environment.triplets.put(_TRIAL_KEY, b"0,0", transaction)
            environment.triplets.delete(_TRIAL_KEY, transaction)
        except BaseException:
            transaction.abort()
            raise
        transaction.commit()
    except BerkeleyDBError as error:
        raise DatabaseError(f"can't write to the database in {environment.dbdir}: {explain(error)}") from error
    environment.flush()
