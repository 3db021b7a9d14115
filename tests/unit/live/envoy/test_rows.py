"""An Envoy's logs as the rows of a proxy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from meshsim.live import merge
from meshsim.live.envoy import CallRow, Ejection, rows
from meshsim.policies.outcome import flag_names
from meshsim.scenario import loads
from meshsim.scenario.model import Policy

SCENARIO = loads(
    "{name: x, duration: 1s, services: {front: {script: [{call: cart}]}, cart: {replicas: 2}},"
    " load: [{to: front, rate: 1/s}]}"
)
CALL = CallRow(
    key=255, request_start=0.5, extra=True, listener="url/cart", caller="front", service="cart", start=1.0,
    end=1.5, status=504, flags=("URX", "UT"), attempts=3, replica="cart/1", details="response_timeout",
    request_id="",
)  # fmt: skip


def test_calls_and_ejections_have_the_numbers_of_the_scenario() -> None:
    answered = replace(CALL, status=200, flags=(), details="via_upstream")
    inbound = replace(CALL, listener="inbound", caller="", service="front")
    nowhere = replace(CALL, listener="outbound", service="")
    found = rows(SCENARIO, "front", [CALL, answered, inbound, nowhere], [Ejection(2.0, "cart", "cart/0")])
    assert found["calls.edge"].tolist() == [1, 1]
    assert found["calls.host"].tolist() == [-1, 2]  # front/0, cart/0, cart/1
    assert [flag_names(int(flags)) for flags in found["calls.flags"]] == ["URX,UT", ""]
    assert found["calls.sent"].tolist() == [3, 3]
    assert found["ejections.edge"].tolist() == [1]
    assert found["ejections.replica"].tolist() == [1]


def test_they_are_what_a_merge_takes() -> None:
    found = rows(SCENARIO, "front", [CALL], [])
    assert {f"calls.{name}" for name in merge.CALLS} <= set(found)
    assert {f"ejections.{name}" for name in merge.EJECTIONS} <= set(found)
    parts = {("proxy", "front/0"): found}
    table = merge.gather(parts, "proxy", "calls", merge.CALLS, "start")
    assert table["key"].tolist() == [255]
    assert table["end"].dtype == np.float64


def test_a_hedge_that_was_one_too_many_is_no_failure() -> None:
    hedged = SCENARIO.model_copy(
        update={"policies": {"cart": Policy.model_validate({"hedge": {"after": "30ms"}})}}
    )
    won = replace(CALL, status=200, flags=("URX",), details="via_upstream")
    held = replace(won, flags=("UO",))  # no slot for a hedge
    full = replace(
        CALL, status=503, flags=("UO",), details="upstream_reset_before_response_started{overflow}"
    )
    for scenario, expected in ((hedged, ["UT", "", "", "UO"]), (SCENARIO, ["URX,UT", "URX", "UO", "UO"])):
        found = rows(scenario, "front", [CALL, won, held, full], [])
        assert [flag_names(int(flags)) for flags in found["calls.flags"]] == expected
