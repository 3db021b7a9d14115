"""The keys that can be set, and those that a scenario sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsim.scenario import load, loads
from meshsim.scenario.model import Scenario
from meshsim.scenario.settings import set_keys
from tests.unit.every_key import every_key

ROOT = Path(__file__).resolve().parents[3]
HEAD = "{duration: 1s, services: {a: {}}, load: [{to: a, rate: 1/s}]"


@pytest.mark.parametrize("file", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda file: str(file.stem))
def test_what_is_set_can_be_set(file: Path) -> None:
    found = {pattern for pattern, _ in set_keys(load(file)) if not pattern.startswith("warmup")}
    assert found <= set(every_key(Scenario))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", {}),
        (", policies: {a: {timeout: 0s, balance: round_robin}}", {}),
        (", policies: {a: {balance: random}}", {"policies.*.balance.kind=random": "policies.a.balance.kind"}),
        (", policies: {a: {retries: {}}}", {"policies.*.retries": "policies.a.retries"}),
        (
            ", policies: {a: {retries: {attempts: 1, on: [reset]}}}",
            {
                "policies.*.retries": "policies.a.retries",
                "policies.*.retries.on=reset": "policies.a.retries.on",
            },
        ),
        (", links: {default: {latency: 1ms}}", {"links.*.latency": "links.default.latency"}),
    ],
)
def test_only_what_differs_from_silence_is_set(text: str, keys: dict[str, str]) -> None:
    silent = dict(set_keys(loads(f"{HEAD}}}")))
    assert dict(set_keys(loads(f"{HEAD}{text}}}"))) == {**silent, **keys}
