"""A live mesh with endpoints: each request asks for what a simulated one does, and is answered alike."""

from __future__ import annotations

import numpy as np
import pytest

from meshsim import run
from meshsim.lab.live import run_live
from meshsim.measure.records import Calls
from meshsim.scenario import loads

SCENARIO = loads("""
name: endpoints
seed: 3
duration: 3s
services:
  front:
    endpoints:
      home: {time: 1ms, script: [{call: cart/get, repeat: 3}, {call: cart/look}]}
      buy:
        method: POST
        script: [[{call: cart/add, repeat: 2}, {call: cart, optional: true}], {call: cart/get}]
  cart:
    replicas: 2
    errors: 50%
    endpoints:
      get: {path: /cart, time: {exponential: 2ms}, errors: 5%}
      add: {method: POST, path: /cart, errors: 10%}
      look: {method: HEAD, path: /cart, errors: 0%}
mesh: {dataplane: sidecar}
policies:
  cart: {retries: {attempts: 1, on: [5xx], backoff: {base: 1ms}}}
  cart/add: {retries: {attempts: 0}, fault: {abort: {percent: 20%, status: 409}}}
load: [{to: front, rate: 30/s, endpoints: {home: 60, buy: 40}}]
""")


@pytest.mark.long
def test_a_live_mesh_with_endpoints_is_as_simulated() -> None:
    simulated, live = run(SCENARIO), run_live(SCENARIO)
    (meant,), (found,) = simulated.records, live.records
    assert set(meant.requests.endpoint) == {"home", "buy"}
    for column in ("endpoint", "status", "attempts"):
        assert getattr(found.requests, column).tolist() == getattr(meant.requests, column).tolist()
    assert counted(found.calls) == counted(meant.calls)
    for column in ("edge", "endpoint", "status", "kind"):
        rows = (getattr(each.attempts, column).tolist() for each in (found, meant))
        assert sorted(next(rows)) == sorted(next(rows)), column
    for service in ("front", "cart"):
        of, by = (each.summary["services"][service]["endpoints"] for each in (live, simulated))
        for endpoint in by:
            for key in ("method", "path", "requests", "ok", "failed"):
                assert of[endpoint][key] == by[endpoint][key]
    assert live.summary["live"]["troubles"] == {}


COLUMNS = ("edge", "endpoint", "status", "flag")


def counted(calls: Calls) -> list[tuple[object, ...]]:
    """Edge, endpoint, status and flag of all calls, in an order of their own: concurrent ones have none."""
    return sorted(zip(*(np.asarray(getattr(calls, name)).tolist() for name in COLUMNS), strict=True))
