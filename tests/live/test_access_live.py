"""A live mesh with access rules denies the requests that a simulated one does, before and after a push."""

from __future__ import annotations

import pytest

from meshsim import run
from meshsim.lab.live import run_live
from meshsim.scenario import loads

SCENARIO = loads("""
name: access
seed: 3
duration: 4s
services:
  a: {time: 3ms, script: [{call: b/get}, {call: b/put, optional: true}]}
  b: {time: 1ms, endpoints: {get: {}, put: {method: POST}}}
mesh: {dataplane: sidecar}
access: [{allow: {to: b, endpoints: [get]}}]
load: [{to: a, rate: 40/s}, {to: b, rate: 10/s}]
events: [{at: 2s, set: {access: [{deny: {to: a}}, {deny: {to: b, from: client}}]}}]
""")


@pytest.mark.long
def test_the_same_requests_are_denied() -> None:
    simulated, live = run(SCENARIO), run_live(SCENARIO)
    (meant,), (found,) = simulated.records, live.records
    near = (
        abs(meant.requests.start - 2.0) < 0.05
    )  # whether a push or a request comes first is not certain live
    assert (meant.requests.status == found.requests.status)[~near].all()
    for service, least in (("a", 60), ("b", 80)):
        by, of = (each.summary["services"][service] for each in (simulated, live))
        assert by["denied"] > least
        assert abs(of["denied"] - by["denied"]) <= near.sum()
        assert abs(of["requests"] - by["requests"]) <= 2 * near.sum()
    assert live.summary["live"]["troubles"] == {}
