# SPDX-License-Identifier: GPL-2.0-or-later
"""The requests that servers are compared with, all made from one seed."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from tests.parity.wire import LONGEST, write_request
from tests.parity.world import Delivery, Population, World

CONNECTIONS = 6


@dataclass(frozen=True, slots=True)
class Request:
    """The octets of one request, and the two attributes that neither reply nor log shows."""

    octets: bytes
    time: int
    instance: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that belong to one connection; the next batch follows when all are answered."""

    connection: int
    requests: tuple[Request, ...]


def make_traffic(seed: int, count: int, population: Population) -> list[Batch]:
    """`count` requests in batches of up to twenty."""
    rng = random.Random(seed)
    deliveries = World(rng, population).deliveries()
    batches = []
    while count:
        size = min(count, rng.randint(1, 20))
        requests = tuple(request_about(delivery, rng) for delivery in itertools.islice(deliveries, size))
        batches.append(Batch(rng.randrange(CONNECTIONS), requests))
        count -= size
    return batches


def request_about(delivery: Delivery, rng: random.Random) -> Request:
    """A request about one delivery."""
    attributes = {
        # unlike 1.37: no other type of request, which 1.37 never answers.
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        # unlike 1.37: always an address; 1.37 dies of "unknown".
        "client_address": delivery.client_address,
        "client_name": delivery.client_name,
        "sender": delivery.sender,
        "recipient": delivery.recipient,
        "queue_id": rng.choice(("", "", "0", "4F1A2B3C4D", None)),
        "instance": delivery.instance,
        "etrn_domain": rng.choice(("", "", "", "example.org", None)),
        # unlike 1.37: always a number; 1.37 stores whatever it gets.
        "policy_test_time": delivery.now,
    }
    instance = delivery.instance[:LONGEST] if delivery.instance is not None else None
    return Request(write_request(attributes, rng), delivery.now, instance)
