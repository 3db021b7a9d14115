"""What a preset fills, and what it leaves as it is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from meshsim.scenario import Scenario, loads
from meshsim.scenario.filling import filled
from meshsim.scenario.model import Policy
from meshsim.scenario.presets import OFF, ON, PRESETS, Default

sys.path.insert(0, str(Path(__file__).parents[2] / "parity"))
from scenarios import scenarios

BASE = """
duration: 9s
services: {a: {script: [{call: b/x}]}, b: {endpoints: {x: {}}}}
load: [{to: a, rate: 1/s}]
mesh: {preset: istio}
"""
ISTIO_RETRIES = ("connect-failure", "refused-stream", "unavailable", "cancelled")
ROWS = [(preset.name, row) for preset in PRESETS.values() for row in preset.defaults]


def policy(config: dict[str, Any], preset: str) -> Policy:
    return filled(Policy.model_validate(config), preset)


def written_in(key: str) -> dict[str, Any]:
    """A policy that has the blocks a key is in, and nothing else."""
    config: dict[str, Any] = {}
    here = config
    for block in key.split(".")[:-1]:
        here[block] = here = {}
    return config


@pytest.mark.parametrize(("preset", "row"), ROWS, ids=[f"{name} {row.key}" for name, row in ROWS])
def test_each_default_is_in_force_below_its_block(preset: str, row: Default) -> None:
    here: Any = policy(written_in(row.key), preset)
    for name in row.key.split("."):
        here = getattr(here, name)
    if row.value is OFF:
        assert here is None
    elif row.value == ON:
        assert here is not None
    else:
        config = {**written_in(row.key)}
        inner = config
        for block in row.key.split(".")[:-1]:
            inner = inner[block]
        inner[row.key.split(".")[-1]] = row.value
        wanted: Any = Policy.model_validate(config)
        for name in row.key.split("."):
            wanted = getattr(wanted, name)
        assert here == wanted


def test_each_default_is_said_once_with_its_source() -> None:
    for preset in PRESETS.values():
        keys = [row.key for row in preset.defaults]
        assert len(set(keys)) == len(keys)
        assert all(row.source for row in preset.defaults)
        assert preset.version
        assert preset.lacking
        assert preset.default("timeout") in preset.defaults
        assert preset.default("hedge") is None


def test_without_a_preset_a_policy_is_the_very_same() -> None:
    own = Policy.model_validate({"timeout": "1s"})
    assert filled(own, "none") is own


def test_what_is_written_wins_key_by_key() -> None:
    retries = policy({"retries": {"attempts": 5, "backoff": {"base": "1ms"}}}, "istio").retries
    assert retries is not None
    assert (retries.attempts, retries.on, retries.previous_hosts) == (5, ISTIO_RETRIES, True)
    assert (retries.backoff.base, retries.host_attempts) == (0.001, 5)
    own = policy({"retries": {"on": ["reset"], "previous_hosts": False}}, "istio").retries
    assert own is not None
    assert (own.attempts, own.on, own.previous_hosts) == (2, ("reset",), False)


def test_choices_and_lists_are_written_as_a_whole() -> None:
    assert policy({"balance": "random"}, "istio").balance.kind == "random"
    assert policy({"balance": "peak_ewma"}, "linkerd").balance.peak_ewma.decay == 10.0
    own = policy({"balance": {"least_request": {"choices": 4}}}, "linkerd").balance
    assert (own.kind, own.least_request.choices) == ("least_request", 4)


def test_blocks_that_nobody_writes_stay_off() -> None:
    for preset in PRESETS:
        quiet = policy({}, preset)
        assert quiet.outlier_detection is None
        assert (quiet.retries is not None) == (preset == "istio")
        assert (quiet.hedge, quiet.rate_limit, quiet.split) == (None, None, {})
    assert policy({"retries": {"budget": {}}}, "envoy").retries.budget.min_concurrency == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_turns_on_can_be_turned_off(preset: str) -> None:
    off = {"retries": None, "timeout": 0, "circuit_breaker": {"max_retries": "unlimited"}}
    quiet = policy({**off, "outlier_detection": {"success_rate": None}}, preset)
    assert (quiet.retries, quiet.timeout) == (None, 0.0)
    assert quiet.circuit_breaker.max_retries == Policy().circuit_breaker.max_retries
    assert quiet.outlier_detection is not None
    assert quiet.outlier_detection.success_rate is None


def test_no_attempts_are_no_policy_at_istio() -> None:
    assert policy({"retries": {"attempts": 0}}, "istio").retries is None
    at_envoy = policy({"retries": {"attempts": 0}}, "envoy").retries
    assert at_envoy is not None
    assert at_envoy.attempts == 0


def test_statuses_take_the_place_of_istios_conditions() -> None:
    retries = policy({"retries": {"statuses": [503]}}, "istio").retries
    assert retries is not None
    assert (retries.on, retries.statuses) == ((), (503,))
    linkerds = policy({"retries": {"statuses": [503]}}, "linkerd").retries
    assert linkerds is not None
    assert linkerds.on == ("per-try-timeout",)


def test_layers_come_before_the_preset() -> None:
    text = (
        "policies: {b: {timeout: 2s, retries: {attempts: 9}}, a -> b: {retries: {per_try_timeout: 1s}},"
        " b/x: {timeout: 1s}}"
    )
    scenario = loads(BASE + text)
    edge, endpoint = scenario.policy("a", "b"), scenario.policy("a", "b", "x")
    assert edge.retries is not None
    assert (edge.timeout, edge.retries.attempts) == (2.0, 2)
    assert edge.retries.per_try_timeout == 1.0
    assert endpoint == edge.model_copy(update={"timeout": 1.0})
    assert scenario.written("a", "b").retries.attempts == 1  # type: ignore[union-attr]
    assert scenario.policy("client", "a").retries.attempts == 2  # type: ignore[union-attr]


def test_a_push_is_filled_too() -> None:
    text = "events: [{at: 1s, set: {policies.b: {retries: {attempts: 7}}}}]"
    after = loads(BASE + text).policies_after(0).policy("a", "b")
    assert after.retries is not None
    assert (after.retries.attempts, after.retries.host_attempts) == (7, 5)


def test_a_preset_is_a_key_like_others() -> None:
    scenario = loads(BASE, overrides={"mesh.preset": "envoy"})
    assert scenario.policy("a", "b").timeout == 15.0
    assert loads(BASE, overrides={"mesh.preset": "none"}).policy("a", "b") == Policy()
    assert scenario.as_config()["mesh"] == {"preset": "envoy"}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_a_filled_policy_could_be_written(document: dict[str, Any]) -> None:
    written = Scenario.model_validate(document).policies.values()
    for preset in PRESETS:
        for each in written:
            whole = filled(each, preset)
            assert Policy.model_validate(whole.as_config()) == whole
            assert filled(whole, preset) == whole


def test_connections_are_filled_where_something_is_written_of_them() -> None:
    assert loads(BASE).policy("a", "b").connection is None
    for text in ("links: {default: {connect: 1ms}}", "policies: {b: {connection: {}}}"):
        found = loads(BASE + text).policy("a", "b").connection
        assert found is not None
        assert (found.connect_timeout, found.idle_timeout) == (10.0, 3600.0)
    scenario = loads(BASE.replace("b: {", "b: {keep_alive: 5s, "), overrides={"mesh.preset": "linkerd"})
    assert scenario.policy("a", "b").connection.connect_timeout == 1.0  # type: ignore[union-attr]
    assert scenario.policy("client", "a").connection is None
    off = loads(BASE + "links: {default: {connect: 1ms}}\npolicies: {b: {connection: null}}")
    assert off.policy("a", "b").connection is None
