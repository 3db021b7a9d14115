"""Scenarios beyond the table, whose runs are held against what `solve` says of them."""

from __future__ import annotations

from typing import Any

from cases import MMPP, TEN, balanced, lone
from readings import Document, Part


def chain(**service: Any) -> Document:
    return {"holds_worker": False, "workers": 1, **service}


def own_connections(document: Document) -> Document:
    """Each attempt opens a connection, which takes 7 ms."""
    policies = {
        to: {**policy, "connection": {"max_requests": 1}} for to, policy in document["policies"].items()
    }
    return {**document, "policies": policies, "links": {"default": {"latency": "1ms", "connect": "7ms"}}}


def mixed(endpoints: Document, rate: float, mix: Document, **service: Any) -> Document:
    """The client and the endpoints of service x."""
    load = {"to": "x", "rate": f"{rate!r}/s", "endpoints": mix}
    return {"services": {"x": {"time": TEN, **service, "endpoints": endpoints}}, "load": [load]}


EXTRA: dict[str, Part] = {
    "bucket_poisson_lam80": Part(
        lone(80.0, policy={"rate_limit": {"burst": 5, "rate": "100/s"}}, time=TEN),
        80.0,
        2.0,
        {},
        fast=(12, 1_200),
    ),
    "bucket_poisson_lam120": Part(
        lone(120.0, policy={"rate_limit": {"burst": 20, "rate": "100/s"}}, time=TEN), 120.0, 5.0, {}
    ),
    "bucket_constant": Part(
        {
            **lone(120.0, policy={"rate_limit": {"burst": 5, "rate": "100/s"}}, time=TEN),
            "load": [{"to": "x", "rate": "120/s", "arrivals": "constant"}],
        },
        120.0,
        2.0,
        {},
    ),
    "breaker_is_erlang_b": Part(
        lone(
            300.0,
            policy={"circuit_breaker": {"max_requests": 4}},
            time={"lognormal": {"mean": "10ms", "cv": 1.5}},
        ),
        300.0,
        1.0,
        {},
        fast=(12, 1_200),
    ),
    "no_waiting_room_is_erlang_b": Part(
        lone(300.0, workers=4, queue=0, time={"uniform": {"low": "5ms", "high": "15ms"}}), 300.0, 1.0, {}
    ),
    "md1k": Part(lone(110.0, workers=1, queue=5, time="10ms"), 110.0, 2.0, {}),
    "p2c_with_replacement": balanced(2, "least_request", {}),
    "p2c_three_of_two_workers": Part(
        lone(480.0, policy={"balance": "least_request"}, replicas=3, workers=2, time=TEN), 480.0, 4.0, {}
    ),
    "round_robin_two_workers": Part(lone(320.0, replicas=2, workers=2, time=TEN), 320.0, 5.0, {}, 7_000),
    "round_robin_of_constant": Part(
        {
            **lone(160.0, replicas=2, workers=1, time=TEN),
            "load": [{"to": "x", "rate": "160/s", "arrivals": "constant"}],
        },
        160.0,
        5.0,
        {},
        6_000,
    ),
    "mmpp_over_two": Part(
        {
            **MMPP,
            "services": {"x": {"workers": 2, "replicas": 2, "time": TEN}},
            "policies": {"x": {"balance": "random"}},
        },
        66.667,
        10.0,
        {},
    ),
    "lognormal_queue": Part(
        lone(70.0, workers=1, time={"lognormal": {"mean": "10ms", "cv": 1.2}}), 70.0, 8.0, {}, 10_000
    ),
    "lifo": Part(lone(70.0, workers=2, time=TEN, discipline="lifo"), 140.0, 3.0, {}),
    "tandem_behind_sidecars": Part(
        {
            "services": {
                "a": chain(workers=2, time=TEN, script=[{"call": "b"}]),
                "b": chain(time={"exponential": "5ms"}, script=[{"call": "c"}]),
                "c": {"workers": 3, "time": {"exponential": "15ms"}},
            },
            "mesh": {"dataplane": "sidecar", "proxy": {"time": "200us"}},
            "links": {"default": {"latency": "500us"}},
            "load": [{"to": "a", "rate": "120/s"}],
        },
        120.0,
        5.0,
        {},
        6_000,
        (12, 500),
    ),
    "jackson_tree": Part(
        {
            "services": {
                "gw": chain(
                    time={"exponential": "6ms"},
                    script=[{"call": "next"}, {"call": "log", "probability": 0.5}],
                ),
                "next": {
                    "versions": {
                        "a": chain(time={"exponential": "12ms"}),
                        "b": chain(time={"exponential": "25ms"}),
                    }
                },
                "log": {"workers": 2, "replicas": 2, "time": {"exponential": "30ms"}},
            },
            "policies": {"next": {"split": {"a": 60, "b": 40}}, "log": {"balance": "random"}},
            "links": {"gw -> next": {"latency": {"exponential": "2ms"}}},
            "load": [{"to": "gw", "rate": "60/s"}],
        },
        60.0,
        10.0,
        {},
        6_000,
    ),
    "diamond_with_retries": Part(
        {
            "services": {
                "a": chain(time={"exponential": "4ms"}, script=[{"call": "b"}, {"call": "c"}]),
                "b": chain(time={"exponential": "8ms"}, script=[{"call": "c", "optional": True}]),
                "c": {"workers": 2, "time": {"exponential": "6ms"}, "errors": 0.2},
            },
            "policies": {"c": {"retries": {"attempts": 2}}},
            "load": [{"to": "a", "rate": "70/s"}],
        },
        70.0,
        6.0,
        {},
    ),
    "queues_in_sidecars": Part(
        {
            "services": {"a": chain(workers=4, time=TEN, script=[{"call": "b"}]), "b": {"time": "3ms"}},
            "mesh": {"dataplane": "sidecar", "proxy": {"time": {"exponential": "1ms"}, "workers": 1}},
            "load": [{"to": "a", "rate": "150/s"}],
        },
        150.0,
        4.0,
        {},
    ),
    "threads_wait_for_a_delay": Part(
        {
            "services": {
                "a": {
                    "workers": 1,
                    "time": "2ms",
                    "script": [{"call": "b"}, {"sleep": {"exponential": "1ms"}}],
                },
                "b": {"time": {"exponential": "5ms"}},
            },
            "links": {"default": {"latency": "250us"}},
            "load": [{"to": "a", "rate": "80/s"}],
        },
        80.0,
        5.0,
        {},
        6_000,
    ),
    "everything_independent": Part(
        {
            "services": {
                "a": {
                    "time": {"erlang": {"mean": "3ms", "k": 3}},
                    "errors": 0.01,
                    "script": [
                        [
                            {"call": "b"},
                            {"call": "c", "probability": 0.4, "optional": True},
                            {"sleep": "4ms"},
                        ],
                        {"call": "d"},
                    ],
                },
                "b": {"time": {"lognormal": {"mean": "5ms", "cv": 1.0}}, "errors": 0.05},
                "c": {"time": {"weibull": {"mean": "8ms", "shape": 0.8}}, "errors": 0.2},
                "d": {"time": {"gamma": {"mean": "4ms", "cv": 0.6}}, "script": [{"call": "e"}]},
                "e": {"time": {"pareto": {"mean": "6ms", "shape": 2.5}}},
            },
            "mesh": {"dataplane": "sidecar", "proxy": {"time": {"exponential": "300us"}}},
            "links": {"default": {"latency": {"uniform": {"low": "200us", "high": "800us"}}, "loss": 0.002}},
            "policies": {
                "b": {"retries": {"attempts": 2, "per_try_timeout": "20ms"}},
                "d": {
                    "timeout": "60ms",
                    "retries": {"attempts": 1, "per_try_timeout": "25ms", "backoff": {"base": "4ms"}},
                },
                "e": {"hedge": {"after": "12ms", "max": 2}},
                "a": {
                    "timeout": "150ms",
                    "fault": {"delay": {"percent": 0.1, "time": "10ms"}, "abort": {"percent": 0.02}},
                },
            },
            "load": [{"to": "a", "rate": "100/s"}],
        },
        100.0,
        1.0,
        {},
        4_000,
        (10, 250),
        burst=1,
    ),
    "closed_over_two_stations": Part(
        {
            "services": {
                "a": chain(time={"exponential": "5ms"}, script=[{"call": "b"}]),
                "b": {"workers": 2, "replicas": 2, "time": {"exponential": "20ms"}},
            },
            "policies": {"b": {"balance": "random"}},
            "links": {"default": {"latency": "1ms"}},
            "load": [{"to": "a", "users": 15, "think": {"erlang": {"mean": "60ms", "k": 2}}}],
        },
        120.0,
        5.0,
        {},
        6_000,
    ),
    "closed_without_queues": Part(
        {
            "services": {"x": {"time": {"gamma": {"mean": "20ms", "cv": 0.5}}, "errors": 0.1}},
            "load": [{"to": "x", "users": 10, "think": "30ms"}],
        },
        200.0,
        1.0,
        {},
        fast=(12, 1_200),
        burst=1,
    ),
    "endpoints_of_a_queue": Part(
        mixed(
            {"get": {"time": {"exponential": "5ms"}}, "add": {"time": {"exponential": "20ms"}}},
            80.0,
            {"get": 70, "add": 30},
            workers=1,
        ),
        80.0,
        5.0,
        {},
        fast=(12, 1_200),
    ),
    "endpoints_of_a_queue_that_holds_its_worker": Part(
        {
            "services": {
                "x": {
                    "workers": 1,
                    "time": "2ms",
                    "endpoints": {"get": {}, "add": {"script": [{"call": "db/write", "repeat": 2}]}},
                },
                "db": {"time": "9ms", "endpoints": {"write": {"time": TEN, "errors": 0.1}}},
            },
            "load": [{"to": "x", "rate": "70/s", "endpoints": {"get": 60, "add": 40}}],
        },
        70.0,
        5.0,
        {},
    ),
    "endpoints_with_policies_of_their_own": Part(
        {
            "services": {
                "shop": {
                    "endpoints": {
                        "home": {"script": [[{"call": "x/get", "repeat": 3}, {"call": "x"}]]},
                        "buy": {
                            "time": TEN,
                            "script": [{"call": "x/add"}, {"call": "x/get", "optional": True}],
                        },
                    }
                },
                "x": {
                    "time": "4ms",
                    "endpoints": {"get": {"errors": 0.05}, "add": {"time": TEN, "errors": 0.3}},
                },
            },
            "policies": {
                "x/add": {"retries": {"attempts": 2, "backoff": {"base": "5ms"}}},
                "shop -> x/get": {"fault": {"delay": {"percent": 0.2, "time": "3ms"}}},
            },
            "load": [{"to": "shop", "rate": "100/s", "endpoints": {"home": 60, "buy": 40}}],
        },
        100.0,
        1.0,
        {},
        fast=(12, 1_200),
        burst=1,
    ),
    "endpoints_share_a_bucket_or_have_one": Part(
        {
            **mixed({"get": {}, "add": {}, "look": {"time": "2ms"}}, 120.0, {"get": 1, "add": 1, "look": 1}),
            "policies": {
                "x": {"rate_limit": {"burst": 5, "rate": "60/s"}},
                "x/look": {"rate_limit": {"burst": 2, "rate": "35/s"}},
            },
        },
        120.0,
        2.0,
        {},
    ),
    "endpoints_share_a_breaker": Part(
        {
            **mixed({"get": {"time": "5ms"}, "add": {"time": TEN}}, 300.0, {"get": 70, "add": 30}),
            "policies": {"x": {"circuit_breaker": {"max_requests": 3}}},
        },
        300.0,
        1.0,
        {},
    ),
    "closed_over_endpoints": Part(
        {
            "services": {
                "a": {"endpoints": {"one": {"script": [{"call": "b"}]}, "two": {"time": "5ms"}}},
                "b": {"workers": 1, "time": TEN},
            },
            "load": [{"to": "a", "users": 8, "think": "40ms", "endpoints": {"one": 60, "two": 40}}],
        },
        100.0,
        5.0,
        {},
    ),
    "a_connection_for_each_attempt": Part(
        own_connections(
            lone(
                200.0,
                policy={"retries": {"attempts": 2, "per_try_timeout": "12ms", "backoff": {"base": "4ms"}}},
                time={"erlang": {"mean": "6ms", "k": 2}},
                errors=0.1,
            )
        ),
        200.0,
        1.0,
        {},
        fast=(12, 1_200),
        burst=1,
    ),
    "a_connection_for_each_attempt_to_queues": Part(
        own_connections(
            {
                "services": {
                    "a": chain(time={"exponential": "5ms"}, script=[{"call": "b"}]),
                    "b": {"workers": 2, "replicas": 2, "time": {"exponential": "20ms"}},
                },
                "policies": {"a": {}, "b": {"balance": "random"}},
                "load": [{"to": "a", "rate": "120/s"}],
            }
        ),
        120.0,
        5.0,
        {},
        6_000,
    ),
    "two_loads": Part(
        {
            "services": {
                "a": {"time": "2ms", "script": [{"call": "x"}]},
                "x": {"workers": 1, "time": {"uniform": {"low": "4ms", "high": "12ms"}}},
            },
            "load": [{"to": "a", "rate": "40/s"}, {"to": "x", "rate": "50/s"}],
        },
        90.0,
        5.0,
        {},
        6_000,
    ),
}
"""Scenarios beyond the table, whose runs are held against what `solve` says of them."""
