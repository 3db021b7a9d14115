"""Envoy's own tracer: it sends its spans to an OTLP receiver itself, as protobuf over HTTP.

A request's `traceparent` says whether it is sampled; one without is sampled with the scenario's share. Spans
wait for `FLUSH`, s, or until there are `BATCH` of them. What a receiver does not take is dropped: no request
waits for it, and no more than `EXPORTS` are under way.

Source: envoyproxy/envoy, api/envoy/config/trace/v3/opentelemetry.proto, its samplers and resource detectors.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from meshsim.errors import MeshsimError
from meshsim.live.envoy.numbers import Json, duration, share
from meshsim.live.envoy.policy import TYPE
from meshsim.live.envoy.proxy import Proxy
from meshsim.live.options import TraceReceiver
from meshsim.scenario.topology import version_of

CLUSTER = "(traces)"
"""The receiver as an upstream; no service can have this name."""
FLUSH, BATCH, EXPORTS = 0.2, 256, 32
TIMEOUT = 5.0
"""How long a receiver may take to answer, s."""
OF_EXPORTS = ("completed", "2xx", "active")
DROPPED = "tracing.opentelemetry.spans_dropped"
COUNTS = f"^({DROPPED}|cluster\\.\\(traces\\)\\.upstream_rq_(completed|2xx|active))$"
"""A pattern for what an Envoy counts of exports."""
LOST = "spans: some did not reach the OTLP receiver"

_TRACERS = TYPE + "envoy.extensions.tracers.opentelemetry."
_TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def cluster(receiver: TraceReceiver) -> Json:
    """The receiver's cluster; all addresses of its name are tried, as ``localhost`` has two."""
    parts = urlsplit(receiver.url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    address = {"address": host, "port_value": parts.port or (443 if secure else 80)}
    endpoint = {"endpoint": {"address": {"socket_address": address}}}
    limits = {"max_connections": EXPORTS, "max_pending_requests": EXPORTS, "max_requests": EXPORTS}
    found: Json = {
        "name": CLUSTER,
        "type": "LOGICAL_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": duration(TIMEOUT),
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if secure:
        trusted: Json = {"trusted_ca": {"filename": str(roots())}}
        kind = "IP_ADDRESS" if is_address(host) else "DNS"
        trusted["match_typed_subject_alt_names"] = [{"san_type": kind, "matcher": {"exact": host}}]
        named = {"sni": host} if kind == "DNS" else {}
        context = {"@type": _TLS, **named, "common_tls_context": {"validation_context": trusted}}
        found["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return found


def is_address(host: str) -> bool:
    """Whether a host is an address, not a name."""
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def roots() -> Path:
    """The file of the roots that this machine trusts; a MeshsimError if there is none."""
    known = ssl.get_default_verify_paths()
    for file in (known.cafile, f"{known.capath}/ca-certificates.crt"):
        if file is not None and Path(file).is_file():
            return Path(file)
    raise MeshsimError("--otlp: no file of trusted roots is found for an Envoy; name one in SSL_CERT_FILE")


def runtime() -> Json:
    """When spans are sent."""
    layer = {"flush_interval_ms": round(FLUSH * 1000), "min_flush_spans": BATCH}
    named = {f"tracing.opentelemetry.{name}": value for name, value in layer.items()}
    return {"layers": [{"name": "traces", "static_layer": named}]}


def config(proxy: Proxy, receiver: TraceReceiver, *, tries: bool) -> Json:
    """What a connection manager traces, each of `tries` by itself, and where spans go."""
    ratio = {
        "name": "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
        "typed_config": {
            "@type": _TRACERS + "samplers.v3.TraceIdRatioBasedSamplerConfig",
            "sampling_percentage": share(proxy.scenario.tracing.sampling),
        },
    }
    whose = {
        "@type": _TRACERS + "resource_detectors.v3.StaticConfigResourceDetectorConfig",
        "attributes": {
            "service.namespace": proxy.scenario.name,
            "service.instance.id": proxy.id,
            "meshsim.engine": "envoy",
            **({"service.version": version} if (version := version_of(proxy.id)) else {}),
        },
    }
    headers = [{"header": {"key": key, "value": value}} for key, value in receiver.headers.items()]
    uri = {"uri": receiver.url, "cluster": CLUSTER, "timeout": duration(TIMEOUT)}
    tracer = {
        "@type": TYPE + "envoy.config.trace.v3.OpenTelemetryConfig",
        "http_service": {"http_uri": uri, "request_headers_to_add": headers},
        "service_name": proxy.caller,
        "resource_detectors": [
            {"name": "envoy.tracers.opentelemetry.resource_detectors.static_config", "typed_config": whose}
        ],
        "sampler": {
            "name": "envoy.tracers.opentelemetry.samplers.parent_based",
            "typed_config": {
                "@type": _TRACERS + "samplers.v3.ParentBasedSamplerConfig", "wrapped_sampler": ratio,
            },
        },
    }  # fmt: skip
    provider = {"name": "envoy.tracers.opentelemetry", "typed_config": tracer}
    return {"provider": provider, "spawn_upstream_span": tries, "random_sampling": {"value": 100.0}}


def pending(stats: Mapping[str, int]) -> tuple[int, int]:
    """Of an Envoy's `COUNTS`: how many exports are under way, and how much was lost: exports, or spans."""
    ended, taken, active = (stats.get(f"cluster.{CLUSTER}.upstream_rq_{name}", 0) for name in OF_EXPORTS)
    return active, ended - taken + stats.get(DROPPED, 0)
