"""Runs against theory: the table's cases, and what `solve` finds in each of their scenarios.

Every comparison is of independent replications, by Student's t interval of their mean (chi-square for a
variance, Poisson for rare events). The whole family of comparisons holds with 99.9 %: each
with 1 - 0.001/FAMILY (Bonferroni). Seeds are fixed, so that a test that passes keeps passing.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from meshsim.measure.summary import summarise
from meshsim.scenario.model import Scenario
from meshsim.theory import Prediction, measured, solve

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES, NOT_EXPRESSED, UNITS
from extra import EXTRA
from readings import AtMost, Check, Fact, Mean, Part, Quantile, Run, Variance
from test_formulas import CASES as TABLE
from test_formulas import needs_table

FAMILY = 5_000
"""More comparisons than there are."""
RISK = 0.001 / FAMILY
RARE = 100
"""Fewer bursts of events than this, over all replications, are compared as Poisson counts where events are
independent, and not at all where queues make them come in bursts."""

TOO_FAR_OUT = {
    "MM1_rho0.50.p999_ms", "MM1_rho0.80.p999_ms", "MM1_rho0.90.p99_ms", "MM1_rho0.90.p999_ms",
    "MM2_rho0.80.p999_ms", "MM4_rho0.80.p999_ms", "MM8_rho0.80.p999_ms", "MM10_rho0.80.p999_ms",
}  # fmt: skip

PARTS = {
    **{f"{name}.{number}": part for name, parts in CASES.items() for number, part in enumerate(parts)},
    **EXTRA,
}


# ---- running ----------------------------------------------------------------------------------------


def replicate(scenario: Scenario, replications: int) -> list[Run]:
    """Independent runs of a scenario."""
    from meshsim.engine import simulate

    return [
        Run(scenario, records, summarise([records], scenario).as_dict())
        for records in (simulate(scenario, 1_000 + seed) for seed in range(replications))
    ]


# ---- comparing --------------------------------------------------------------------------------------


def interval(values: list[float]) -> tuple[float, float]:
    """Where the mean lies."""
    mean, deviation, n = float(np.mean(values)), float(np.std(values, ddof=1)), len(values)
    half = float(stats.t.ppf(1.0 - RISK / 2.0, n - 1)) * deviation / math.sqrt(n)
    rounding = 1e-9 * abs(mean)
    return mean - half - rounding, mean + half + rounding


def assert_mean(values: list[float], expected: float, name: str) -> None:
    low, high = interval(values)
    assert low <= expected <= high, f"{name}: {expected:.6g} is not in [{low:.6g}, {high:.6g}]"


def assert_share(shares: list[float], counts: list[int], expected: float, burst: int, name: str) -> None:
    """A share by its interval; where it or its opposite is rare, by the Poisson law of the number."""
    total = sum(counts)
    for share, values in ((expected, shares), (1.0 - expected, [1.0 - value for value in shares])):
        if share * total < RARE * burst:
            seen = round(sum(value * count for value, count in zip(values, counts, strict=True)))
            low, high = stats.poisson.ppf([RISK / 2.0, 1.0 - RISK / 2.0], max(share, 0.0) * total + 1e-12)
            assert burst > 1 or low <= seen <= high, f"{name}: {seen} events, expected {share * total:.4g}"
            return
    assert_mean(shares, expected, name)


def assert_quantile(
    samples: list[NDArray[np.float64]], p: float, expected: float, burst: int, name: str
) -> None:
    """The share below must be p; at an atom, p must lie between the shares below and up to it."""
    slack = 1e-9 * expected
    below = [float((sample < expected - slack).mean()) for sample in samples]
    upto = [float((sample <= expected + slack).mean()) for sample in samples]
    if np.mean(upto) - np.mean(below) > 1e-3:
        assert interval(below)[0] <= p <= interval(upto)[1], f"{name}: {expected:.6g} is not the quantile"
    else:
        text = f"{name} = {expected:.6g}: share below"
        assert_share(upto, [len(sample) for sample in samples], p, burst, text)


def assert_check(check: Check, runs: list[Run], expected: float, burst: int, name: str) -> None:
    """One expected number of the table."""
    if isinstance(check, Mean):
        assert_mean([check.read(run) for run in runs], expected, name)
    elif isinstance(check, Quantile):
        samples = [run.latency[run.ok] if check.ok else run.latency for run in runs]
        assert_quantile(samples, check.p, expected, burst, name)
    elif isinstance(check, Variance):
        spread = check.scale * float(np.var([check.read(run) for run in runs], ddof=1))
        low, high = stats.chi2.ppf([RISK / 2.0, 1.0 - RISK / 2.0], len(runs) - 1) / (len(runs) - 1)
        assert low <= spread / expected <= high, f"{name}: {spread:.6g}, expected {expected:.6g}"
    elif isinstance(check, AtMost):
        assert max(check.read(run) for run in runs) <= expected, name
    else:
        assert isinstance(check, Fact)
        assert all(check.holds(run) for run in runs), name


def assert_table(part: Part, name: str, runs: list[Run]) -> None:
    """What the table says of a scenario."""
    for key, check in part.checks.items():
        expected = TABLE[name]["expected"][key]
        if not isinstance(check, Fact):
            expected = expected ** UNITS.get(key, {}).get(name, 1) * (1e-3 if key.endswith("_ms") else 1.0)
        assert_check(check, runs, expected, part.burst, f"{name}.{key}")


def assert_solution(part: Part, runs: list[Run]) -> int:
    """What `solve` says exactly; and how many numbers that were."""
    compared = 0
    for prediction in solve(runs[0].scenario).predictions:
        if prediction.kind == "exact":
            compare(prediction, runs, part.burst)
            compared += 1
        elif prediction.kind == "bound":
            values = [measured(run.summary, prediction.metric) or 0.0 for run in runs]
            assert interval(values)[0] <= prediction.value, prediction.metric
    assert compared < 60
    return compared


def compare(prediction: Prediction, runs: list[Run], burst: int) -> None:
    """One exact prediction with the runs."""
    metric, value = prediction.metric, prediction.value
    place, _, key = metric.rpartition(".")
    group, _, _ = place.partition(".")
    if key in QUANTILES:
        samples = [run.latency[run.ok] if group == "ok_latency" else run.latency for run in runs]
        if group == "edges":
            service, endpoint = place.removeprefix("edges.client -> ").split(".")[:3:2]
            samples = [run.latency[asked(run, service, endpoint)] for run in runs]
        assert_quantile(samples, QUANTILES[key], value, burst, metric)
        return
    if metric.startswith("derived.load["):
        load = int(metric.split("[")[1].split("]")[0])
        latencies = [run.latency[run.records.requests.load[run.measured] == load] for run in runs]
        assert_mean([float(latency.mean()) for latency in latencies], value, metric)
        return
    values = [measured(run.summary, metric) for run in runs]
    present = [0.0 if each is None else each for each in values]
    if metric == "requests.success_ratio" or metric.startswith("failures."):
        counts = [run.summary["requests"]["completed"] for run in runs]
        assert_share(present, counts, value, burst, metric)
    elif metric.endswith((".rate", ".goodput")) and np.ptp(present) * runs[0].summary["measured"] < 1.5:
        # Regular arrivals: one more or less fits in the window
        assert abs(present[0] - value) * runs[0].summary["measured"] < 1.5, metric
    else:
        assert_mean(present, value, metric)


def asked(run: Run, service: str, endpoint: str) -> NDArray[np.bool_]:
    """Which measured requests ask for an endpoint."""
    rows = run.records.requests
    there = np.array([load.to == service for load in run.scenario.load])[rows.load]
    return np.asarray((there & (rows.endpoint == endpoint))[run.measured])


QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


def check_part(name: str, part: Part, replications: int, requests: int) -> None:
    """Run a part and compare everything."""
    runs = replicate(part.scenario(requests), replications)
    if part.checks:
        assert_table(part, name.rsplit(".", 1)[0], runs)
    if part.solved and len(runs) > 1:
        compared = assert_solution(part, runs)
        assert part.checks or compared > 4


# ---- the tests --------------------------------------------------------------------------------------


@needs_table
def test_every_exact_number_is_run_or_explained() -> None:
    for name, case in TABLE.items():
        if not case["kind"].startswith("exact"):
            assert name not in CASES
            continue
        explained = NOT_EXPRESSED.get(name, {})
        if "*" in explained:
            assert name not in CASES
            continue
        read = {key for part in CASES[name] for key in part.checks}
        assert read | set(explained) == set(case["expected"]), name
        assert not read & set(explained), name


@needs_table
def test_quantiles_that_no_run_can_tell_are_known() -> None:
    """A run of the long set is too short for them: near saturation they take millions of requests."""
    short = {
        f"{name}.{key}"
        for name, parts in CASES.items()
        for part in parts
        for key, check in part.checks.items()
        if isinstance(check, Quantile)
        and part.burst > 1
        and (1.0 - check.p) * part.requests * part.replications < RARE * part.burst
    }
    assert short == TOO_FAR_OUT


def test_the_family_is_large_enough() -> None:
    assert sum(len(part.checks) for part in PARTS.values()) + 40 * len(PARTS) <= FAMILY


def short(names: Callable[[Part], bool]) -> list[str]:
    return [name for name, part in PARTS.items() if names(part)]


@needs_table
@pytest.mark.parametrize("name", short(lambda part: part.fast is not None))
def test_cases(name: str) -> None:
    part = PARTS[name]
    assert part.fast is not None
    check_part(name, part, *part.fast)


@needs_table
@pytest.mark.long
@pytest.mark.parametrize("name", PARTS)
def test_cases_long(name: str) -> None:
    part = PARTS[name]
    check_part(name, part, part.replications, part.requests)
