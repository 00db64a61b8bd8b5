# SPDX-License-Identifier: GPL-2.0-or-later
"""The `postgrey` command with a source of facts: `SECONDS OPTION ...`.

It vouches for clients named `vouched.*` after so many seconds, for `never.*` it says nothing, and of all others it
knows nothing at once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from postgrey_py.daemon import main
from postgrey_py.daemon.parking import Parking
from postgrey_py.daemon.server import Server
from postgrey_py.daemon.whitelists import WhitelistFiles
from postgrey_py.facts.source import GiveUp, Tell
from postgrey_py.greylist.decision import NO_FACTS, Facts, Question
from postgrey_py.greylist.policy import Policy

SECONDS = float(sys.argv[1])


class Names:
    """A source that goes by the first part of the client's name."""

    def ask(self, question: Question, tell: Tell) -> GiveUp:
        loop = asyncio.get_running_loop()
        kind = question.request.client_name.partition(".")[0]
        if kind == "never":
            return lambda: None
        if kind == "vouched":
            return loop.call_later(SECONDS, tell, Facts("its name")).cancel
        return loop.call_soon(tell, NO_FACTS).cancel


class ServerWithFacts(Server):
    """A server that asks Names before it defers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._decider.use_facts(lambda resume: Parking(Names(), resume, self._loop.call_later, seconds=3600.0))

    def _make_policy(self, whitelists: WhitelistFiles) -> Policy:
        return Policy(self._settings, whitelists.current, wants_facts=True, overrides=self._orders.current)


if __name__ == "__main__":
    vars(main)["Server"] = ServerWithFacts
    sys.exit(main.main(sys.argv[2:]))
