"""A proxy's documents: who listens where, and who is reached how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshsim.live.envoy.proxy import Proxy
from meshsim.live.envoy.resources import bootstrap, documents, endpoints_file
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario

FOLDER = Path("/run/mesh")
TEXT = """
name: pair
duration: 10s
services:
  frontend: {replicas: 2, script: [{call: cart}, {call: stock}]}
  cart: {versions: {v1: {replicas: 2}, v2: {}}}
  stock: {}
mesh: {dataplane: sidecar}
policies:
  cart: {timeout: 1s}
  "frontend -> cart": {timeout: 2s}
load: [{to: frontend, rate: 1/s}, {to: cart, rate: 1/s}]
events:
  - {at: 1s, set: {policies.cart.split: {v1: 90, v2: 10}}}
"""
ADDRESSES = {
    id_: ("127.0.0.1", 9000 + number)
    for number, id_ in enumerate(
        ["frontend/0", "frontend/1", "cart/v1/0", "cart/v1/1", "cart/v2/0", "stock/0"]
    )
}


@pytest.fixture
def scenario() -> Scenario:
    return loads(TEXT)


def made(scenario: Scenario, id_: str, **known: Any) -> dict[str, dict[str, Any]]:
    """The documents, each resource by its name."""
    files = documents(Proxy(scenario, id_), FOLDER, **known)
    json.dumps(files)
    return {
        file: {each.get("name") or each["cluster_name"]: each for each in resources}
        for file, resources in files.items()
    }


def endpoints(cluster: dict[str, Any], files: dict[str, dict[str, Any]]) -> list[int]:
    known = cluster.get("load_assignment")
    assignment = known or files[endpoints_file(cluster["name"])][cluster["name"]]
    (locality,) = assignment["endpoints"]
    return [each["endpoint"]["address"]["socket_address"]["port_value"] for each in locality["lb_endpoints"]]


def test_a_replica_has_inbound_outbound_and_a_listener_for_each_upstream(scenario: Scenario) -> None:
    assert list(made(scenario, "frontend/1")["lds.json"]) == ["inbound", "outbound", "url/cart", "url/stock"]
    assert list(made(scenario, "cart/v1/0")["lds.json"]) == ["inbound", "outbound"]
    assert list(made(scenario, "client/0")["lds.json"]) == ["outbound", "url/frontend", "url/cart"]


def test_without_a_data_plane_the_outbound_proxy_stands_for_a_library(scenario: Scenario) -> None:
    bare = scenario.model_copy(update={"mesh": scenario.mesh.model_copy(update={"dataplane": "none"})})
    assert list(made(bare, "frontend/0")["lds.json"]) == ["outbound", "url/cart", "url/stock"]


def test_listeners_bind_to_loopback_and_keep_a_port_they_have(scenario: Scenario) -> None:
    listeners = made(scenario, "client/0", ports={"outbound": 4711})["lds.json"]
    ports = {name: each["address"]["socket_address"]["port_value"] for name, each in listeners.items()}
    assert ports == {"outbound": 4711, "url/frontend": 0, "url/cart": 0}
    hosts = {each["address"]["socket_address"]["address"] for each in listeners.values()}
    assert hosts == {"127.0.0.1"}


def test_the_admin_interface_is_a_socket_of_which_only_pages_can_be_read(scenario: Scenario) -> None:
    written = bootstrap(Proxy(scenario, "client/0"), FOLDER)
    socket = {"pipe": {"path": "admin.sock", "mode": 0o600}}
    assert written["admin"] == {"address": socket}
    (cluster,) = written["static_resources"]["clusters"]
    assert cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] == [{"endpoint": {"address": socket}}]
    (listener,) = written["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 0}
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    assert [each["match"]["path"] for each in host["routes"]] == ["/ready", "/stats", "/stats/prometheus"]
    assert all(len(each["match"]["headers"]) == 2 for each in host["routes"])


def test_only_before_a_program_headers_are_taken_off_and_its_calls_numbered(scenario: Scenario) -> None:
    program = {"services.frontend.live": {"command": ["true"]}}
    written = loads(TEXT, overrides=program)
    for scenario_, programs in ((scenario, []), (written, ["frontend/0"])):
        for id_ in ("frontend/0", "cart/v1/0"):
            files = documents(Proxy(scenario_, id_, context="x-meshsim-0"), FOLDER)
            text = json.dumps(files)
            assert "%REQ(X-MESHSIM-0)%" in text
            assert ('"request_headers_to_remove": ["x-meshsim-0"]' in text) == (id_ in programs)
            assert ('"key": "x-meshsim-0", "value": "%UNIQUE_ID%"' in text) == (id_ in programs)


def test_clusters_hold_all_replicas_and_those_of_each_version(scenario: Scenario) -> None:
    assert made(scenario, "frontend/0")["cds.json"] == {}  # before anybody's address is known
    files = made(scenario, "frontend/0", addresses=ADDRESSES, app=("127.0.0.1", 8000))
    assert {name: endpoints(each, files) for name, each in files["cds.json"].items()} == {
        "(app)": [8000],
        "cart": [9002, 9003, 9004],
        "cart/v1": [9002, 9003],
        "cart/v2": [9004],
        "stock": [9005],
    }


def test_all_listeners_share_routes_and_say_where_to_go_in_a_header(scenario: Scenario) -> None:
    files = made(scenario, "frontend/0")
    routes = files["rds.json"]["routes"]
    assert [host["domains"] for host in routes["virtual_hosts"]] == [["cart"], ["stock"]]
    assert all(host["include_request_attempt_count"] for host in routes["virtual_hosts"])
    assert routes["vhost_header"] == "x-meshsim-upstream"
    assert routes["request_headers_to_remove"] == ["x-meshsim-upstream"]
    told = {}
    for name, listener in files["lds.json"].items():
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        for mutation in manager.get("early_header_mutation_extensions", []):
            (change,) = mutation["typed_config"]["mutations"]
            told[name] = change["append"]["header"]["value"]
    assert told == {"outbound": "%REQ(:AUTHORITY)%", "url/cart": "cart", "url/stock": "stock"}


def test_each_caller_has_its_own_policy(scenario: Scenario) -> None:
    def timeout(id_: str) -> object:
        hosts = {host["name"]: host for host in made(scenario, id_)["rds.json"]["routes"]["virtual_hosts"]}
        return hosts["cart"]["routes"][0]["route"]["timeout"]

    assert timeout("client/0") == "1.000s"
    assert timeout("frontend/0") == "2.000s"


def test_a_push_of_a_split_changes_routes_only(scenario: Scenario) -> None:
    before = documents(Proxy(scenario, "frontend/0"), FOLDER, addresses=ADDRESSES)
    after = documents(Proxy(scenario.policies_after(0), "frontend/0"), FOLDER, addresses=ADDRESSES)
    changed = {file for file in before if before[file] != after[file]}
    assert changed == {"rds.json"}


def test_inbound_applies_no_policies_and_counts_no_attempts(scenario: Scenario) -> None:
    inbound = made(scenario, "cart/v1/0")["lds.json"]["inbound"]
    manager = inbound["filter_chains"][0]["filters"][0]["typed_config"]
    assert [each["name"] for each in manager["http_filters"]] == ["envoy.filters.http.router"]
    (host,) = manager["route_config"]["virtual_hosts"]
    assert "include_request_attempt_count" not in host
    assert host["routes"][0]["route"] == {"cluster": "(app)", "timeout": "0s"}


def test_inbound_closes_what_is_idle_at_once(scenario: Scenario) -> None:
    def inbound(id_: str) -> dict[str, Any]:
        listener = made(kept, id_)["lds.json"]["inbound"]
        manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
        return manager

    kept = loads(TEXT.replace("v1: {replicas: 2}", "v1: {replicas: 2, keep_alive: 250ms}"))
    manager = inbound("cart/v1/1")
    assert manager["common_http_protocol_options"] == {"idle_timeout": "0.250s"}
    assert (manager["drain_timeout"], manager["delayed_close_timeout"]) == ("0s", "0s")
    assert "common_http_protocol_options" not in inbound("cart/v2/0")


def test_endpoints_are_routes_before_that_of_the_service_which_has_the_rate_limit_of_all() -> None:
    limit = "rate_limit: {rate: 10/s, burst: 5}"
    written = loads(f"""
duration: 1s
services:
  front: {{script: [{{call: cart/add}}, {{call: cart/get}}, {{call: cart/look}}]}}
  cart: {{endpoints: {{get: {{path: /cart}}, add: {{method: POST, path: /cart}}, look: {{}}, other: {{}}}}}}
policies:
  cart: {{timeout: 1s, {limit}}}
  cart/get: {{timeout: 2s, {limit}}}
  front -> cart/look: {{rate_limit: null}}
load: [{{to: front, rate: 1/s}}]
""")
    (host,) = made(written, "front/0")["rds.json"]["routes"]["virtual_hosts"]
    assert [each["name"] for each in host["routes"]] == ["cart/get", "cart/add", "cart/look", "cart"]
    method = {"name": ":method", "string_match": {"exact": "POST"}}
    matches = [each["match"] for each in host["routes"]]
    assert matches[1:] == [
        {"path": "/cart", "headers": [method]},
        {"path": "/look", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
        {"prefix": "/"},
    ]
    assert [each["route"]["timeout"] for each in host["routes"]] == ["2.000s", *["1.000s"] * 3]
    assert {each["route"]["cluster"] for each in host["routes"]} == {"cart"}
    (name,) = host["typed_per_filter_config"]
    own = [each["typed_per_filter_config"].get(name) for each in host["routes"]]
    assert [config and config.get("disabled", False) for config in own] == [False, None, True, None]
    assert own[0]["token_bucket"] == host["typed_per_filter_config"][name]["token_bucket"]


# ---- identity and access ----------------------------------------------------------------------------


def secured(**overrides: Any) -> Scenario:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return loads(TEXT, overrides={"mesh.mtls.mode": "permissive", **given})


def accepted(scenario: Scenario, id_: str) -> list[str]:
    """The transport protocols that an inbound listener has filter chains for."""
    listener = made(scenario, id_)["lds.json"]["inbound"]
    return [each["filter_chain_match"]["transport_protocol"] for each in listener["filter_chains"]]


def speaking(scenario: Scenario, id_: str) -> dict[str, str]:
    """The identity that each cluster with TLS wants of its hosts."""
    found = {}
    for name, each in made(scenario, id_, addresses=ADDRESSES)["cds.json"].items():
        if "transport_socket" in each:
            context = each["transport_socket"]["typed_config"]["common_tls_context"]
            validation = context["combined_validation_context"]["default_validation_context"]
            (wanted,) = validation["match_typed_subject_alt_names"]
            found[name] = wanted["matcher"]["exact"]
    return found


def test_a_listener_accepts_what_its_mode_says() -> None:
    assert accepted(secured(), "cart/v1/0") == ["tls", "raw_buffer"]
    assert accepted(secured(services__cart__mtls="strict"), "cart/v1/0") == ["tls"]
    assert accepted(secured(services__cart__mtls="disable"), "cart/v1/0") == ["raw_buffer"]


def test_a_caller_wants_the_identity_of_each_service_that_it_calls_by_mtls() -> None:
    cart, stock = (f"spiffe://cluster.local/ns/default/sa/{name}" for name in ("cart", "stock"))
    carts = {"cart": cart, "cart/v1": cart, "cart/v2": cart}
    assert speaking(secured(), "frontend/0") == {**carts, "stock": stock}
    assert speaking(secured(services__stock__mtls="disable"), "frontend/0") == carts
    assert speaking(secured(services__stock__sidecar=False), "frontend/0") == carts
    assert speaking(secured(services__frontend__sidecar=False), "frontend/0") == {}


def test_rules_are_given_to_the_filters_by_a_route_of_its_own() -> None:
    rules = [
        {"allow": {"to": "cart", "from": ["front*"], "methods": ["GET", "*"]}},
        {"deny": {"to": "c*", "not_from": "frontend", "paths": "*.key"}},
        {"allow": {"to": "stock", "from": []}},
    ]
    scenario = secured(access=rules)
    files = made(scenario, "cart/v2/0")
    (chain, _) = files["lds.json"]["inbound"]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    assert [each["name"] for each in manager["http_filters"]][:2] == ["access.deny", "access.allow"]
    (route,) = files["inbound.json"]["inbound"]["virtual_hosts"][0]["routes"]
    told = {name: each["rbac"]["rules"] for name, each in route["typed_per_filter_config"].items()}
    assert {name: each["action"] for name, each in told.items()} == {
        "access.deny": "DENY",
        "access.allow": "ALLOW",
    }
    (name, denied), *more = told["access.deny"]["policies"].items()
    assert not more
    assert name == "access[1]"
    assert "prefix" in json.dumps(told["access.allow"])
    assert json.dumps(denied).count("not_id") == 1
    (nobody,) = documents(Proxy(scenario, "stock/0"), FOLDER)["inbound.json"]
    assert '"principals": [{"and_ids": {"ids": [{"not_id": {"any": true}}]}}]' in json.dumps(nobody)
    assert "inbound.json" not in made(secured(), "cart/v2/0")
