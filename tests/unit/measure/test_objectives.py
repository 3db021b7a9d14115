import math

import numpy as np
import pytest

from meshsim.measure.objectives import ObjectiveResult
from meshsim.measure.summary import summarise


def judged(make_scenario, make_records, objective: dict, **made) -> ObjectiveResult:
    scenario = make_scenario(objectives=[{"service": "api", **objective}])
    record = make_records(scenario, np.arange(0.0, 100.0, 0.1), **made)
    return summarise([record], scenario).objectives[0]


@pytest.mark.parametrize(
    ("objective", "met"),
    [
        ({"p99": "200ms"}, True),
        ({"p99": "100ms"}, True),
        ({"p99": "99ms"}, False),
        ({"success": "100%"}, True),
        ({"mean": "1s", "max": "50ms"}, False),
    ],
)
def test_limits_include_their_value(make_scenario, make_records, objective, met) -> None:
    assert judged(make_scenario, make_records, objective, latency=0.1 - 1e-12).met is met


def test_what_is_told(make_scenario, make_records) -> None:
    found = judged(make_scenario, make_records, {"p99": "250ms", "success": "99.9%"}, status=500)
    assert found.as_dict() == {
        "service": "api", "p99": 0.25, "success": pytest.approx(0.999),
        "measured": {"p99": pytest.approx(0.1), "success": 0.0}, "within": {"p99": 1.0}, "met": False,
        "independent": 900.0,
    }  # fmt: skip


def test_a_limit_that_no_float_can_hold_is_met_exactly(make_scenario, make_records) -> None:
    status = np.full(1000, 200)
    status[500] = 503
    scenario = make_scenario(warmup="0s", objectives=[{"service": "api", "success": "99.9%"}])
    (found,) = summarise(
        [make_records(scenario, np.arange(0.0, 100.0, 0.1), status=status)], scenario
    ).objectives
    assert found.met


def test_requests_without_an_answer_have_not_succeeded(make_scenario, make_records) -> None:
    latency = np.full(1000, 0.1)
    latency[500:520] = math.nan  # 20 of 900 measured
    made = {"latency": latency, "complete": False, "end": 200.0}
    found = judged(make_scenario, make_records, {"success": "99%", "p90": "1s", "p99": "1s"}, **made)
    assert found.measured == {"success": pytest.approx(880 / 900), "p90": pytest.approx(0.1), "p99": None}
    assert not found.met


def test_an_inner_service_is_judged_by_its_answers(make_scenario, make_records) -> None:
    scenario = make_scenario(objectives=[{"service": "api", "success": "50%"}])
    record = make_records(scenario, np.arange(0.0, 100.0, 0.1), tries=2)
    record.edges[0] = ("other", "api")
    (found,) = summarise([record], scenario).objectives
    assert found.measured["success"] == pytest.approx(0.5)
    assert found.met


def test_nothing_measured_meets_nothing(make_scenario, make_records) -> None:
    scenario = make_scenario(objectives=[{"service": "api", "p50": "1s"}])
    (found,) = summarise([make_records(scenario, [])], scenario).objectives
    assert found.measured == {"p50": None}
    assert not found.met


def test_the_share_within_a_percentile_s_limit_counts_what_never_came_as_too_late(
    make_scenario, make_records
) -> None:
    latency = np.full(1000, 0.1)
    latency[400:430] = 0.3
    latency[500:520] = math.nan  # 20 of 900 measured
    found = judged(make_scenario, make_records, {"p95": "200ms", "success": "50%"}, latency=latency)
    assert found.within == {"p95": pytest.approx(850 / 900)}
