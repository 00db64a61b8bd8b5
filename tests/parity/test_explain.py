# SPDX-License-Identifier: GPL-2.0-or-later
"""An explanation says what the server does next, under every set of options of the parity tests."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.protocol.control import to_wire
from tests.parity.campaign import SEED
from tests.parity.option_sets import OptionSet, option_sets
from tests.parity.world import Delivery, World
from tests.support.control import ControlClient
from tests.support.policy import PolicyClient
from tests.support.servers import POSTGREY, PolicyServer

# With all sets more than 20,000.
LONG = 1400
SHORT = 60

COMPARED = ("action", "reason", "detail", "wait", "entry", "client_address", "client_name", "sender", "recipient")


def is_askable(delivery: Delivery) -> bool:
    """Whether an administrator can name this mail: nothing in it is cut off or has control characters."""
    values = (delivery.client_address, delivery.client_name, delivery.sender, delivery.recipient)
    return all(value == value.strip() and len(value) <= 500 and min(value, default="x") >= " " for value in values)


def explain(control: ControlClient, delivery: Delivery) -> dict[str, Any]:
    return control.result(
        "explain",
        client=to_wire(delivery.client_address),
        name=to_wire(delivery.client_name),
        sender=to_wire(delivery.sender),
        recipient=to_wire(delivery.recipient),
        at=delivery.now,
    )


def decide(policy: PolicyClient, watching: ControlClient, delivery: Delivery) -> dict[str, Any]:
    """What the server decides, by all its fields."""
    policy.ask(
        client_address=delivery.client_address,
        client_name=delivery.client_name,
        sender=delivery.sender,
        recipient=delivery.recipient,
        instance=delivery.instance,
        policy_test_time=delivery.now,
    )
    found: dict[str, Any] = {}
    while not found:
        found = watching.read()["item"]
    return found


def disagreements(directory: Path, option_set: OptionSet, count: int, lag: int = 0) -> list[str]:
    """The mails about which both differ; with a lag, each is explained only when others have come in between."""
    options = [one for one in option_set.arguments(directory) if one != "--exim"]
    rng = random.Random(f"{SEED} explain {option_set.name}")
    deliveries = filter(is_askable, World(rng, option_set.population).deliveries())
    found = []
    with (
        PolicyServer(POSTGREY, directory / "db", options) as server,
        PolicyClient(server.port) as policy,
        ControlClient(server.dbdir) as control,
        ControlClient(server.dbdir) as watching,
    ):
        watching.send(json.dumps({"version": 1, "command": "watch", "arguments": {}}).encode() + b"\n")
        # It watches when this one is there.
        while "item" not in (control.ask("status") and _probe(policy, watching)):
            pass
        explanations = []
        for delivery in itertools.islice(deliveries, count):
            explanations.append(explain(control, delivery))
            decision = decide(policy, watching, delivery)
            if len(explanations) <= lag:
                continue
            explanation = explanations[-1 - lag]
            different = [name for name in COMPARED if explanation[name] != decision[name]]
            if decision["delay"] not in (None, explanation["delay"]):
                different.append("delay")
            if different:
                found.append(f"{different}: {explanation} {decision}")
    return found


def _probe(policy: PolicyClient, watching: ControlClient) -> dict[str, Any]:
    policy.ask(client_address="nonsense")
    return watching.read()


@pytest.mark.parametrize("option_set", option_sets(), ids=lambda option_set: option_set.name)
def test_explanation_is_what_comes_next(tmp_path: Path, option_set: OptionSet) -> None:
    assert disagreements(tmp_path, option_set, SHORT) == [], SEED


@pytest.mark.proof
@pytest.mark.parametrize("option_set", option_sets(), ids=lambda option_set: option_set.name)
def test_explanation_is_what_comes_next_for_long(tmp_path: Path, option_set: OptionSet) -> None:
    assert disagreements(tmp_path, option_set, LONG) == [], SEED


def test_disagreement_would_be_found(tmp_path: Path) -> None:
    assert disagreements(tmp_path, option_sets()[0], SHORT, lag=1)
