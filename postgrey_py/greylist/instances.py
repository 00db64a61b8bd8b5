# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages that have had their header, so that one with several recipients gets it only once."""

from __future__ import annotations

# unlike 1.37, which forgets a message after ten others and then adds the header again.
REMEMBERED_INSTANCES = 1000


class RecentInstances:
    """The instances of the last messages that got a header; as long as the server runs."""

    __slots__ = ("_instances",)

    def __init__(self) -> None:
        self._instances: dict[str, None] = {}

    def __contains__(self, instance: object) -> bool:
        return instance in self._instances

    def remember(self, instance: str) -> None:
        """Add the instance of a message; the oldest is forgotten when there are too many."""
        self._instances[instance] = None
        if len(self._instances) > REMEMBERED_INSTANCES:
            del self._instances[next(iter(self._instances))]
