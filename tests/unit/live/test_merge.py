"""Putting the processes' rows together, on rows made up by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meshsim.live.merge import Ending, Merged, cut, find, merge, names
from meshsim.measure.summary import summarise
from meshsim.policies.outcome import UF, URX, UT, add_flag
from meshsim.scenario.model import Objective, Scenario

SCENARIO = Scenario.model_validate(
    {
        "duration": "10s",
        "services": {
            "api": {"script": [{"call": "db"}]},
            "db": {"versions": {"v1": {"replicas": 2}, "v2": {}}, "workers": 2},
        },
        "load": [{"to": "api", "rate": "1/s"}],
    }
)
"""Edges: 0 is client -> api, 1 is api -> db. Replicas: api/0, db/v1/0, db/v1/1, db/v2/0."""

NAN = float("nan")


def table(name: str, columns: str, *rows: tuple[Any, ...]) -> dict[str, Any]:
    """Columns of a table by the names they have in an .npz, from its rows."""
    each = zip(*rows, strict=True) if rows else [()] * len(columns.split())
    return {
        f"{name}.{column}": np.array(values) for column, values in zip(columns.split(), each, strict=True)
    }


REQUESTS = "load route start end status key"
CALLS = "key route request_start start end status flags extra sent host"
ATTEMPTS = "key route replica kind extra request_start sent ended arrived answered answer_status"
VISITS = "key arrived answered status"


def parts() -> dict[tuple[str, str], dict[str, Any]]:
    """Two requests: 11 is answered after a retry of its call to db, 12 has no answer."""
    no_bins = {"busy": np.zeros(3), "queued": np.zeros(0)}
    return {
        ("load", "client/0"): {
            **table("requests", REQUESTS, (0, 0, 2.0, NAN, 0, 12), (0, 0, 1.0, 1.5, 200, 11)),
            "lag": np.array([0.001, 0.002]),
        },
        ("proxy", "client/0"): {
            **table("calls", CALLS, (11, 0, 1.0, 1.0, 1.5, 200, 0, False, 1, 0)),
            **table(
                "attempts", ATTEMPTS,
                (110, 0, 0, 0, False, 1.0, 1.01, 1.49, 1.01, 1.49, 200),
                (120, 0, 0, 0, False, 2.0, 2.01, NAN, NAN, NAN, 0),
            ),
        },
        ("proxy", "api/0"): {
            **table("calls", CALLS, (21, 1, 1.0, 1.1, 1.4, 200, 0, False, 2, 3)),
            **table(
                "attempts", ATTEMPTS,
                (210, 1, 1, 0, False, 1.0, 1.11, 1.2, NAN, 1.2, 503),
                (211, 1, 3, 1, True, 1.0, 1.21, 1.39, 1.21, 1.39, 200),
            ),
            **table("ejections", "time edge replica", (1.2, 1, 1)),
        },
        ("service", "api/0"): {
            **table("visits", VISITS, (110, 1.02, 1.48, 200)), **no_bins,
            "lag": np.array([0.0001]),
        },
        ("service", "db/v2/0"): {
            **table("visits", VISITS, (211, 1.22, 1.38, 200)),
            "busy": np.arange(5.0), "queued": np.zeros(0),
        },
    }  # fmt: skip


def merged() -> Merged:
    return merge(SCENARIO, 7, "live", parts(), Ending(10.0, True))


def test_requests_come_in_order_of_arrival_with_what_the_proxy_knows_of_their_calls() -> None:
    found = merged()
    rows = found.records.requests
    assert found.keys.tolist() == [11, 12]
    assert rows.start.tolist() == [1.0, 2.0]
    assert rows.status.tolist() == [200, 0]
    assert rows.attempts.tolist() == [1, 0]
    assert rows.version.tolist() == ["", ""]  # api has no versions


def test_a_request_has_flags_and_version_of_its_own_call() -> None:
    calls = table(
        "calls", CALLS,
        (12, 0, 2.0, 2.0, 2.5, 504, add_flag(add_flag(0, URX), UT), False, 3, -1),
        (11, 0, 1.0, 1.0, 1.5, 200, 0, False, 2, 3),
    )  # fmt: skip
    requests = table("requests", REQUESTS, (0, 0, 1.0, 1.5, 200, 11), (0, 0, 2.0, 2.5, 504, 12))
    rows = merge(
        SCENARIO,
        7,
        "live",
        {("load", "client/0"): requests, ("proxy", "client/0"): calls},
        Ending(10.0, True),
    ).records.requests
    assert rows.flag.tolist() == ["", "URX,UT"]
    assert rows.attempts.tolist() == [2, 3]
    assert rows.version.tolist() == ["v2", ""]


def test_a_call_of_another_edge_with_the_same_key_is_not_the_requests() -> None:
    other = table("calls", CALLS, (11, 1, 0.5, 0.5, 1.4, 504, UT, False, 9, 3))
    rows = merged().records.requests
    mixed = merge(
        SCENARIO, 7, "live", {**parts(), ("proxy", "api/0"): other}, Ending(10.0, True)
    ).records.requests
    assert mixed.attempts.tolist() == rows.attempts.tolist() == [1, 0]


def test_a_call_of_the_client_is_what_the_client_saw_of_it() -> None:
    """So an objective is judged on the very latency that is printed, and not on what the proxy saw of it."""
    seen = table(
        "calls", CALLS,
        (11, 0, 1.0, 1.1, 1.3, 200, 0, False, 2, 0),
        (99, 0, 3.0, 3.1, 3.2, 404, 0, False, 0, -1),  # an outsider's
    )  # fmt: skip
    told = {**parts(), ("proxy", "client/0"): seen}
    records = merge(SCENARIO, 7, "live", told, Ending(10.0, True)).records
    own = records.calls.edge == 0
    assert records.calls.start[own].tolist() == [1.0, 2.0, 3.1]
    np.testing.assert_array_equal(records.calls.end[own], [1.5, NAN, 3.2])
    assert records.calls.status[own].tolist() == [200, 0, 404]
    asked = SCENARIO.model_copy(
        update={"objectives": (Objective.model_validate({"service": "api", "p99": "400ms"}),)}
    )
    told["proxy", "client/0"] = {name: column[:1] for name, column in seen.items()}
    summary = summarise([merge(asked, 7, "live", told, Ending(10.0, True)).records], asked).as_dict()
    assert summary["objectives"][0]["measured"]["p99"] is None  # a request has no answer: it is later still
    done = {
        **told,
        ("load", "client/0"): table("requests", REQUESTS, (0, 0, 1.0, 1.5, 200, 11)),
    }
    summary = summarise([merge(asked, 7, "live", done, Ending(10.0, True)).records], asked).as_dict()
    assert summary["objectives"][0]["measured"]["p99"] == summary["latency"]["p99"] == 0.5
    assert not summary["objectives"][0]["met"]


def test_attempts_have_arrival_answer_and_status_of_their_visits_or_else_as_the_proxy_saw_it() -> None:
    rows = merged().records.attempts
    assert rows.sent.tolist() == [1.01, 1.11, 1.21, 2.01]
    np.testing.assert_array_equal(rows.arrived, [1.02, NAN, 1.22, NAN])
    np.testing.assert_array_equal(rows.answered, [1.48, 1.2, 1.38, NAN])
    assert rows.status.tolist() == [200, 503, 200, 0]
    assert rows.kind.tolist() == [0, 0, 1, 0]
    assert rows.extra.tolist() == [False, False, True, False]


def test_a_route_is_an_edge_and_an_endpoint() -> None:
    services = {name: {"endpoints": {"add": {}, "get": {}}} for name in ("api", "db")}
    load = [{"to": "api", "rate": "1/s", "endpoints": {"get": 1, "add": 1}}]
    script = [{"call": "db/get"}]
    scenario = Scenario.model_validate(
        {
            "duration": "10s",
            "services": {**services, "api": {**services["api"], "script": script}},
            "load": load,
        }
    )
    assert [endpoint for _, _, endpoint in scenario.routes()] == ["", "add", "get", "", "get"]
    rows = {
        ("load", "client/0"): table(
            "requests",
            REQUESTS,
            (0, 2, 1.0, 1.5, 200, 11),
            (0, 1, 2.0, 2.5, 200, 12),
            (0, 0, 3.0, NAN, 0, 13),
        ),
        ("proxy", "client/0"): table("calls", CALLS, (11, 2, 1.0, 1.0, 1.5, 200, 0, False, 1, 0)),
        ("proxy", "api/0"): {
            **table("calls", CALLS, (21, 4, 1.0, 1.1, 1.4, 200, 0, False, 1, 1)),
            **table("attempts", ATTEMPTS, (210, 4, 1, 0, False, 1.0, 1.1, 1.4, 1.1, 1.4, 200)),
        },
    }
    records = merge(scenario, 7, "live", rows, Ending(10.0, True)).records
    assert records.requests.endpoint.tolist() == ["get", "add", ""]
    assert records.calls.edge.tolist() == [0, 1, 0, 0]
    assert records.calls.endpoint.tolist() == [2, 2, 1, 0], "numbers at the service, in the order of the file"
    assert (records.attempts.edge.tolist(), records.attempts.endpoint.tolist()) == ([1], [2])
    found = summarise([records], scenario).as_dict()["services"]["db"]["endpoints"]
    assert {name: each["requests"] for name, each in found.items()} == {"add": 0, "get": 1}


def test_what_happened_after_the_end_is_not_seen() -> None:
    merged = merge(SCENARIO, 7, "live", parts(), Ending(1.3, False, interrupted=True))
    records = merged.records
    assert len(merged.keys) == len(records.requests.start)  # they are paired by place
    assert records.requests.start.tolist() == [1.0]
    assert np.isnan(records.requests.end).all()
    assert records.requests.status.tolist() == [0]
    assert records.calls.status.tolist() == [0, 0]
    assert records.attempts.sent.tolist() == [1.01, 1.11, 1.21]
    assert records.attempts.status.tolist() == [0, 503, 0]
    assert np.isnan(records.attempts.ended[[0, 2]]).all()


def test_the_bins_of_all_replicas_are_one_table() -> None:
    records = merged().records
    assert records.busy.shape == (4, max(5, records.grid.last))
    assert records.busy[3, :5].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert records.busy[1].sum() == 0.0
    assert records.ejections == [(1.2, 1, 1)]


def test_lags_are_those_of_the_load_generator_and_of_the_services() -> None:
    found = merged()
    assert found.lag.tolist() == [0.001, 0.002]
    assert found.timer_lag.tolist() == [0.0001]


def test_the_summary_is_made_of_them_as_of_a_simulation() -> None:
    summary = summarise([merged().records], SCENARIO).as_dict()
    assert summary["engine"] == "live"
    assert summary["requests"]["offered"] == 2
    assert summary["requests"]["unfinished"] == 1
    assert summary["edges"]["api -> db"]["retries"] == 1
    assert summary["services"]["db"]["requests"] == 1  # the other try has never arrived
    assert summary["latency"]["max"] == pytest.approx(0.5)


def test_a_run_without_any_rows_is_an_empty_one() -> None:
    records = merge(SCENARIO, 7, "live", {}, Ending(10.0, True)).records
    assert len(records.requests.start) == len(records.calls.start) == len(records.attempts.sent) == 0


def test_keys_are_found_in_any_order_and_up_to_the_largest() -> None:
    among = np.array([2**64 - 1, 5, 2**63, 5], dtype=np.uint64)
    wanted = np.array([5, 6, 2**64 - 1, 2**63, 0], dtype=np.uint64)
    assert find(wanted, among).tolist() == [1, -1, 0, 2, -1]


def test_flags_are_named_in_their_order() -> None:
    packed = np.array([0, add_flag(add_flag(0, URX), UF), UT], dtype=np.int64)
    assert names(packed).tolist() == ["", "URX,UF", "UT"]


def test_rows_that_end_at_the_end_are_finished() -> None:
    rows = {"start": np.array([0.0, 1.0]), "end": np.array([1.0, NAN]), "status": np.array([200, 0])}
    assert cut(rows, 1.0)["status"].tolist() == [200, 0]


def test_what_programs_did_before_time_0_is_not_seen() -> None:
    early = table("calls", CALLS, (31, 1, -2.0, -2.0, -1.9, 200, 0, False, 1, 0))
    early |= table("attempts", ATTEMPTS, (310, 1, 1, 0, False, -2.0, -2.0, -1.9, NAN, -1.9, 200))
    written = parts()
    for name, values in early.items():
        written["proxy", "api/0"][name] = np.concatenate([values, written["proxy", "api/0"][name]])
    found = merge(SCENARIO, 7, "live", written, Ending(10.0, True)).records
    assert found.calls.start.min() >= 0.0
    assert len(found.calls.start) == len(merged().records.calls.start)
    assert len(found.attempts.sent) == len(merged().records.attempts.sent)
