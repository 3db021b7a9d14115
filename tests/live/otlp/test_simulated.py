"""The traces of simulated runs, as a receiver gets them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

import meshsim
from meshsim.cli.app import app
from meshsim.errors import MeshsimError
from meshsim.lab.traces import export_otlp
from meshsim.scenario import loads
from tests.live.otlp.receiver import Receiver, shapes, unpack, wrong_trees
from tests.live.otlp.shop import TEXT


@pytest.fixture(scope="module")
def scenario():
    return loads(TEXT)


def test_every_span_of_a_run_is_taken_and_its_traces_are_trees(scenario, tmp_path: Path) -> None:
    with Receiver() as receiver:
        run = meshsim.run(scenario, otlp=receiver.url, out=tmp_path, replications=2)
        again, _ = export_otlp(tmp_path, to=receiver.url)
    assert receiver.problems == []
    count = len(run.spans)
    assert len(receiver.spans) == 2 * count > 2000
    spans, later = receiver.spans[:count], receiver.spans[count:]
    assert wrong_trees(spans) == []
    assert spans == later, "an export has the times and ids of what was sent when it ran"
    assert run.numbers.traces is not None
    assert again is not None
    assert run.summary["traces"]["sent"] == again.sent == count
    assert all(size <= 512 for _, _, size in receiver.requests)
    assert {span.id for span in spans} == set(run.spans["span_id"])


def test_spans_say_what_the_conventions_ask_for(scenario) -> None:
    with Receiver() as receiver:
        run = meshsim.run(scenario, otlp=receiver.url)
    kinds = Counter(span.kind for span in receiver.spans)
    table = Counter(run.spans["kind"])
    assert kinds == {"INTERNAL": table["call"], "CLIENT": table["attempt"], "SERVER": table["server"]}
    names = {span.name for span in receiver.spans}
    assert {"cart/add", "front/buy", "POST /add", "POST /buy", "GET /page"} <= names
    for span in receiver.spans:
        status = span.attributes.get("http.response.status_code", 0)
        assert isinstance(status, int)
        least = 500 if span.kind == "SERVER" else 400
        assert span.error == (status >= least or (status == 0 and "response_flags" in span.attributes))
        assert span.resource["service.namespace"] == "shop"
        if span.kind == "SERVER":
            assert str(span.resource["service.instance.id"]).startswith(f"{span.resource['service.name']}/")
            assert span.attributes["url.path"] == span.name.split()[1]
    resent = Counter(span.attributes.get("http.request.resend_count", 0) for span in receiver.spans)
    assert resent[1] > resent[2] > 0, "retries are numbered"
    assert any("UT" in str(span.attributes.get("response_flags")) for span in receiver.spans)
    calls = {span.id: span for span in receiver.spans}
    callers = {
        calls[span.parent].resource.get("service.instance.id")
        for span in receiver.spans if span.kind == "CLIENT" and span.attributes["server.address"] == "cart"
    }  # fmt: skip
    assert callers == {"front/v1/0", "front/v1/1"} or callers == {"front/0", "front/1"}


def test_both_engines_have_the_same_traces(scenario) -> None:
    found = []
    for engine in ("fast", "simpy"):
        with Receiver() as receiver:
            meshsim.run(scenario, engine=engine, otlp=receiver.url, overrides=["duration=4s"])
        found.append(shapes(receiver.spans))
    assert found[0] == found[1]


def test_two_runs_of_a_scenario_are_not_taken_for_one(scenario) -> None:
    with Receiver() as receiver:
        for _ in range(2):
            meshsim.run(scenario, otlp=receiver.url, overrides=["duration=1s"])
    assert wrong_trees(receiver.spans) == []


def test_files_hold_the_same_spans(scenario, tmp_path: Path) -> None:
    run = meshsim.run(scenario, out=tmp_path, overrides=["duration=4s"])
    _, written = export_otlp(tmp_path)
    assert len(written) == -(-len(run.spans) // 512)
    spans = [
        span for path in written for span in unpack(ExportTraceServiceRequest.FromString(path.read_bytes()))
    ]
    assert {span.id for span in spans} == set(run.spans["span_id"])
    _, (lines,) = export_otlp(tmp_path, form="json")
    read = [
        span
        for line in lines.read_text().splitlines()
        for group in json.loads(line)["resourceSpans"]
        for span in group["scopeSpans"][0]["spans"]
    ]
    assert [span["spanId"] for span in read] == [span.id for span in spans]
    assert read[0]["kind"] in (1, 2, 3)
    assert isinstance(read[0]["startTimeUnixNano"], str)


def test_what_can_not_be_sent_is_refused_before_the_run(scenario, tmp_path: Path) -> None:
    with pytest.raises(MeshsimError, match="keeps histograms has none; add --keep records"):
        meshsim.run(scenario, keep="histograms", otlp="http://127.0.0.1:4318")
    with pytest.raises(MeshsimError, match="not the URL of an OTLP receiver"):
        meshsim.run(scenario, otlp="127.0.0.1:4318")
    with pytest.raises(MeshsimError, match="no form 'xml' of OTLP; choose protobuf or json"):
        export_otlp(tmp_path, form="xml")
    with pytest.raises(
        MeshsimError, match=r"^can't read .*summary\.json: No such file or directory; give the folder"
    ):
        export_otlp(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(MeshsimError, match=r"^can't read .*spans\.parquet: "):
        export_otlp(tmp_path)
    meshsim.run(scenario, out=tmp_path, overrides=["duration=1s", "tracing.sampling=0%"])
    with pytest.raises(
        MeshsimError, match=r"has no spans: .* run the scenario with --set tracing\.sampling=100%"
    ):
        export_otlp(tmp_path)


def test_the_verbs(scenario, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(TEXT)
    shell = CliRunner()
    with Receiver(reject=1) as receiver:
        out = ["--out", str(tmp_path / "out"), "--set", "duration=2s"]
        ran = shell.invoke(app, ["run", str(file), *out, "--otlp", receiver.url, "--json"])
        sent = shell.invoke(app, ["export", "otlp", str(tmp_path / "out"), "--to", receiver.url, "--json"])
    numbers = json.loads(ran.stdout)
    assert numbers["traces"]["rejected"] == len([size for _, _, size in receiver.requests]) / 2
    assert any("did not reach" in note for note in numbers["notes"])
    assert sent.exit_code == 1
    assert json.loads(sent.stdout)["traces"]["problems"] == numbers["traces"]["problems"]
    for useless in ("--out", "--form"):
        refused = shell.invoke(app, ["export", "otlp", "out", "--to", receiver.url, useless, "json"])
        assert (refused.exit_code, "leave out --out and --form" in refused.stderr) == (2, True)
    written = shell.invoke(app, ["export", "otlp", str(tmp_path / "out")])
    assert written.exit_code == 0
    assert "traces-0000.otlp.pb" in written.stdout


def test_ten_thousand_requests_are_taken_whole(scenario) -> None:
    with Receiver() as receiver:
        run = meshsim.run(scenario, otlp=receiver.url, overrides=["duration=170s"])
    assert run.summary["requests"]["offered"] >= 10_000
    assert receiver.problems == []
    assert wrong_trees(receiver.spans) == []
    assert {span.id for span in receiver.spans} == set(run.spans["span_id"])
