"""Spans of `meshsim.measure.spans` as OTLP has them.

| a span here | there | its kind | parent |
|---|---|---|---|
| call: a caller's call, all its tries together, in its proxy | cart/add | INTERNAL | the server span that \
made it |
| attempt: one try, as the caller's proxy saw it | POST /cart | CLIENT | its call |
| server: the stay at the replica | POST /cart | SERVER | its attempt |

An error is what the conventions say: 4xx and 5xx for who called, 5xx alone for who answered. Work that was
thrown away because nobody waited for it has no status, and is no error: it is marked as cancelled.

Source: OpenTelemetry semantic conventions, HTTP spans; Envoy's tracing tags for `response_flags` and
`upstream_cluster`.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.topology import CLIENT_PROXY, version_of
from meshsim.version import VERSION

Row = Mapping[str, Any]
"""A span by the columns of `meshsim.measure.spans`, with `instance`: the replica whose it is, or empty."""
Value = str | int | bool

KINDS = {"call": Span.SPAN_KIND_INTERNAL, "attempt": Span.SPAN_KIND_CLIENT, "server": Span.SPAN_KIND_SERVER}
SAMPLED = 0x101
"""Flags of a span: sampled, and that it is known whether the parent is another process's."""
REMOTE = 0x200
"""The parent is."""
NANO = 1_000_000_000


class Encoder:
    """Writes the spans of one run.

    Args:
        scenario: that ran, for pages.
        engine: that ran it.
        origin: when scenario time 0 was, ns since 1970.
        half: upper half of the ids of traces that have none (a simulation's), so that two runs of a scenario
            are not taken for one.
    """

    def __init__(self, scenario: Scenario, engine: str, origin: int, half: int = 0) -> None:
        self._pages = {
            (name, endpoint): service.address(endpoint)
            for name, service in scenario.services.items()
            for endpoint in ("", *service.endpoints)
        }
        self._origin = origin
        self._half = half.to_bytes(8, "big")
        self._common: dict[str, Value] = {
            "service.namespace": scenario.name,
            "telemetry.sdk.name": "meshsim",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.version": VERSION,
            "meshsim.engine": engine,
        }
        self._scope = InstrumentationScope(name="meshsim", version=VERSION)

    def request(self, rows: Iterable[Row]) -> ExportTraceServiceRequest:
        """One export of spans, grouped by whose they are."""
        message = ExportTraceServiceRequest()
        groups: dict[tuple[str, str, int], ResourceSpans] = {}
        for row in rows:
            owner = row["service"], row["instance"], row.get("replication", 0)
            group = groups.get(owner)
            if group is None:
                group = groups[owner] = message.resource_spans.add()
                self._describe(group, *owner)
            self._write(group.scope_spans[0].spans.add(), row)
        return message

    def _describe(self, group: ResourceSpans, service: str, instance: str, replication: int) -> None:
        """Whose spans a group has."""
        own: dict[str, Value] = {"service.name": service, **self._common}
        if instance or service == CLIENT:
            own["service.instance.id"] = instance or CLIENT_PROXY
        if version := version_of(instance):
            own["service.version"] = version
        if replication:
            own["meshsim.replication"] = int(replication)
        _put(group.resource.attributes, own)
        group.scope_spans.add().scope.CopyFrom(self._scope)

    def _write(self, span: Span, row: Row) -> None:
        kind, service = row["kind"], row["service"] if row["kind"] == "server" else row["peer"]
        method, path = self._pages.get((service, row["endpoint"]), ("GET", "/"))
        trace = bytes.fromhex(row["trace_id"])
        span.trace_id = trace if any(trace[:8]) else self._half + trace[8:]
        span.span_id = bytes.fromhex(row["span_id"])
        span.parent_span_id = bytes.fromhex(row["parent_id"])
        span.flags = SAMPLED | (REMOTE if kind == "server" else 0)
        span.kind = KINDS[kind]
        span.name = (
            f"{method} {path}" if kind != "call" else "/".join(filter(None, (service, row["endpoint"])))
        )
        span.start_time_unix_nano = self._origin + round(row["start"] * NANO)
        span.end_time_unix_nano = self._origin + round(row["end"] * NANO)
        if wrong := error_of(kind, row["status"], row["flag"]):
            span.status.code = Status.STATUS_CODE_ERROR
        _put(span.attributes, attributes(row, service, method, path, wrong))


def error_of(kind: str, status: int, flag: str) -> str:
    """The `error.type` of a span that ended so; empty where it is no error."""
    if status > 0:
        return str(status) if status >= (500 if kind == "server" else 400) else ""
    return flag


def attributes(row: Row, service: str, method: str, path: str, wrong: str) -> dict[str, Value]:
    """The attributes of a span about a request to a service's page."""
    kind, status, flag, number = row["kind"], int(row["status"]), row["flag"], int(row["attempt"])
    found: dict[str, Value] = {"http.request.method": method, "server.address": service}
    if kind == "server":
        found |= {"url.path": path, "url.scheme": "http", "http.route": path}
    else:
        found |= {"server.port": 80, "url.full": f"http://{service}{path}", "url.path": path}
        found["upstream_cluster"] = service
    if status > 0:
        found["http.response.status_code"] = status
    elif not flag:
        found["meshsim.cancelled"] = True
    if wrong:
        found["error.type"] = wrong
    if flag:
        found["response_flags"] = flag
    if kind == "call":
        found["meshsim.attempts"] = number
    elif number > 0:
        found["meshsim.attempt.kind"] = row["attempt_kind"]
        if kind == "attempt":
            found["http.request.resend_count"] = number
    if kind == "attempt":
        found["meshsim.upstream.instance"] = row["replica"]
    if row["extra"]:
        found["meshsim.extra"] = True
    return found


def _put(into: Any, values: Mapping[str, Value]) -> None:
    for key, value in values.items():
        if isinstance(value, str):
            found = AnyValue(string_value=value)
        elif isinstance(value, bool):
            found = AnyValue(bool_value=value)
        else:
            found = AnyValue(int_value=value)
        into.append(KeyValue(key=key, value=found))


def json_line(message: Message) -> str:
    """An export as one line of OTLP's JSON: protobuf's, but ids as hexadecimal and enumerations as numbers.

    Source: OTLP specification, JSON Protobuf Encoding.
    """
    found = MessageToDict(message, use_integers_for_enums=True)
    for resource in found.get("resourceSpans", ()):
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = b64decode(span[name]).hex()
    return json.dumps(found, separators=(",", ":"))
