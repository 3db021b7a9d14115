"""Errors of many kinds, planted in the live side of each validation scenario: each is found, and by what.

Calibration runs have the same errors, as far as anything of them acts there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meshsim.lab.engines import Progress
from meshsim.lab.validate import Observation, validate
from meshsim.lab.validate.calibration import still
from meshsim.measure.records import Records
from meshsim.scenario import load
from meshsim.scenario.model import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from fake_live import BUSY, Fake

FOLDER = Path(__file__).parents[4] / "scenarios" / "validation"


@dataclass
class Planted(Fake):
    """Another scenario than it is asked for.

    Attributes:
        name: of the validation scenario.
        wrong: values by key, which the model does not have.
    """

    name: str = ""
    wrong: dict[str, Any] = field(default_factory=dict)

    def __call__(self, scenario: Scenario, *, proxy: str, progress: Progress | None = None) -> Observation:
        other = load(FOLDER / f"{self.name}.yaml", {**self.wrong, "seed": scenario.seed})
        calibrating = scenario.name.endswith("calibration")
        return super().__call__(still(other, {}) if calibrating else other, proxy=proxy, progress=progress)


POLICY = "policies.backend"
EJECTION = f"{POLICY}.outlier_detection"
TIMES, TAIL = "latency.mean", "latency.p95"
OK, URX, UO, RL = "requests.success_ratio", "failures.URX", "failures.UO", "failures.RL"
HOME, ADDED = "edges.client -> shop.endpoints.home", "edges.shop -> cart.endpoints.add"
RETRIES, HEDGES = "edges.client -> backend.retries", "edges.client -> search.hedges"
EJECTIONS, SHARE = "edges.client -> backend.ejections", "services.cart.versions.v2.share"

FOUND: list[tuple[str, str, Any, str, bool]] = [
    ("queue", "services.backend.time", {"exponential": "41.2ms"}, TIMES, True),
    ("queue", "services.backend.time", {"lognormal": {"mean": "40ms", "cv": 1}}, TAIL, True),
    ("queue", "services.backend.workers", 5, TIMES, True),
    ("queue", "services.backend.discipline", "lifo", "latency.p50", False),
    ("queue", "links", {"default": {"latency": "1ms"}}, TIMES, True),
    ("queue", "load[0].rate", "61/s", "requests.throughput", False),
    (
        "fan-out",
        "services.frontend.script",
        [{"call": n} for n in ("catalog", "reviews", "prices")],
        TIMES,
        True,
    ),
    ("retries", f"{POLICY}.retries.attempts", 1, OK, True),
    ("retries", f"{POLICY}.retries.attempts", 3, URX, True),
    ("retries", f"{POLICY}.retries.on", ["gateway-error"], RETRIES, True),
    ("retries", f"{POLICY}.retries.backoff.base", "50ms", TAIL, True),
    ("retries", "services.backend.errors", "22%", RETRIES, True),
    ("previous-hosts", f"{POLICY}.retries.previous_hosts", False, OK, True),
    ("previous-hosts", f"{POLICY}.retries.host_attempts", 2, OK, True),
    ("previous-hosts", f"{POLICY}.retries.statuses", [503], RETRIES, True),
    ("per-try-timeouts", f"{POLICY}.retries.per_try_timeout", "220ms", TAIL, True),
    ("retry-budget", f"{POLICY}.retries.budget.ratio", "25%", RETRIES, True),
    ("retry-budget", f"{POLICY}.retries.budget.min_concurrency", 2, UO, True),
    ("circuit-breaker", f"{POLICY}.circuit_breaker.max_connections", 5, UO, True),
    ("circuit-breaker", f"{POLICY}.circuit_breaker.max_pending", 3, UO, True),
    ("outlier-ejection", f"{EJECTION}.consecutive_5xx", 6, "failures.500", False),
    ("outlier-ejection", f"{EJECTION}.base_ejection_time", "2s", "failures.500", True),
    ("outlier-ejection", f"{EJECTION}.max_ejection_percent", "10%", EJECTIONS, True),
    ("canary", "policies.cart.split", {"v1": 75, "v2": 25}, SHARE, True),
    ("canary", "policies.cart.split", {"v1": 79, "v2": 21}, SHARE, False),
    ("canary", "events[0].at", "24s", SHARE, False),
    ("hedging", "policies.search.hedge.after", "170ms", TAIL, True),
    ("hedging", "policies.search.hedge.max", 2, HEDGES, True),
    ("slow-replica", f"{POLICY}.balance", "random", TIMES, True),
    ("slow-replica", f"{POLICY}.balance", {"least_request": {"choices": 3}}, "latency.p90", False),
    ("slow-replica", "events[0].slow", 3.5, TIMES, True),
    ("endpoints", "load[0].endpoints", {"home": 67, "checkout": 33}, f"{HOME}.requests", True),
    ("endpoints", "services.shop.endpoints.home.script", [{"call": "cart/get"}], f"{HOME}.{TIMES}", True),
    ("endpoints", "services.cart.endpoints.add.errors", "35%", f"{ADDED}.retries", True),
    ("endpoints", "policies.cart/add.retries.attempts", 1, f"{ADDED}.failed", True),
    ("endpoints", "policies.cart/get", {"fault": {"delay": {"time": "5ms"}}}, f"{HOME}.{TIMES}", True),
    ("rate-limit", f"{POLICY}.rate_limit.rate", "52/s", RL, True),
]
"""Scenario, key and wrong value; a number that tells; whether also where the proxy makes its own draws."""


@pytest.mark.parametrize(("name", "key", "value", "metric", "also"), FOUND, ids=lambda part: str(part)[:40])
def test_it_is_found(name: str, key: str, value: Any, metric: str, also: bool) -> None:
    for proxy in ("meshsim", "envoy") if also else ("meshsim",):
        live = Planted(name=name, wrong={key: value})
        result = validate(load(FOLDER / f"{name}.yaml"), live=live, proxy=proxy)
        off = {row["metric"] for row in result.summary["metrics"] if not row["ok"]}
        assert result.verdict == "fail"
        assert metric in off, proxy


@pytest.mark.parametrize("proxy", ["meshsim", "envoy"])
def test_what_happens_only_once_is_found(proxy: str) -> None:
    """For a second and a half nothing gets through: one draw of luck, if there were nothing to bound luck."""

    class Broken(Fake):
        def change(self, records: Records) -> None:
            rows = records.requests
            some = (rows.start > 20.1) & (rows.start < 21.6)
            rows.status[some] = 503

    result = validate(load(FOLDER / "queue.yaml"), live=Broken(), proxy=proxy)
    assert result.verdict == "fail"
    assert any(reason.startswith("failures.503 is") for reason in result.summary["reasons"])


def test_a_busy_machine_hides_no_number() -> None:
    """It makes calls slower: no retries come of that where there is no time-out."""
    live = Planted(name="retries", wrong={f"{POLICY}.retries.attempts": 1}, evidence=BUSY)
    result = validate(load(FOLDER / "retries.yaml"), live=live)
    assert result.verdict == "fail"
    assert any(reason.startswith(f"{URX} is") for reason in result.summary["reasons"])
