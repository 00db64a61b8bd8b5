# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies to the mail server: the octets that a decision makes."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from postgrey_py.greylist.decision import Action, Decision
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import Settings

# The action that lets a mail go on to the next restriction.
PASS = "DUNNO"

# The reply that does so.
PASSED = f"action={PASS}\n\n".encode("ascii")

# The attribute of a reply to a probe.
OUTAGE = "postgrey_outage"

REMEMBERED_TEXTS = 256

# A member of an enumeration takes long to look up.
_GREYLIST = Action.GREYLIST


def probe_answer(outage: int) -> bytes:
    """Return the reply to a probe; `outage` is for how many seconds the database has been down, 0 when it is up.

    Beside an action that does nothing it has an attribute of its own, for `postgrey-check`.
    """
    return f"action={PASS}\n{OUTAGE}={outage}\n\n".encode("ascii")


class ReplyTexts:
    """Makes replies of decisions, from the templates of these settings; `version` stands for %v in the header."""

    def __init__(self, settings: Settings, version: str) -> None:
        self._action = settings.greylist_action
        self._hostname = settings.hostname
        self._version = version
        self._text_template = _make_template(settings.greylist_text, "sr")
        self._header_template = _make_template(settings.x_greylist_header, "tvdh")
        # Recipients are in a few domains, and what a first try is told depends on nothing else.
        self._deferral = lru_cache(REMEMBERED_TEXTS)(self._make_deferral)

    def octets(self, request: Request, decision: Decision, clock: int) -> bytes:
        """Return the reply to this decision. `clock`, in seconds, is the date in the header.

        1.37: that is the clock's time, also where the request brings one of its own.
        """
        if decision.action is _GREYLIST:
            return self._deferral(request.knows_etrn, decision.wait, request.recipient.rpartition("@")[2])
        if decision.delay is None:
            return PASSED
        return f"action=PREPEND {self._header(decision.delay, clock)}\n\n".encode("latin-1", "replace")

    def _make_deferral(self, knows_etrn: bool, wait: int, domain: str) -> bytes:
        template = self._text_template
        if knows_etrn and not ("0" <= template[:1] <= "9"):
            # 1.37: Exchange servers misread Postfix's default code 4.7.1; Postfix takes another only since 2.3,
            # which is the first to send etrn_domain.
            template = f"4.2.0 {template}"
        text = template.format(s=wait, r=domain)
        return f"action={self._action} {text}\n\n".encode("latin-1", "replace")

    def _header(self, delay: int, clock: int) -> str:
        return self._header_template.format(
            t=delay,
            v=self._version,
            d=time.strftime("%a, %d %b %Y %H:%M:%S %Z", time.localtime(clock)),
            h=self._hostname,
        )


def _make_template(text: str, placeholders: str) -> str:
    """A text with `%x` for values, as a template for str.format with `{x}`; other characters stay as they are."""
    escaped = text.replace("{", "{{").replace("}", "}}")
    return re.sub(f"%([{placeholders}])", r"{\1}", escaped)
