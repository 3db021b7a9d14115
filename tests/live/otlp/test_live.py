"""The traces of live runs, as a receiver gets them: whole, and those of the same simulation."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

import meshsim
from meshsim.interop.otlp import sender
from meshsim.lab import steer
from meshsim.lab.live import run_live
from meshsim.lab.traces import export_otlp
from meshsim.scenario import loads
from tests.live.otlp.receiver import Receiver, shapes, wrong_trees
from tests.live.otlp.shop import LIVE, TEXT
from tests.live.processes import closed_port


def test_a_live_run_has_the_traces_of_the_simulation(tmp_path: Path) -> None:
    scenario = loads(TEXT, overrides=LIVE)
    with Receiver() as receiver:
        began = time.time_ns()
        run = run_live(scenario, otlp=receiver.url, out=tmp_path)
        ended = time.time_ns()
    with Receiver() as other:
        meshsim.run(scenario, otlp=other.url)
    assert receiver.problems == []
    assert wrong_trees(receiver.spans) == []
    sent = run.summary["traces"]
    assert (sent["rejected"], sent["dropped"], sent["retries"]) == (0, 0, 0)
    assert sent["sent"] == len(receiver.spans) == len(run.spans)
    assert {span.id for span in receiver.spans} == set(run.spans["span_id"])
    assert all(began <= span.start <= span.end <= ended for span in receiver.spans)
    # which replica answers depends on timing: all else is the same
    assert plain(receiver.spans) == plain(other.spans)


def plain(spans):
    """Traces by what does not depend on which replica was free."""
    return {
        (id_, parent, name, kind, error, service)
        for _, id_, parent, name, kind, error, service, *_ in shapes(spans)
    }


def test_a_live_export_has_what_was_sent(tmp_path: Path) -> None:
    with Receiver() as receiver:
        run_live(loads(TEXT, overrides=[*LIVE, "duration=1s"]), otlp=receiver.url, out=tmp_path)
        first = {(span.trace, span.id, span.start) for span in receiver.spans}
        receiver.spans.clear()
        export_otlp(tmp_path, to=receiver.url)
        again = {(span.trace, span.id, span.start) for span in receiver.spans}
    assert first == again


BAD = {
    "slow": (Receiver(delay=1.0), "the run was over before the receiver took them"),
    "overloaded": (Receiver(answers=[(429, {})] * 1000), "the receiver answered 429"),
    "asks for a pause": (Receiver(answers=[(429, {"retry-after": "30"})] * 9), "the receiver answered 429"),
}


@pytest.mark.parametrize("kind", [*BAD, "down"])
def test_a_bad_receiver_costs_requests_nothing_and_is_told(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "CLOSING", 0.5)
    monkeypatch.setattr(sender, "QUEUE_SPANS", 200)
    scenario = loads(TEXT, overrides=[*LIVE, "duration=2s"])
    receiver, why = BAD.get(kind, (nullcontext(), "the receiver could not be reached: Connection refused"))
    with receiver, closed_port() as port:
        run = run_live(scenario, otlp=getattr(receiver, "url", f"http://127.0.0.1:{port}"))
    assert run.summary["requests"] == pytest.approx(meshsim.run(scenario).summary["requests"])
    sent = run.summary["traces"]
    assert sent["sent"] + sent["dropped"] == len(run.spans) > 400
    assert {why, "the receiver is too slow, and the queue was full"} <= set(sent["problems"])
    assert sum(sent["problems"].values()) == sent["dropped"]
    assert any(
        f"Of {len(run.spans):,} spans, {sent['dropped']:,} did not reach" in note
        for note in run.summary["notes"]
    )


def test_a_receiver_that_comes_later_gets_all() -> None:
    with closed_port() as port:
        receiver = Receiver(port=port)
        late = threading.Timer(2.0, receiver.__enter__)  # some time after the first spans
        run = run_live(
            loads(TEXT, overrides=[*LIVE, "duration=2s"]),
            otlp=f"http://127.0.0.1:{port}",
            ready=lambda _: late.start(),
        )
        receiver.__exit__()
    assert run.summary["traces"]["retries"] > 0
    assert wrong_trees(receiver.spans) == []
    assert {span.id for span in receiver.spans} == set(run.spans["span_id"])


def test_a_replica_that_is_added_says_its_version(tmp_path: Path) -> None:
    scenario = loads("""
name: grows-by-one
duration: 4s
services: {a: {versions: {v1: {}}, time: 1ms}}
mesh: {dataplane: sidecar}
load: [{to: a, rate: 30/s}]
tracing: {sampling: 100%}
""")

    where = {"version": "v1", "mesh": "grows-by-one"}

    def ready(_: object) -> None:
        threading.Thread(target=steer.scale_live, args=("a", 2), kwargs=where).start()

    with Receiver() as receiver:
        run_live(scenario, otlp=receiver.url, ready=ready, out=tmp_path)
        export_otlp(tmp_path, to=receiver.url)
    found = {
        (span.resource["service.instance.id"], span.resource.get("service.version"))
        for span in receiver.spans
    }
    assert found == {("client/0", None), ("a/v1/0", "v1"), ("a/v1/1", "v1")}


PROGRAM = """
import os, http.server, urllib.request


class Program(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kept = {name: self.headers[name] for name in ("traceparent", "x-request-id") if self.headers[name]}
        urllib.request.urlopen(urllib.request.Request(os.environ["API_URL"], headers=kept)).read()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Program).serve_forever()
"""


def test_a_program_that_passes_traceparent_on_is_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    scenario = loads(
        f"""
name: p
mesh: {{dataplane: sidecar}}
duration: 1s
services:
  front: {{time: 1ms, script: [{{call: api}}], live: {{command: ["{sys.executable}", program.py]}}}}
  api: {{time: 1ms}}
load: [{{to: front, rate: 20/s}}]
tracing: {{sampling: 100%}}
""",
        folder=tmp_path,
    )
    with Receiver() as receiver:
        run_live(scenario, otlp=receiver.url)
    with Receiver() as other:
        meshsim.run(scenario, otlp=other.url)
    assert receiver.problems == []
    assert wrong_trees(receiver.spans) == []
    assert plain(receiver.spans) == plain(other.spans)
