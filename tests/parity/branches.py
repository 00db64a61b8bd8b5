# SPDX-License-Identifier: GPL-2.0-or-later
"""Which way each request of an outcome took through the decision, judged from reply and log alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import Enum

from tests.parity.replay import Outcome
from tests.parity.traffic import Batch, Request
from tests.parity.world import NEUTRAL_NAMES


class Branch(Enum):
    CLIENT_NAME = "client whitelist, by name"
    CLIENT_ADDRESS = "client whitelist, by address"
    RECIPIENT = "recipient whitelist"
    AUTO_WHITELIST = "auto-whitelist"
    NEW = "new triplet"
    EARLY_RETRY = "early retry"
    RETRY_WINDOW_OVER = "retry after the retry window"
    FUTURE = "first seen in the future"
    HEADER = "first success, with header"
    INSTANCE_KNOWN = "first success, instance known"
    LATER_SUCCESS = "later success"
    CLIENT_LEARNED = "client auto-whitelisted"
    ATTRIBUTE_MISSING = "attribute missing"
    GARBAGE = "garbage"


ACTION_LINE = re.compile(
    r"(?:\w+: )?action=(?P<action>\w+), reason=(?P<reason>[^,]+)(?:, delay=\d+)?"
    r"(?:, client_name=(?P<client_name>.*?))?(?P<triplet>, client_address=.*)"
)
SIDE_LINES = {
    "ignoring garbage: ": Branch.GARBAGE,
    "correcting date ": Branch.FUTURE,
    "whitelisted: ": Branch.CLIENT_LEARNED,
}
LISTS = {"recipient whitelist": Branch.RECIPIENT, "client AWL": Branch.AUTO_WHITELIST}


class BranchCounter:
    """Follows one outcome and counts branches; where a branch can't be told for sure, none is counted."""

    def __init__(self) -> None:
        self.counts: Counter[Branch] = Counter()
        self.instances: set[str] = set()
        # Recipient, lower-cased -> attributes of a deferred triplet -> when. Emptied when any mail to that
        # recipient passes, for it may have been the same triplet in another spelling.
        self.deferred: dict[str, dict[str, int]] = {}

    def follow(self, outcome: Outcome, traffic: Sequence[Batch]) -> None:
        """Count all requests of one outcome; its log must contain the action lines."""
        lines = iter(outcome.log)
        requests = (request for batch in traffic for request in batch.requests)
        for request, reply in zip(requests, outcome.replies, strict=True):
            corrected = False
            for line in lines:
                corrected |= line.startswith("correcting date ")
                if self.ends_request(line):
                    self.count_decision(request, reply, line, corrected)
                    break
            if request.instance is not None:
                self.instances.add(request.instance)

    def ends_request(self, line: str) -> bool:
        """Count a line that stands beside the decision; True if it is the decision."""
        for beginning, branch in SIDE_LINES.items():
            if line.startswith(beginning):
                self.counts[branch] += 1
                return False
        return True

    def count_decision(self, request: Request, reply: str, line: str, corrected: bool) -> None:
        if line.startswith("attribute missing: "):
            self.counts[Branch.ATTRIBUTE_MISSING] += 1
            return
        match = ACTION_LINE.fullmatch(line)
        assert match, line
        branch = self.judge(request, reply, match, corrected)
        if branch:
            self.counts[branch] += 1

    def judge(self, request: Request, reply: str, line: re.Match[str], corrected: bool) -> Branch | None:
        if line["reason"] == "client whitelist":
            # The neutral names are on no whitelist.
            return Branch.CLIENT_ADDRESS if (line["client_name"] or "") in NEUTRAL_NAMES else Branch.CLIENT_NAME
        if line["reason"] in LISTS:
            return LISTS[line["reason"]]
        recipient = line["triplet"].rpartition(", recipient=")[2].lower()
        deferred = self.deferred.setdefault(recipient, {})
        deferred_at = deferred.get(line["triplet"])
        if line["action"] == "greylist":
            deferred[line["triplet"]] = request.time
            return self.judge_deferral(line["reason"], request.time, deferred_at, corrected)
        deferred.clear()
        if reply.startswith("PREPEND "):
            return Branch.HEADER
        if deferred_at is not None:
            return Branch.INSTANCE_KNOWN
        return Branch.LATER_SUCCESS if request.instance not in self.instances else None

    def judge_deferral(self, reason: str, now: int, deferred_at: int | None, corrected: bool) -> Branch | None:
        if reason.startswith("early-retry"):
            return Branch.EARLY_RETRY
        if deferred_at is None:
            return Branch.NEW
        return Branch.RETRY_WINDOW_OVER if deferred_at < now and not corrected else None
