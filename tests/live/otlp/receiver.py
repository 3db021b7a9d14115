"""An OTLP receiver for tests: takes spans, checks what must hold of each, and can be as bad as real ones."""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan


@dataclass(frozen=True)
class Seen:
    """A span as it arrived; ids in hexadecimal, attributes as plain values."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    start: int
    end: int
    error: bool
    attributes: dict[str, object]
    resource: dict[str, object]


@dataclass
class Receiver:
    """Serves while it is entered, on a port of the system's choice unless it is given one.

    `answers` are (status, headers) of the first requests, which take nothing but with 2xx; then all is taken.
    `delay` is how long each answer takes, s; of each batch `reject` spans are said to be rejected.
    """

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    delay: float = 0.0
    reject: int = 0
    body: bytes | None = None
    port: int = 0
    spans: list[Seen] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        data = body_of(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        time.sleep(self.delay)
        with self._lock:
            status, more = self.answers.pop(0) if self.answers else (200, {})
            content = self._take(request.path, headers, data) if status < 300 else b"no"
        request.send_response(status)
        for name, value in {"content-length": str(len(content)), **more}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def _take(self, path: str, headers: dict[str, str], data: bytes) -> bytes:
        if headers.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        message = ExportTraceServiceRequest.FromString(data)
        new = [*unpack(message)]
        self.requests.append((path, headers, len(new)))
        self.spans += new
        self.problems += [problem for span in new for problem in wrong_with(span)]
        answer = ExportTraceServiceResponse()
        if self.reject:
            answer.partial_success.rejected_spans = self.reject
            answer.partial_success.error_message = "too old"
        return answer.SerializeToString() if self.body is None else self.body


def body_of(request: BaseHTTPRequestHandler) -> bytes:
    """All of it, whether its length is told before or chunk by chunk."""
    if "content-length" in request.headers:
        return request.rfile.read(int(request.headers["content-length"]))
    chunks = []
    while size := int(request.rfile.readline(), 16):
        chunks.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(chunks)


def unpack(message: ExportTraceServiceRequest) -> list[Seen]:
    """The spans of an export."""
    return [
        Seen(
            span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name,
            OtlpSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"), span.start_time_unix_nano,
            span.end_time_unix_nano, span.status.code == 2, values(span.attributes),
            values(group.resource.attributes),
        )
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]  # fmt: skip


def values(attributes: object) -> dict[str, object]:
    found = {}
    for each in attributes:  # type: ignore[attr-defined]
        assert each.key not in found, "a key stands twice"
        found[each.key] = getattr(each.value, each.value.WhichOneof("value"))
    return found


OF_CLIENTS = {"http.request.method", "server.address", "server.port", "url.full"}
"""Attributes that OpenTelemetry's conventions require of a client's span."""


def wrong_with(span: Seen) -> list[str]:
    """What no receiver would take, or no reader understand."""
    tests = {
        "a trace id of 16 bytes, not all 0": len(span.trace) == 32 and int(span.trace, 16) != 0,
        "a span id of 8 bytes, not all 0": len(span.id) == 16 and int(span.id, 16) != 0,
        "a parent id of 8 bytes, or none": len(span.parent) in (0, 16),
        "an end that is not before the start": 0 < span.start <= span.end,
        "a kind": span.kind in ("INTERNAL", "CLIENT", "SERVER"),
        "a service": bool(span.resource.get("service.name")),
        "a method": span.attributes.get("http.request.method") in ("GET", "POST"),
        "all that a client must say": span.kind != "CLIENT" or span.attributes.keys() >= OF_CLIENTS,
        "a type of its error": span.error == ("error.type" in span.attributes),
    }
    return [f"{span.name}: not {what}" for what, holds in tests.items() if not holds]


PARENTS = {"CLIENT": {"INTERNAL"}, "SERVER": {"CLIENT"}, "INTERNAL": {"SERVER"}}
"""The kinds of the parent of a span of each kind."""


def wrong_trees(spans: list[Seen]) -> list[str]:
    """What is wrong with the traces as trees: ids that are there twice, parents that are not or can't be."""
    by_id = {(span.trace, span.id): span for span in spans}
    wrong = ["an id is there twice"] if len(by_id) < len(spans) else []
    roots: Counter[str] = Counter()
    for span in spans:
        parent = by_id.get((span.trace, span.parent))
        if not span.parent:
            roots[span.trace] += 1
        elif parent is None:
            wrong.append(f"{span.kind} {span.name} {span.attributes}: no parent")
        elif parent.kind not in PARENTS[span.kind]:
            wrong.append(f"{span.kind} {span.name}: parent is {parent.kind}")
        elif parent.kind == "CLIENT" and parent.attributes["server.address"] != span.resource["service.name"]:
            wrong.append(f"{span.name}: another service than was asked")
    wrong += [
        f"{trace}: {roots[trace]} roots" for trace in {span.trace for span in spans} if roots[trace] != 1
    ]
    return wrong


def shapes(spans: list[Seen]) -> Counter[tuple[object, ...]]:
    """The traces without ids of a run and times: what a simulation and a live run of it share."""
    unknown = "meshsim.attempt.kind"  # a live service can't know a hedge
    return Counter(
        (
            span.trace[16:], span.id, span.parent, span.name, span.kind, span.error,
            span.resource["service.name"], span.resource.get("service.instance.id"),
            tuple(sorted((key, value) for key, value in span.attributes.items() if key != unknown)),
        )
        for span in spans
    )  # fmt: skip
