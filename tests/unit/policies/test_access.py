"""Who may call: Istio's order of evaluation, and the traps in it."""

from __future__ import annotations

from typing import Any

import pytest

from meshsim.policies.access import AccessPolicy, Decision, matches, readings
from meshsim.scenario import loads
from meshsim.scenario.access import AccessRule
from meshsim.scenario.guards import access_policies

BASE = """
duration: 1s
services:
  cart:
    endpoints:
      get: {path: /cart}
      add: {method: POST, path: /cart/items}
      wipe: {method: DELETE, path: /cart}
  db: {}
  frontend: {}
mesh: {dataplane: sidecar, mtls: {}}
load: [{to: frontend, rate: 1/s}]
"""


OPEN = AccessPolicy([], {})


def decide(rules: list[dict[str, Any]], principal: str, method: str = "GET", path: str = "/cart") -> Decision:
    scenario = loads(BASE).model_copy(
        update={"access": tuple(AccessRule.model_validate(rule) for rule in rules)}
    )
    return access_policies(scenario).get("cart", OPEN).decide(principal, method, path)


def allow(**match: Any) -> dict[str, Any]:
    return {"allow": {"to": "cart", **match}}


def deny(**match: Any) -> dict[str, Any]:
    return {"deny": {"to": "cart", **match}}


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("cart", "cart", True), ("cart", "carts", False), ("cart*", "cart", True), ("cart*", "carts", True),
        ("*art", "cart", True), ("*art", "arts", False), ("*", "x", True),
        ("*", "", False), ("a*", "", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, *, fits: bool) -> None:
    assert matches(pattern, text) is fits


@pytest.mark.parametrize(
    ("rules", "principal", "expected"),
    [
        ([], "", Decision(allowed=True, rule=None)),  # no rule: open
        (
            [deny(**{"from": "db"})],
            "frontend",
            Decision(allowed=True, rule=None),
        ),  # only denials: the rest is open
        ([deny(**{"from": "db"})], "db", Decision(allowed=False, rule=0)),
        ([allow(**{"from": "db"})], "db", Decision(allowed=True, rule=0)),
        (
            [allow(**{"from": "db"})],
            "frontend",
            Decision(allowed=False, rule=None),
        ),  # the first allow flips it
        ([allow(), deny(**{"from": "db"})], "db", Decision(allowed=False, rule=1)),  # denials first, wherever
        ([allow(**{"from": []})], "frontend", Decision(allowed=False, rule=None)),  # spec: {} denies all
        ([allow()], "", Decision(allowed=True, rule=0)),  # rules: [{}] matches all, strangers too
        ([deny(**{"from": []})], "frontend", Decision(allowed=True, rule=None)),  # a denial of nothing
        ([deny()], "frontend", Decision(allowed=False, rule=0)),
        ([{"allow": {"to": "db"}}], "frontend", Decision(allowed=True, rule=None)),  # another's rule
        ([{"allow": {"to": "c*", "from": "db"}}], "frontend", Decision(allowed=False, rule=None)),
        ([allow(**{"from": "db"}), allow(**{"from": "*end"})], "frontend", Decision(allowed=True, rule=1)),
        ([allow(**{"from": "*"})], "frontend", Decision(allowed=True, rule=0)),  # anybody known
        ([allow(**{"from": "*"})], "", Decision(allowed=False, rule=None)),  # without mTLS nobody is
        ([deny(**{"from": "frontend"})], "", Decision(allowed=True, rule=None)),  # plaintext gets round it
        ([deny(not_from="frontend")], "", Decision(allowed=False, rule=0)),  # not round this one
        ([allow(**{"from": "*", "not_from": "db"})], "db", Decision(allowed=False, rule=None)),  # AND
    ],
)
def test_istios_order(rules: list[dict[str, Any]], principal: str, expected: Decision) -> None:
    assert decide(rules, principal) == expected


def test_fields_are_all_asked_and_entries_of_a_list_any() -> None:
    rules = [allow(methods=["GET", "HEAD"], paths=["/cart*"], **{"from": ["frontend", "db"]})]
    assert decide(rules, "db").allowed
    assert not decide(rules, "db", "POST", "/cart/items").allowed
    assert not decide(rules, "db", "GET", "/car").allowed


def test_endpoints_are_their_method_and_path() -> None:
    rules = [allow(endpoints=["get", "w*"])]
    assert decide(rules, "").allowed
    assert decide(rules, "", "DELETE").allowed
    assert not decide(rules, "", "POST", "/cart/items").allowed
    assert not decide(rules, "", "POST").allowed
    assert not decide([allow(endpoints="*")], "", "GET", "/").allowed, "the service itself has no name"
    assert decide([allow(not_endpoints="*")], "", "GET", "/").allowed


def test_a_service_without_sidecar_asks_nothing() -> None:
    text = BASE.replace("  cart:\n", "  cart:\n    sidecar: false\n")
    scenario = loads(f"{text}\naccess: [{{deny: {{to: '*'}}}}]")
    assert "cart" not in access_policies(scenario)
    assert not access_policies(scenario)["db"].decide("", "GET", "/").allowed


ODD = [
    "//cart",
    "/./cart",
    "/x/../cart",
    "/%63art",
    "/%2563art",
    "/cart/",
    "/cart;v=1",
    "\\cart",
    "/%2e/cart",
    "/x%2f..%2fcart",
]


@pytest.mark.parametrize("path", ODD)
def test_no_spelling_gets_round_a_denial(path: str) -> None:
    for rule in (deny(paths="/cart"), deny(endpoints="get"), deny(methods="GET", paths="/cart")):
        assert not decide([rule], "db", "GET", path).allowed


@pytest.mark.parametrize(
    "path", ["/public/../cart", "/public/%2e%2e/cart", "/public//..//cart", "/public\\..\\cart"]
)
def test_no_spelling_gets_through_a_permission(path: str) -> None:
    assert decide([allow(paths="/public/*")], "db", "GET", "/public/a").allowed
    assert not decide([allow(paths="/public/*")], "db", "GET", path).allowed


def test_methods_in_small_letters_get_round_nothing() -> None:
    assert not decide([deny(methods="DELETE")], "db", "delete", "/x").allowed
    assert not decide([allow(methods="get")], "db", "GET", "/x").allowed


def test_endpoints_are_taken_as_they_are_written() -> None:
    text = BASE.replace("get: {path: /cart}", "get: {path: '/a%20b/'}")
    scenario = loads(f"{text}\naccess: [{{allow: {{to: cart, paths: ['/a%20b/']}}}}]")
    assert access_policies(scenario)["cart"].decide("", "GET", "/a%20b/").allowed


def test_readings_are_few_whatever_the_path() -> None:
    path = "/" + "%25" * 3000
    assert len(readings("GET", path)) <= 3
    assert readings("GET", "/cart/items") == []
