"""Which replicas events may add, wherever that is asked: to name, to count, to warn of their end."""

from __future__ import annotations

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads
from meshsim.scenario.advice import advise
from meshsim.scenario.topology import Topology

HEAD = """
name: rolls
duration: 9s
load: [{to: a, rate: 1/s}]
services:
  a: {replicas: 2}
  b: {versions: {v1: {replicas: 2}, v2: {}}}
mesh: {push_delay: 1s}
events:
"""


def added(events: str) -> list[str]:
    topology = Topology(loads(HEAD + events))
    return [replica.name for replica in topology.replicas if replica.added]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("- {at: 1s, service: a, replicas: 4}", ["a/2", "a/3"]),
        ("- {at: 1s, service: a, replicas: 1}\n- {at: 2s, service: a, replicas: 2}", ["a/2"]),
        ("- {at: 2s, service: a, restart: {}}\n- {at: 1s, service: a, replicas: 1}", ["a/2"]),
        ("- {at: 1s, service: b, restart: {}}", ["b/v1/2", "b/v1/3", "b/v2/1"]),
        ("- {at: 1s, service: b, version: v2, replicas: 2}", ["b/v2/1"]),
    ],
)
def test_an_event_may_name_a_replica_that_another_adds_and_no_more(events: str, expected: list[str]) -> None:
    assert added(events) == expected
    for name in expected:
        assert loads(f"{HEAD}{events}\n- {{at: 8s, for: 1s, replica: {name}, down: true}}").events[-1].down
    service, _, number = expected[-1].rpartition("/")
    beyond = f"{service}/{int(number) + 1}"
    with pytest.raises(ScenarioError, match=f"no replica '{beyond}'.*{service} has {int(number) + 1}, "):
        loads(f"{HEAD}{events}\n- {{at: 8s, for: 1s, replica: {beyond}, down: true}}")


def test_as_many_replicas_are_counted_as_there_may_be() -> None:
    """60,000 that become 70,000 are 70,000; those that are restarted then are as many again."""
    many = HEAD.replace("a: {replicas: 2}", "a: {replicas: 60000}")
    scaled = f"{many}- {{at: 1s, service: a, replicas: 70000}}\n"
    assert len(Topology(loads(scaled)).by_service["a"]) == 70_000
    with pytest.raises(ScenarioError, match="there are 140,003 replicas"):
        loads(f"{scaled}- {{at: 2s, service: a, restart: {{}}}}")
    few = f"{HEAD}- {{at: 1s, service: a, replicas: 60000}}\n- {{at: 2s, service: a, restart: {{}}}}"
    with pytest.raises(ScenarioError, match="there are 120,003 replicas"):
        loads(few)


@pytest.mark.parametrize(
    ("event", "leave"),
    [("replicas: 4", False), ("replicas: 1", True), ("restart: {}", True), ("replicas: 2", False)],
)
def test_a_short_drain_is_worth_a_word_only_where_somebody_leaves(event: str, leave: bool) -> None:
    found = [each for each in advise(loads(f"{HEAD}- {{at: 1s, service: a, {event}}}")) if "drain" in each]
    assert len(found) == leave


@pytest.mark.parametrize(
    ("anew", "ends"),
    [
        ("policies.a.retries.attempts: 3", True),
        ("policies.a.retries: {attempts: 4}", True),
        ("policies.a: {timeout: 1s}", True),
        ("policies.a.retries.statuses: [503]", False),
        ("policies.b: {}", False),
    ],
)
def test_a_refusal_ends_with_the_key_or_with_what_it_is_a_part_of(anew: str, ends: bool) -> None:
    event = "- {at: 1s, set: {policies.a.retries.attempts: 2}, nack: [client]}\n"
    scenario = loads(f"{HEAD}{event}- {{at: 2s, set: {{{anew}}}}}")
    assert scenario.nacked_after(1) == (frozenset() if ends else frozenset({"client"}))
