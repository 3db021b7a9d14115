"""What `capacity.json` says of small searches: its keys, their order, and every number to six digits.

Made anew, after a change that is meant, by ``python tests/golden/test_capacity.py``.
"""

import json
from pathlib import Path

import pytest

from meshsim.lab.capacity import capacity
from meshsim.scenario import loads

FILE = Path(__file__).with_name("capacity.jsonl")
SCENARIO = """
name: till
duration: 20s
services:
  till: {replicas: 2, time: 2ms, script: [{call: card}]}
  card: {versions: {v1: {replicas: 2}, v2: {}}, workers: 1, time: {exponential: 50ms}}
policies: {card: {retries: {attempts: 2, per_try_timeout: 400ms, on: [5xx]}}}
load: [{to: till, rate: 10/s}, {to: till, users: 2, think: 100ms}]
objectives: [{service: till, p90: 600ms, success: 50%}, {service: card, mean: 200ms}]
events: [{at: 2s, for: 2s, service: card, slow: 5}]
"""
KEYS = {"load[0].rate": ["5/s", "10/s", "20/s", "40/s"], "policies.card.retries.attempts": [0, 2]}
SEARCHES = [
    {"find": ["load", "replicas"], "costs": {"card/v2": 2.5}, "overrides": {"events": []}},
    {"find": ["recovery"], "vary": KEYS, "window": 10.0},
]


def found(search: dict) -> str:
    numbers = capacity(loads(SCENARIO), at_most=4, resolution=0.3, jobs=1, **search).answer
    provenance = numbers.pop("provenance")
    assert list(provenance) == ["scenario"]
    assert loads(provenance["scenario"]).name == numbers["scenario"]
    numbers.pop("version")
    return json.dumps(json.loads(json.dumps(numbers), parse_float=lambda text: float(f"{float(text):.6g}")))


@pytest.mark.parametrize("number", range(len(SEARCHES)))
def test_the_json_of_a_search_is_what_it_was(number) -> None:
    assert found(SEARCHES[number]) == FILE.read_text(encoding="utf-8").splitlines()[number]


if __name__ == "__main__":
    FILE.write_text("".join(f"{found(search)}\n" for search in SEARCHES), encoding="utf-8")
