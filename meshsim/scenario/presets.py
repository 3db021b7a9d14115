"""Whose defaults fill what policies leave out: the published ones of one version of each mesh.

A default is always in force, or, below a block that silence leaves out, once the block is there: no mesh
ejects by default, so `outlier_detection` has none for itself, and `outlier_detection: {}` takes those below
it. Where a preset has no row for a key, meshsim's own default holds: `retries.backoff.max` is ten times the
base, and `max_ejection_time` 300 s or the base, as at Envoy.

Linkerd's are read in its source and documentation; nothing here has run a Linkerd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OFF = None
"""Of a block that is there only where it is written."""
ON: dict[str, Any] = {}
"""Of a block that is there though nobody writes it."""


@dataclass(frozen=True, slots=True)
class Default:
    """One default: a key below ``policies.X``, its value as in a file, and where it is published."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Preset:
    """The defaults of one mesh.

    Attributes:
        name: as in `mesh.preset`.
        version: whose defaults they are.
        defaults: in the order of the keys of a policy; blocks before what is in them.
        lacking: what the mesh does by default and meshsim does not.
        unless: by key: beside which others, when they are written, it has no default.
        off_at_zero: keys that, at 0, take their whole block out of force.
    """

    name: str
    version: str
    defaults: tuple[Default, ...]
    lacking: tuple[str, ...]
    unless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    off_at_zero: tuple[str, ...] = ()

    def default(self, key: str) -> Default | None:
        """The row of a key, if there is one."""
        return next((row for row in self.defaults if row.key == key), None)


def _rows(source: str, **values: Any) -> list[Default]:
    """Defaults of one source; ``a__b`` is the key ``a.b``."""
    return [Default(key.replace("__", "."), value, source) for key, value in values.items()]


_ROUTE = "envoyproxy/envoy api/envoy/config/route/v3/route_components.proto"
_CLUSTER = "envoyproxy/envoy api/envoy/config/cluster/v3"
_EJECTION = f"{_CLUSTER}/outlier_detection.proto"

_ENVOYS_BUDGET = {"retries.budget.min_concurrency": ("min_per_second", "ttl")}

ENVOY = Preset(
    "envoy",
    "1.40.0",
    (
        *_rows(f"{_ROUTE}, RouteAction.timeout", timeout="15s"),
        *_rows(f"{_ROUTE}, RouteAction.retry_policy", retries=OFF),
        *_rows(f"{_ROUTE}, RetryPolicy.num_retries", retries__attempts=1),
        *_rows(f"{_ROUTE}, RetryPolicy.per_try_timeout", retries__per_try_timeout="0s"),
        *_rows(f"{_ROUTE}, RetryPolicy.RetryBackOff.base_interval", retries__backoff__base="25ms"),
        *_rows(f"{_ROUTE}, RetryPolicy.retry_host_predicate", retries__previous_hosts=False),
        *_rows(f"{_ROUTE}, RetryPolicy.host_selection_retry_max_attempts", retries__host_attempts=1),
        *_rows(f"{_CLUSTER}/circuit_breaker.proto, Thresholds.retry_budget", retries__budget=OFF),
        *_rows(
            f"{_CLUSTER}/circuit_breaker.proto, RetryBudget",
            retries__budget__ratio="20%",
            retries__budget__min_concurrency=3,
        ),
        *_rows(f"{_CLUSTER}/cluster.proto, Cluster.lb_policy", balance="round_robin"),
        *_rows(f"{_CLUSTER}/cluster.proto, Cluster.connect_timeout", connection__connect_timeout="5s"),
        *_rows(
            "envoyproxy/envoy api/envoy/config/core/v3/protocol.proto, HttpProtocolOptions.idle_timeout",
            connection__idle_timeout="1h",
        ),
        *_rows(
            f"{_CLUSTER}/circuit_breaker.proto, Thresholds",
            circuit_breaker__max_connections=1024,
            circuit_breaker__max_pending=1024,
            circuit_breaker__max_requests=1024,
            circuit_breaker__max_retries=3,
        ),
        *_rows(f"{_CLUSTER}/cluster.proto, Cluster.outlier_detection", outlier_detection=OFF),
        *_rows(f"{_EJECTION}, consecutive_5xx", outlier_detection__consecutive_5xx=5),
        *_rows(
            f"{_EJECTION}, enforcing_consecutive_gateway_failure: 0",
            outlier_detection__consecutive_gateway_failure=OFF,
        ),
        *_rows(f"{_EJECTION}, enforcing_success_rate: 100", outlier_detection__success_rate=ON),
        *_rows(
            f"{_EJECTION}, success_rate_minimum_hosts, _request_volume and _stdev_factor",
            outlier_detection__success_rate__hosts=5,
            outlier_detection__success_rate__requests=100,
            outlier_detection__success_rate__factor=1.9,
        ),
        *_rows(
            _EJECTION,
            outlier_detection__interval="10s",
            outlier_detection__base_ejection_time="30s",
            outlier_detection__max_ejection_percent="10%",
            outlier_detection__always_eject_one=False,
        ),
        *_rows(
            "envoyproxy/envoy source/extensions/load_balancing_policies/round_robin/config.cc,"
            " healthy_panic_threshold",
            outlier_detection__min_health_percent="50%",
        ),
        *_rows(
            "envoyproxy/envoy source/common/upstream/cluster_manager_impl.cc, update_merge_window",
            outlier_detection__merge_window="1s",
        ),
    ),
    (
        "retries.on: Envoy has no default for retry_on; meshsim's 5xx acts where nothing is written",
        "stream_idle_timeout 5m of the connection manager (no answer here is streamed)",
    ),
    unless=_ENVOYS_BUDGET,
)

_RETRY = "istio/istio pilot/pkg/networking/core/route/retry/retry.go"
_TRAFFIC = "istio/istio pilot/pkg/networking/core/cluster_traffic_policy.go"
_DETECTION = f"{_TRAFFIC}, applyOutlierDetection"

ISTIO = Preset(
    "istio",
    "1.31",
    (
        *_rows("istio.io reference virtual-service, HTTPRoute.timeout: disabled", timeout="0s"),
        *_rows(f"{_RETRY}, DefaultPolicy", retries=ON),
        *_rows(f"{_RETRY}, defaultPolicy", retries__attempts=2),
        *_rows(f"{_RETRY}, ConvertPolicy", retries__per_try_timeout="0s"),
        *_rows(
            f"{_RETRY}, defaultPolicy",
            retries__on=["connect-failure", "refused-stream", "unavailable", "cancelled"],
        ),
        *_rows(f"{_RETRY}, ConvertPolicy, and Envoy's default", retries__backoff__base="25ms"),
        *_rows(f"{_RETRY}, DefaultPolicy", retries__previous_hosts=True),
        *_rows(f"{_RETRY}, defaultPolicy", retries__host_attempts=5),
        *_rows(f"{_TRAFFIC}, retryBudget", retries__budget=OFF),
        *_rows(
            "istio.io news 1.30 change notes, retryBudget, and Envoy's default",
            retries__budget__ratio="20%",
            retries__budget__min_concurrency=3,
        ),
        *_rows(
            f"{_TRAFFIC}, defaultLBAlgorithm, and Envoy's choice_count",
            balance={"least_request": {"choices": 2}},
        ),
        *_rows(
            "istio/istio pkg/config/mesh/mesh.go, DefaultMeshConfig.ConnectTimeout",
            connection__connect_timeout="10s",
        ),
        *_rows(f"{_TRAFFIC}, which sets no idle_timeout, and Envoy's default", connection__idle_timeout="1h"),
        *_rows(
            f"{_TRAFFIC}, getDefaultCircuitBreakerThresholds",
            circuit_breaker__max_connections="unlimited",
            circuit_breaker__max_pending="unlimited",
            circuit_breaker__max_requests="unlimited",
            circuit_breaker__max_retries="unlimited",
        ),
        *_rows(
            _DETECTION,
            outlier_detection=OFF,
            outlier_detection__consecutive_5xx=5,
            outlier_detection__consecutive_gateway_failure=OFF,
            outlier_detection__success_rate=OFF,
            outlier_detection__interval="10s",
            outlier_detection__base_ejection_time="30s",
            outlier_detection__max_ejection_percent="10%",
            outlier_detection__always_eject_one=False,
            outlier_detection__min_health_percent="0%",
        ),
        *_rows(
            f"{_TRAFFIC}, which sets no update_merge_window, and Envoy's default",
            outlier_detection__merge_window="1s",
        ),
    ),
    (
        "mTLS by itself between sidecars, permissive, certificates of 24h (write mesh.mtls: {})",
        "2 retries on reset-before-request at the server's own sidecar: policies are the caller's here",
        "debounce of configuration, 100ms to 10s (write mesh.push_delay)",
    ),
    unless={"retries.on": ("statuses",), **_ENVOYS_BUDGET},  # conditions and statuses are one key there
    off_at_zero=("retries.attempts",),  # where Envoy would still flag URX
)

_PROXY_CODE = "linkerd/linkerd2-proxy linkerd/app"
_CONTROLLER = "linkerd/linkerd2 policy-controller/grpc/src"
_RETRIES_PAGE = "linkerd.io 2.19 reference retries"

LINKERD = Preset(
    "linkerd",
    "2.19",
    (
        *_rows("linkerd.io 2.19 reference timeouts", timeout="0s"),
        *_rows(
            f"{_RETRIES_PAGE}: off without an annotation",
            retries=OFF,
            retries__attempts=1,
            retries__per_try_timeout="0s",
        ),
        *_rows(f"{_RETRIES_PAGE}: 5xx", retries__statuses=list(range(500, 600))),
        *_rows(
            f"{_PROXY_CODE}/outbound/src/http/logical/policy/route/retry.rs, retryable_error",
            retries__on=["per-try-timeout"],
        ),
        *_rows(
            f"{_CONTROLLER}/outbound/http.rs, the back-off of a retry",
            retries__backoff__base="25ms",
            retries__backoff__max="250ms",
            retries__backoff__jitter="100%",
        ),
        *_rows(f"{_PROXY_CODE}/outbound/src/http, no host is avoided", retries__previous_hosts=False),
        *_rows(f"{_RETRIES_PAGE}: annotations have none", retries__budget=OFF),
        *_rows(
            f"{_CONTROLLER}/outbound.rs, default_balancer_config",
            balance={"peak_ewma": {"decay": "10s", "rtt": "30ms"}},
        ),
        *_rows(f"{_PROXY_CODE}/src/env.rs, the outbound connect timeout", connection__connect_timeout="1s"),
        *_rows(
            f"{_PROXY_CODE}/src/env.rs, which has no such limit",
            circuit_breaker__max_connections="unlimited",
            circuit_breaker__max_pending="unlimited",
            circuit_breaker__max_requests="unlimited",
            circuit_breaker__max_retries="unlimited",
        ),
        *_rows("linkerd.io 2.19 reference circuit-breaking: failure accrual only", outlier_detection=OFF),
        *_rows(
            "linkerd.io 2.19 reference circuit-breaking: off without an annotation",
            failure_accrual=OFF,
            failure_accrual__max_failures=7,
            failure_accrual__min_penalty="1s",
            failure_accrual__max_penalty="60s",
            failure_accrual__jitter="50%",
        ),
    ),
    (
        "mTLS by itself between meshed services, beside plaintext (write mesh.mtls: {rotate_at: 70%})",
        "HTTP/1 becomes HTTP/2 between proxies, so they open fewer connections",
        "endpoints without a connection are not picked (here: they are, and fail with 503 UF)",
        "a queue of 100 and fail-fast after 3s while no endpoint is ready (here: 503 UH at once)",
        "the last try has no per-try time-out",
        "only bodies of up to 64 KiB are retried",
    ),
)

PRESETS = {preset.name: preset for preset in (ENVOY, ISTIO, LINKERD)}
"""By `mesh.preset`."""
