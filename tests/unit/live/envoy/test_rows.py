"""An Envoy's logs as the rows of a proxy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from meshsim.live import merge
from meshsim.live.envoy import CallRow, Ejection, TryRow, rows
from meshsim.mesh.attempt import HEDGE, RETRY
from meshsim.policies.outcome import flag_names
from meshsim.random import derive
from meshsim.scenario import loads
from meshsim.scenario.model import Policy

SCENARIO = loads(
    "{name: x, duration: 1s, services: {front: {script: [{call: cart}]}, cart: {replicas: 2}},"
    " load: [{to: front, rate: 1/s}]}"
)
CALL = CallRow(
    key=255, request_start=0.5, extra=True, listener="url/cart", caller="front", service="cart",
    endpoint="", start=1.0, end=1.5, status=504, flags=("URX", "UT"), attempts=3, replica="cart/1",
    details="response_timeout", request_id="",
)  # fmt: skip

FIRST = TryRow(
    call=255, request_start=0.5, extra=False, request_id="", service="cart", endpoint="", number=0,
    launched=1.0, sent=1.1, end=1.2, status=0, refused=True, replica="cart/0",
)  # fmt: skip
NEXT = replace(FIRST, number=1, launched=1.3, sent=1.3, end=1.5, status=500, refused=False, replica="cart/1")
HEDGED = SCENARIO.model_copy(
    update={"policies": {"cart": Policy.model_validate({"hedge": {"after": "30ms"}})}}
)


def test_calls_and_ejections_have_the_numbers_of_the_scenario() -> None:
    answered = replace(CALL, status=200, flags=(), details="via_upstream")
    inbound = replace(CALL, listener="inbound", caller="", service="front")
    nowhere = replace(CALL, listener="outbound", service="")
    found = rows(SCENARIO, "front", [CALL, answered, inbound, nowhere], [], [Ejection(2.0, "cart", "cart/0")])
    assert found["calls.route"].tolist() == [1, 1]
    assert found["calls.host"].tolist() == [-1, 2]  # front/0, cart/0, cart/1
    assert [flag_names(int(flags)) for flags in found["calls.flags"]] == ["URX,UT", ""]
    assert found["ejections.edge"].tolist() == [1]
    assert found["ejections.replica"].tolist() == [1]


def test_a_try_that_was_refused_is_one_and_one_that_was_not_sent_is_none() -> None:
    waiting = replace(FIRST, number=2, launched=1.6, sent=np.nan, replica="")
    found = rows(SCENARIO, "front", [CALL], [NEXT, FIRST, waiting], [])
    assert found["calls.sent"].tolist() == [2]
    assert found["attempts.key"].tolist() == [derive(255, 0), derive(255, 1)]
    assert found["attempts.kind"].tolist() == [0, 1]
    assert found["attempts.extra"].tolist() == [False, True]
    assert found["attempts.replica"].tolist() == [1, 2]
    assert found["attempts.sent"].tolist() == [1.1, 1.3]
    np.testing.assert_array_equal(found["attempts.arrived"], [np.nan, 1.3])
    np.testing.assert_array_equal(found["attempts.answered"], [np.nan, 1.5])
    assert found["attempts.answer_status"].tolist() == [0, 500]


def test_concurrent_tries_are_numbered_as_they_were_launched() -> None:
    late = [replace(each, number=1) for each in (NEXT, FIRST)]  # as Envoy's log has them: with the last's
    found = rows(HEDGED, "front", [CALL], late, [])
    assert found["attempts.key"].tolist() == [derive(255, 0), derive(255, 1)]
    assert found["attempts.kind"].tolist() == [0, 2]


def test_they_are_what_a_merge_takes() -> None:
    found = rows(SCENARIO, "front", [CALL], [FIRST], [])
    assert {f"calls.{name}" for name in merge.CALLS} <= set(found)
    assert {f"attempts.{name}" for name in merge.ATTEMPTS} <= set(found)
    assert {f"ejections.{name}" for name in merge.EJECTIONS} <= set(found)
    parts = {("proxy", "front/0"): found}
    table = merge.gather(parts, "proxy", "calls", merge.CALLS, "start")
    assert table["key"].tolist() == [255]
    assert table["end"].dtype == np.float64


def test_a_hedge_that_was_one_too_many_is_no_failure() -> None:
    won = replace(CALL, status=200, flags=("URX",), details="via_upstream")
    held = replace(won, flags=("UO",))  # no slot for a hedge
    full = replace(
        CALL, status=503, flags=("UO",), details="upstream_reset_before_response_started{overflow}"
    )
    for scenario, expected in ((HEDGED, ["UT", "", "", "UO"]), (SCENARIO, ["URX,UT", "URX", "UO", "UO"])):
        found = rows(scenario, "front", [CALL, won, held, full], [], [])
        assert [flag_names(int(flags)) for flags in found["calls.flags"]] == expected


ENDPOINTS = loads("""
duration: 1s
services:
  front: {script: [{call: cart/get}, {call: cart/add}]}
  cart: {endpoints: {add: {method: POST}, get: {}}}
policies: {cart/get: {hedge: {after: 30ms}}, cart/add: {retries: {}}}
load: [{to: front, rate: 1/s}]
""")


def test_calls_and_tries_have_the_route_of_their_endpoint() -> None:
    calls = [replace(CALL, endpoint=endpoint, replica="cart/0") for endpoint in ("add", "get", "")]
    tries = [
        replace(NEXT, call=n, endpoint=endpoint, replica="cart/0")
        for n, endpoint in enumerate(("add", "get"))
    ]
    found = rows(
        ENDPOINTS, "front", calls, [*tries, *(replace(each, launched=1.0, number=0) for each in tries)], []
    )
    assert found["calls.route"].tolist() == [2, 3, 1]  # of cart: itself first, then in order of the file
    assert found["attempts.route"].tolist() == [2, 3, 2, 3]
    assert found["attempts.kind"].tolist() == [0, 0, RETRY, HEDGE]
