"""Who says each value of the policies in force: a line, an override, a push, a preset, nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshsim.scenario.load import load_placed
from meshsim.scenario.origins import InForce, Place, in_force
from meshsim.scenario.presets import ISTIO, LINKERD

TEXT = """\
duration: 9s
mesh: {preset: istio}
services:
  a: {script: [{call: b/x}, {call: c}]}
  b: {endpoints: {x: {}, y: {}}}
  c: {}
load: [{to: a, rate: 1/s}]
policies:
  b: &shared
    timeout: 2s
    retries: {attempts: 3}
    outlier_detection: {}
  b/x: {timeout: 1s}
  c: {<<: *shared, balance: {least_request: {choices: 3}}}
  a -> c:
    retries: {per_try_timeout: 250ms}
events:
  - {at: 4s, set: {policies.b.retries.attempts: 5}}
  - {at: 3s, set: {policies.c: {timeout: 7s}, policies.b.retries.attempts: 4}}
"""


def explained(tmp_path: Path, overrides: dict[str, Any] | None = None, text: str = TEXT) -> list[InForce]:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    return in_force(*load_placed(file, overrides or {}))


@pytest.fixture
def start(tmp_path: Path) -> dict[str, InForce]:
    return {each.route: each for each in explained(tmp_path) if each.since == 0.0}


def place(value: Any, key: str, line: int, file: str) -> tuple[Any, Place]:
    return value, Place(key, file, line)


def test_every_edge_is_there_and_endpoints_that_differ(start: dict[str, InForce]) -> None:
    assert list(start) == ["client -> a", "a -> b", "a -> b/x", "a -> c"]
    assert list(start["a -> b/x"].values) == ["timeout"]


def test_lines_of_the_service_of_the_edge_of_the_endpoint_and_of_an_anchor(
    tmp_path: Path, start: dict[str, InForce]
) -> None:
    file = str(tmp_path / "s.yaml")
    b, c = start["a -> b"].values, start["a -> c"].values
    assert b["timeout"] == place("2s", "policies.b.timeout", 10, file)
    assert b["retries.attempts"] == place(3, "policies.b.retries.attempts", 11, file)
    assert start["a -> b/x"].values["timeout"] == place("1s", "policies.b/x.timeout", 13, file)
    assert c["timeout"] == place("2s", "policies.c.timeout", 10, file), "where the anchor stands"
    assert c["balance"] == place({"least_request": {"choices": 3}}, "policies.c.balance", 14, file)
    assert c["retries.per_try_timeout"] == place("250ms", "policies.a -> c.retries.per_try_timeout", 16, file)


def test_the_preset_says_what_is_not_written_below_the_layer_that_wins(start: dict[str, InForce]) -> None:
    values = start["a -> c"].values
    assert values["retries.attempts"] == (2, ISTIO.default("retries.attempts"))
    assert values["outlier_detection.interval"] == ("10s", ISTIO.default("outlier_detection.interval"))
    assert start["client -> a"].values["outlier_detection"] == (None, ISTIO.default("outlier_detection"))


def test_nobody_says_what_neither_has(start: dict[str, InForce]) -> None:
    assert start["a -> b"].values["outlier_detection.max_ejection_time"] == ("300s", None)
    assert "hedge" not in start["a -> b"].values


def test_pushes_say_what_changes_from_then_on(tmp_path: Path) -> None:
    file = str(tmp_path / "s.yaml")
    first, second = [each for each in explained(tmp_path) if each.route == "a -> b"][1:]
    assert (first.since, second.since) == (3.0, 4.0)
    assert first.values == {"retries.attempts": place(4, "events[1].set", 19, file)}
    assert second.values == {"retries.attempts": place(5, "events[0].set", 18, file)}
    (pushed,) = [each for each in explained(tmp_path) if each.route == "a -> c" and each.since]
    assert pushed.values["timeout"] == place("7s", "events[1].set", 19, file)
    assert pushed.values["outlier_detection.interval"] == (None, ISTIO.default("outlier_detection.interval"))


def test_overrides_and_other_presets(tmp_path: Path) -> None:
    found = explained(tmp_path, {"policies.b.timeout": "3s", "mesh.preset": "linkerd"})
    values = next(each for each in found if each.route == "a -> b").values
    assert values["timeout"] == ("3s", Place("policies.b.timeout", "--set", 0))
    assert values["retries.on"] == (["per-try-timeout"], LINKERD.default("retries.on"))


def test_a_block_that_is_written_off(tmp_path: Path) -> None:
    text = TEXT.replace("retries: {attempts: 3}", "retries: null")
    values = next(each for each in explained(tmp_path, text=text) if each.route == "a -> b").values
    assert values["retries"] == place(None, "policies.b.retries", 11, str(tmp_path / "s.yaml"))
    none = explained(tmp_path, {"mesh.preset": "none", "policies": {}, "events": []})
    assert [each.values for each in none] == [{"balance": ("round_robin", None)}] * 3


def test_a_default_that_stands_back_says_nothing(tmp_path: Path) -> None:
    text = TEXT.replace("retries: {attempts: 3}", "retries: {statuses: [503]}")
    values = next(each for each in explained(tmp_path, text=text) if each.route == "a -> b").values
    assert values["retries.statuses"][0] == [503]
    assert "retries.on" not in values
