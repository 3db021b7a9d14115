"""What other meshes call a key, and the keys of theirs whose mechanism meshsim does not model.

Sources:
    Envoy's API v3 (RouteAction, RetryPolicy, CircuitBreakers, OutlierDetection, HTTPFault), Istio's
    VirtualService and DestinationRule, Linkerd's annotations, gRPC's service config, Kubernetes' Deployment.
"""

from __future__ import annotations

from collections.abc import Collection

from meshsim.scenario.names import listed, suggestion

SYNONYMS = {
    "always_eject_one": "always_eject_one_host",
    "after": "hedge_delay hedging_delay",
    "arrivals": "arrival arrival_process",
    "attempts": "num_retries number_of_retries max_retries retries_count",
    "backoff": "retry_back_off",
    "balance": "lb_policy load_balancer load_balancing balancer lb algorithm simple",
    "base": "base_interval initial_interval initial_backoff",
    "budget": "retry_budget",
    "burst": "max_tokens tokens",
    "call": "service to",
    "choices": "choice_count",
    "circuit_breaker": "circuit_breakers connection_pool thresholds",
    "connect": "connect_time connection_time tcp_connect handshake",
    "connect_timeout": "connection_timeout",
    "connection": "connection_pool connections connect_timeout idle_timeout max_requests_per_connection"
    " max_connection_duration http_protocol_options",
    "consecutive_5xx": "consecutive_5xx_errors consecutive_errors max_failures failures",
    "consecutive_gateway_failure": "consecutive_gateway_errors consecutive_gateway_failures",
    "dataplane": "data_plane",
    "decay": "decay_time",
    "drain": "pre_stop drain_duration drain_time termination_drain_duration termination_grace_period_seconds",
    "endpoints": "routes paths",
    "factor": "success_rate_stdev_factor",
    "failure_accrual": "circuit_breaking failure_accrual_consecutive",
    "fault": "fault_injection http_fault",
    "for": "lasts",
    "hedge": "hedge_policy hedging hedging_policy",
    "host_attempts": "host_selection_retry_max_attempts",
    "hosts": "success_rate_minimum_hosts",
    "jitter": "jitter_ratio failure_accrual_consecutive_jitter_ratio",
    "keep_alive": "keep_alive_timeout",
    "latency": "delay rtt",
    "loss": "packet_loss drop",
    "max": "max_interval max_backoff max_attempts",
    "max_age": "max_connection_duration max_connection_age",
    "max_failures": "consecutive_failures failure_accrual_consecutive_max_failures",
    "max_penalty": "max_ejection_backoff failure_accrual_consecutive_max_penalty",
    "max_pending": "max_pending_requests http1_max_pending_requests",
    "max_requests": "http2_max_requests max_concurrent_requests max_requests_per_connection",
    "merge_window": "update_merge_window",
    "min_concurrency": "min_retry_concurrency",
    "min_health_percent": "panic_threshold healthy_panic_threshold",
    "min_penalty": "init_ejection_backoff failure_accrual_consecutive_min_penalty",
    "min_per_second": "min_retries_per_second",
    "on": "retry_on retry_conditions conditions",
    "percent": "percentage",
    "previous_hosts": "retry_host_predicate",
    "push_delay": "propagation_delay",
    "queue": "queue_size queue_limit backlog max_queue",
    "rate": "rps qps requests_per_second",
    "rate_limit": "local_rate_limit",
    "ratio": "budget_percent retry_ratio",
    "repeat": "times count repetitions",
    "replicas": "instances pods",
    "requests": "success_rate_request_volume",
    "restart": "rollout rollout_restart rolling_update rolling_restart",
    "retries": "retry retry_policy",
    "rtt": "default_rtt",
    "script": "calls steps dependencies",
    "selection": "selection_method",
    "split": "weights weighted_clusters traffic_split subsets",
    "startup": "startup_time startup_probe readiness_probe initial_delay_seconds min_ready_seconds",
    "status": "http_status",
    "statuses": "retriable_status_codes retryable_status_codes status_codes",
    "success_rate": "success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor",
    "surge": "max_surge",
    "think": "think_time",
    "time": "latency service_time processing_time response_time fixed_delay",
    "timeout": "request_timeout route_timeout deadline",
    "to": "target",
    "unavailable": "max_unavailable",
    "users": "clients concurrency vus",
    "workers": "cpu cpus cores concurrency threads parallelism",
}
"""Other names of ours, where ours may stand."""

NOT_MODELLED = """
    consecutive_local_origin_failure consecutive_local_origin_failures
    consistent_hash cors cors_policy enforcing_consecutive_5xx enforcing_consecutive_gateway_failure
    enforcing_failure_percentage enforcing_success_rate failure_percentage_minimum_hosts
    failure_percentage_request_volume failure_percentage_threshold health_checks
    initial_jitter locality_lb_setting max_ejection_time_jitter max_stream_duration mirror mirror_percentage
    per_try_idle_timeout rate_limited_retry_back_off request_headers_to_add
    request_mirror_policies retriable_headers retriable_request_headers retry_priority rewrite slow_start
    slow_start_config split_external_local_origin_errors tcp_keepalive warmup_duration_secs
"""
"""Keys of mechanisms that meshsim lacks: nothing here does the same."""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_OURS: dict[str, list[str]] = {}
for _ours, _theirs in SYNONYMS.items():
    for _name in _theirs.split():
        _OURS.setdefault(_plain(_name), []).append(_ours)
_LACKING = frozenset(map(_plain, NOT_MODELLED.split()))


def meant(name: str, names: Collection[str]) -> list[str]:
    """Those of the names that a key means: the same spelt otherwise, or else what another mesh calls so."""
    plain = _plain(name)
    spelt = [ours for ours in names if _plain(ours) == plain]
    return spelt or [ours for ours in _OURS.get(plain, ()) if ours in names]


def unknown_key(name: str, names: Collection[str]) -> tuple[str, str]:
    """What is wrong with a key where others may stand, and the one that means the same, if there is one."""
    if same := meant(name, names):
        return "unknown key", f"write {listed(same)}"
    if _plain(name) in _LACKING:
        return "is not modelled", "leave it out"
    return "unknown key", suggestion(name, names)
