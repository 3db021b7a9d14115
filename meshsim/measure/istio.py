"""Istio's standard metrics: their names and labels, for proxies that count and for runs that are counted.

A request is counted twice in a mesh: by its caller's proxy (``reporter="source"``) and by its replica's
(``reporter="destination"``); a retried one is one at the source and several at the destination. What a proxy
does not know is ``unknown``: who calls, where no certificate proves it; of a caller, which version it is.

Source: istio.io, Istio Standard Metrics; istio/proxy's stats filter (principals are known to both sides of a
TLS connection, its security policy is said by the destination alone). Of the counters of clusters: Envoy,
Cluster statistics.
"""

from __future__ import annotations

from meshsim.measure.exposition import Metric
from meshsim.scenario.identity import uri_of

BOUNDS_MS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000,
    3600000,
)  # fmt: skip
"""Envoy's default buckets, which Istio leaves; for sizes in bytes too."""

SOURCE, DESTINATION, UNKNOWN = "source", "destination", "unknown"

REQUESTS = "istio_requests_total", "counter", "Requests that a proxy has answered."
DURATION = "istio_request_duration_milliseconds", "histogram", "From a request's head to its answer's end."
REQUEST_BYTES = "istio_request_bytes", "histogram", "Bodies of requests."
RESPONSE_BYTES = "istio_response_bytes", "histogram", "Bodies of answers."

CLUSTER = {
    "attempts": ("envoy_cluster_upstream_rq_total", "counter", "Tries that were sent, retries among them."),
    "retries": ("envoy_cluster_upstream_rq_retry", "counter", "Retries that were sent."),
    "hedges": ("meshsim_cluster_hedges_total", "counter", "Hedges that were sent."),
    "ejections": (
        "envoy_cluster_outlier_detection_ejections_enforced_total", "counter", "Hosts that were ejected.",
    ),
    "ejected": (
        "envoy_cluster_outlier_detection_ejections_active", "gauge", "Hosts that are ejected now.",
    ),
    "active": ("envoy_cluster_upstream_rq_active", "gauge", "Tries under way, as the breaker counts."),
    "pending": ("envoy_cluster_upstream_rq_pending_active", "gauge", "Tries that wait for a connection."),
}  # fmt: skip
"""Of a caller's proxies and an upstream, by Envoy's names where Envoy has them; the label is of Envoy too."""
CLUSTER_LABEL = "envoy_cluster_name"

HANDSHAKES = "meshsim_tls_handshakes_total", "counter", "TLS handshakes that were completed."
REFUSED = "meshsim_tls_refused_total", "counter", "Connections that one side refused, by reason."
CERTIFICATES = "meshsim_certificates_total", "counter", "Certificates that were signed, refused, expired."


def labels(
    reporter: str, source: str, source_version: str, destination: str, version: str, secured: bool
) -> dict[str, str]:
    """All labels of a series of requests but ``response_code`` and ``response_flags``.

    `secured`: the two have shown each other their certificates. Where they have not, the destination does not
    know who calls; nor does it ever know the caller's version.
    """
    if reporter == DESTINATION:
        source, source_version = source if secured else UNKNOWN, UNKNOWN
    policy = UNKNOWN if reporter == SOURCE else "mutual_tls" if secured else "none"
    return {
        "reporter": reporter,
        "source_workload": source,
        "source_workload_namespace": UNKNOWN if source == UNKNOWN else "default",
        "source_principal": uri_of(source) if secured else UNKNOWN,
        "source_app": source,
        "source_version": source_version,
        "source_cluster": "meshsim",
        "source_canonical_service": source,
        "source_canonical_revision": source_version,
        "destination_workload": destination,
        "destination_workload_namespace": "default",
        "destination_principal": uri_of(destination) if secured else UNKNOWN,
        "destination_app": destination,
        "destination_version": version,
        "destination_cluster": "meshsim",
        "destination_service": destination,
        "destination_service_name": destination,
        "destination_service_namespace": "default",
        "destination_canonical_service": destination,
        "destination_canonical_revision": version,
        "request_protocol": "http",
        "connection_security_policy": policy,
        "grpc_response_status": "",
    }


def answered(of: dict[str, str], code: int, flags: str) -> dict[str, str]:
    """The labels of requests with the same answer; the code is 0 where the caller had gone."""
    return {**of, "response_code": str(code), "response_flags": flags or "-"}


def cluster_metrics() -> dict[str, Metric]:
    """The families of :data:`CLUSTER`, by field, without a series yet."""
    return {field: Metric(*about) for field, about in CLUSTER.items()}
