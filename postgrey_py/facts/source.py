# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface of a source of facts: start a look-up, report its result, cancel it.

Called by `daemon.parking`, in the thread of the event loop. Modelled on the look-ups of Postfix's postscreen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postgrey_py.greylist.decision import Facts, Question

Tell = Callable[[Facts], None]
GiveUp = Callable[[], None]


class Source(Protocol):
    """A source that is asked about a request before it is deferred."""

    def ask(self, question: Question, tell: Tell) -> GiveUp:
        """Start a look-up, and return at once a function that cancels it.

        `tell` is called at most once, in a later turn of the event loop; a failure tells NO_FACTS. Whoever asks has a
        deadline of his own, and pays no attention to what comes after it.
        """
        ...
