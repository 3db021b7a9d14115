"""The presets against the published tables, typed here from their sources, and against their page."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsim.lab.show.policies import shown_value
from meshsim.scenario.presets import OFF, ON, PRESETS

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "presets.md"

UNLIMITED = dict.fromkeys(
    [f"circuit_breaker.max_{what}" for what in ("connections", "pending", "requests", "retries")], "unlimited"
)
ENVOYS_BUDGET = {
    "retries.budget": OFF,
    "retries.budget.ratio": "20%",
    "retries.budget.min_concurrency": 3,
}
ENVOYS_EJECTION = {
    "outlier_detection": OFF,
    "outlier_detection.consecutive_5xx": 5,
    "outlier_detection.consecutive_gateway_failure": OFF,
    "outlier_detection.interval": "10s",
    "outlier_detection.base_ejection_time": "30s",
    "outlier_detection.max_ejection_percent": "10%",
    "outlier_detection.always_eject_one": False,
    "outlier_detection.merge_window": "1s",
}

# https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/route/v3/route_components.proto
# https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/cluster/v3/circuit_breaker.proto
# https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/cluster/v3/outlier_detection.proto
# https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/cluster/v3/cluster.proto
ENVOY = {
    **ENVOYS_BUDGET,
    **ENVOYS_EJECTION,
    "timeout": "15s",
    "retries": OFF,
    "retries.attempts": 1,
    "retries.per_try_timeout": "0s",
    "retries.backoff.base": "25ms",
    "retries.previous_hosts": False,
    "retries.host_attempts": 1,
    "balance": "round_robin",
    "connection.connect_timeout": "5s",
    "connection.idle_timeout": "1h",
    "circuit_breaker.max_connections": 1024,
    "circuit_breaker.max_pending": 1024,
    "circuit_breaker.max_requests": 1024,
    "circuit_breaker.max_retries": 3,
    "outlier_detection.success_rate": ON,
    "outlier_detection.success_rate.hosts": 5,
    "outlier_detection.success_rate.requests": 100,
    "outlier_detection.success_rate.factor": 1.9,
    "outlier_detection.min_health_percent": "50%",
}

# https://github.com/istio/istio/blob/release-1.31/pilot/pkg/networking/core/route/retry/retry.go
# https://github.com/istio/istio/blob/release-1.31/pilot/pkg/networking/core/cluster_traffic_policy.go
# https://github.com/istio/istio/blob/release-1.31/pkg/config/mesh/mesh.go
# https://istio.io/latest/docs/reference/config/networking/virtual-service/ (time-outs)
ISTIO = {
    **ENVOYS_BUDGET,
    **ENVOYS_EJECTION,
    **UNLIMITED,
    "timeout": "0s",
    "retries": ON,
    "retries.attempts": 2,
    "retries.per_try_timeout": "0s",
    "retries.on": ["connect-failure", "refused-stream", "unavailable", "cancelled"],
    "retries.backoff.base": "25ms",
    "retries.previous_hosts": True,
    "retries.host_attempts": 5,
    "balance": {"least_request": {"choices": 2}},
    "connection.connect_timeout": "10s",
    "connection.idle_timeout": "1h",
    "outlier_detection.success_rate": OFF,
    "outlier_detection.min_health_percent": "0%",
}

# https://linkerd.io/2.19/reference/retries/
# https://linkerd.io/2.19/reference/timeouts/
# https://linkerd.io/2.19/reference/circuit-breaking/
# https://github.com/linkerd/linkerd2/tree/main/policy-controller/grpc/src (balancer, back-off)
# https://github.com/linkerd/linkerd2-proxy/blob/main/linkerd/app/src/env.rs (connecting)
LINKERD = {
    **UNLIMITED,
    "timeout": "0s",
    "retries": OFF,
    "retries.attempts": 1,
    "retries.per_try_timeout": "0s",
    "retries.statuses": [*range(500, 600)],
    "retries.on": ["per-try-timeout"],
    "retries.backoff.base": "25ms",
    "retries.backoff.max": "250ms",
    "retries.backoff.jitter": "100%",
    "retries.previous_hosts": False,
    "retries.budget": OFF,
    "balance": {"peak_ewma": {"decay": "10s", "rtt": "30ms"}},
    "connection.connect_timeout": "1s",
    "outlier_detection": OFF,
    "failure_accrual": OFF,
    "failure_accrual.max_failures": 7,
    "failure_accrual.min_penalty": "1s",
    "failure_accrual.max_penalty": "60s",
    "failure_accrual.jitter": "50%",
}


@pytest.mark.parametrize(
    ("preset", "version", "published"),
    [("envoy", "1.40.0", ENVOY), ("istio", "1.31", ISTIO), ("linkerd", "2.19", LINKERD)],
)
def test_a_preset_is_what_is_published(preset: str, version: str, published: dict[str, object]) -> None:
    assert PRESETS[preset].version == version
    assert {row.key: row.value for row in PRESETS[preset].defaults} == published


def preset_tables() -> str:
    """The defaults of all presets side by side, then each with its source, and what is not modelled."""
    keys: list[str] = []
    for preset in PRESETS.values():
        for at, row in enumerate(preset.defaults):
            if row.key not in keys:  # behind the one that it follows there
                behind = preset.defaults[at - 1].key if at else None
                keys.insert(keys.index(behind) + 1 if behind else 0, row.key)
    blocks = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    keys.sort(key=lambda key: blocks.index(key.partition(".")[0]))
    lines = [f"| key | {' | '.join(PRESETS)} |", "|---" * (1 + len(PRESETS)) + "|"]
    for key in keys:
        rows = [preset.default(key) for preset in PRESETS.values()]
        cells = ["-" if row is None else preset_value(row.value) for row in rows]
        lines.append(f"| `{key}` | {' | '.join(cells)} |")
    for preset in PRESETS.values():
        lines += ["", f"### {preset.name} {preset.version}", "", "| key | source |", "|---|---|"]
        lines += [f"| `{row.key}` | {row.source} |" for row in preset.defaults]
        lines += ["", "Not modelled:", "", *(f"- {each}" for each in preset.lacking)]
    return "\n".join(lines) + "\n"


def preset_value(value: object) -> str:
    if value is OFF or value == ON:
        return "off" if value is OFF else "on"
    return shown_value(value)


def test_the_page_of_presets_has_the_defaults_of_the_presets() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.endswith("\n\n" + preset_tables())
