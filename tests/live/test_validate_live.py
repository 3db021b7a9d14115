"""Validation of the real mesh: a wrong service time is found, whatever calibration does (80 s)."""

import pytest

from meshsim.lab.validate import validate
from meshsim.lab.validate.observation import on_this_machine
from meshsim.scenario import loads

SCENARIO = loads("""
name: planted
seed: 5
duration: 20s
warmup: 2s
services: {api: {workers: 4, time: {exponential: 40ms}}}
mesh: {dataplane: sidecar}
load: [{to: api, rate: 50/s}]
""")
SLOWER = loads(
    "{duration: 1s, services: {api: {}}, load: [{to: api, rate: 1/s}],"
    " events: [{at: 0s, service: api, slow: 1.2}]}"
)


def slower(scenario, *, proxy, progress=None):
    """The real mesh with services that are a fifth slower than the scenario says, calibration included."""
    return on_this_machine(
        scenario.model_copy(update={"events": SLOWER.events}), proxy=proxy, progress=progress
    )


@pytest.mark.long
def test_a_planted_wrong_service_time_does_not_pass_on_real_processes() -> None:
    honest = validate(SCENARIO, replications=2)
    assert honest.verdict in ("pass", "noisy"), honest.summary["reasons"]  # the machine may be anybody's
    planted = validate(SCENARIO, replications=2, live=slower)
    assert planted.verdict in ("fail", "noisy")
    errors = {row["metric"]: row["error"] for row in planted.summary["metrics"]}
    assert errors["latency.mean"] > 0.15, "a fifth more, and longer queues"
    calls = [each.summary["overhead"]["client -> api"]["p50"] for each in (honest, planted)]
    assert calls[1] < calls[0] + 0.004, "of 8 ms more the calibration sees nothing"
