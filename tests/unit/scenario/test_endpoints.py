"""Endpoints: what a file may say of them, what comes from where, and what is wrong where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads
from meshsim.scenario.endpoints import CLUSTER_LEVEL
from meshsim.scenario.model import Policy, Scenario
from meshsim.scenario.topology import Topology

SHOP = """
duration: 5s
services:
  web: {script: [{call: cart/get}]}
  cart:
    time: 1ms
    errors: 1%
    script: [{call: db}]
    endpoints:
      get: {path: /cart, time: 3ms, script: []}
      add: {method: POST, path: /cart, errors: 0%}
    versions:
      v1: {}
      v2: {time: 2ms, endpoints: {add: {time: 8ms}}}
  db: {}
policies: {cart: {timeout: 1s, retries: {attempts: 2}}}
load: [{to: web, rate: 1/s}]
"""


def shop() -> Scenario:
    return loads(SHOP)


def test_the_narrowest_that_is_given_counts() -> None:
    cart = shop().services["cart"]
    found = {
        (version, endpoint): (work.time.build().mean, work.errors, len(work.script))
        for version in ("v1", "v2")
        for endpoint in ("", "get", "add")
        for work in [cart.work(version, endpoint)]
    }
    assert found == {
        ("v1", ""): (0.001, 0.01, 1),
        ("v1", "get"): (0.003, 0.01, 0),
        ("v1", "add"): (0.001, 0.0, 1),
        ("v2", ""): (0.002, 0.01, 1),
        ("v2", "get"): (0.003, 0.01, 0),
        ("v2", "add"): (0.008, 0.0, 1),
    }
    assert [cart.address(name) for name in ("", "get", "add")] == [
        ("GET", "/"), ("GET", "/cart"), ("POST", "/cart"),
    ]  # fmt: skip


def test_the_narrowest_policy_counts_key_by_key() -> None:
    policies = """
      cart: {timeout: 1s, retries: {attempts: 2, per_try_timeout: 100ms}, rate_limit: {rate: 9/s, burst: 1}}
      web -> cart: {timeout: 2s}
      cart/get: {retries: {attempts: 0}}
      web -> cart/get: {timeout: 3s}
      cart/add: {rate_limit: {rate: 1/s, burst: 1}}
    """
    scenario = loads(SHOP.replace("policies: {cart: {timeout: 1s, retries: {attempts: 2}}}",
                                  f"policies: {policies}"))  # fmt: skip

    def of(*route: str) -> tuple[float, int, float]:
        policy = scenario.policy(*route)
        assert policy.retries is not None
        return policy.timeout, policy.retries.attempts, policy.retries.per_try_timeout

    assert of("web", "cart") == (2.0, 2, 0.1)
    assert of("db", "cart") == (1.0, 2, 0.1)
    assert of("db", "cart", "get") == (1.0, 0, 0.0)
    assert of("web", "cart", "get") == (3.0, 0, 0.0)
    assert of("web", "cart", "add") == (2.0, 2, 0.1)
    assert scenario.limits_itself("web", "cart", "add")
    assert not scenario.limits_itself("web", "cart", "get")


def test_routes_are_numbered_by_edge_and_then_as_in_the_file() -> None:
    topology = Topology(shop())
    assert topology.routes == [
        ("client", "web", ""), ("web", "cart", ""), ("web", "cart", "get"), ("cart", "db", ""),
    ]  # fmt: skip
    assert topology.edge_of == [0, 1, 1, 2]
    assert [topology.first_place[replica.number] for replica in topology.replicas] == [0, 1, 4, 7]


def test_without_endpoints_routes_are_edges_and_places_are_replicas() -> None:
    topology = Topology(loads("{duration: 1s, services: {a: {replicas: 3, script: [{call: b}]}, b: {}},"
                              " load: [{to: a, rate: 1/s}]}"))  # fmt: skip
    assert topology.edge_of == list(range(len(topology.edges)))
    assert topology.first_place == list(range(len(topology.replicas)))


def test_whose_connections_are_tracked_is_asked_of_each_push_once(monkeypatch) -> None:
    pushes = "{at: 1s, set: {policies.b.connection: {}}}, {at: 2s, set: {policies.b.connection: null}}"
    services = "{a: {script: [{call: b}, {call: c}]}, b: {}, c: {}}"
    scenario = loads(
        f"{{duration: 9s, services: {services}, events: [{pushes}], load: [{{to: a, rate: 1/s}}]}}"
    )
    asked = []
    after = Scenario.policies_after
    monkeypatch.setattr(Scenario, "policies_after", lambda self, n: asked.append(n) or after(self, n))
    assert Topology(scenario).tracked == [False, True, False]
    assert asked == [0, 1]


def test_each_key_of_a_policy_is_of_a_cluster_or_of_a_route() -> None:
    route = {"timeout", "retries", "rate_limit", "hedge", "split", "fault"}
    assert route | set(CLUSTER_LEVEL) == set(Policy.model_fields)
    assert not route & set(CLUSTER_LEVEL)


ENDS = "services.cart.endpoints"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"services.web.script": [{"call": "cart/ad"}]},
         "services.web.script[0].call: cart has no endpoint 'ad' (did you mean add?)"),
        ({"services.web.script": [{"call": "db/read"}]},
         "services.web.script[0].call: db has no endpoints (ask for db itself, or give it endpoints)"),
        ({"load[0].endpoints": {"home": 1}},
         "load[0].endpoints.home: web has no endpoints (ask for web itself, or give it endpoints)"),
        ({"load[0].to": "cart", "load[0].endpoints": {"get": 0}},
         "load[0].endpoints: the weights are all 0 (give one endpoint more)"),
        ({"load[0].to": "cart/get"},
         "load[0].to: 'cart/get' is an endpoint (write to: cart, endpoints: {get: 1})"),
        ({"policies": {"web -> cart/ad": {"timeout": "1s"}}},
         "policies.web -> cart/ad: cart has no endpoint 'ad' (did you mean add?)"),
        ({"policies": {"cart/get": {"circuit_breaker": {"max_requests": 1}}}},
         ("policies.cart/get.circuit_breaker: belongs to the service: its endpoints share connections"
         " (write it under policies.cart)")),
        ({"policies": {"web -> cart/get": {"retries": {"budget": {"ratio": "10%"}}}}},
         ("policies.web -> cart/get.retries.budget: belongs to the service: its endpoints share the retry"
         ' budget (write it under policies."web -> cart".retries)')),
        ({"events": [{"at": "1s", "set": {"policies.cart/get.balance": "random"}}]},
         ("events[0].set.policies.cart/get.balance: belongs to the service: its endpoints share hosts"
         " (write it under policies.cart)")),
        ({"events": [{"at": "1s", "service": "cart/get", "down": True}]},
         ("events[0].service: 'cart/get' is an endpoint (an event acts on a whole service: write service:"
         " cart)")),
        ({f"{ENDS}.two": {"method": "POST", "path": "/cart"}},
         f"{ENDS}.two: POST /cart is also endpoint add, on line 11 (change the method or the path of one)"),
        ({f"{ENDS}.root": {"path": "/"}, "services.web.script": [{"call": "cart"}]},
         (f"{ENDS}.root: GET / is what a call of cart without an endpoint asks for (name cart/root where it"
         " is called, or change the path)")),
        ({f"{ENDS}.get.path": "cart"},
         f"{ENDS}.get.path: 'cart' is not a path (begin with /, without spaces, ? and #)"),
        ({f"{ENDS}.get.path": "/cart*"},
         f"{ENDS}.get.path: patterns are not known here (write the path itself)"),
        ({f"{ENDS}.get.method": "post"}, f"{ENDS}.get.method: 'post' is not known here (did you mean POST?)"),
        ({f"{ENDS}.get": {"timeout": "1s"}},
         f'{ENDS}.get.timeout: unknown key (write it under policies."cart/get")'),
        ({"services.cart.versions.v1": {"endpoints": {"x": {}}}},
         ("services.cart.versions.v1.endpoints.x: cart has no endpoint 'x' (give it under"
         " services.cart.endpoints)")),
        ({"objectives": [{"service": "cart/get", "p99": "1s"}]},
         "objectives[0].service: 'cart/get' is an endpoint (write service: cart, endpoint: get)"),
        ({"objectives": [{"service": "cart", "endpoint": "ge", "p99": "1s"}]},
         "objectives[0].endpoint: cart has no endpoint 'ge' (did you mean get?)"),
        ({"services.web.script": [{"call": "cart/get", "repeat": 0}]},
         "services.web.script[0].repeat: 0 is out of range (write at least 1)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        loads(SHOP, overrides=keys)
    (found,) = refused.value.problems
    remedy = f" ({found.remedy})" if found.remedy else ""
    assert f"{found.key}: {found.message}{remedy}" == problem
