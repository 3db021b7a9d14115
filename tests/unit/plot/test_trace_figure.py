"""The picture of a trace: one line a call or a try, and in words how it ended."""

from __future__ import annotations

import io
from typing import Any

import matplotlib.image
import pytest
from typer.testing import CliRunner

import meshsim
from meshsim.cli.app import app
from meshsim.errors import MeshsimError
from meshsim.lab.observe.waterfall import waterfall as drawn
from meshsim.plot.trace import MOST_LINES, trace_figure, waterfall
from meshsim.scenario import loads

TEXT = """
name: slow
duration: 5s
services:
  shop: {time: 1ms, script: [{call: cart/get}, [{call: pay}, {call: log}]]}
  cart: {replicas: 2, time: {exponential: 30ms}, endpoints: {get: {path: /get, time: {exponential: 30ms}}}}
  pay: {time: 1ms, errors: 20%}
  log: {time: 1ms}
policies: {cart: {retries: {attempts: 2, per_try_timeout: 40ms, on: [5xx]}}}
load: [{to: shop, rate: 40/s}]
tracing: {sampling: 100%}
"""


def span(id_: str, parent: str, kind: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {
        "trace_id": "f" * 32, "span_id": id_, "parent_id": parent, "kind": kind, "service": "client",
        "peer": "cart", "replica": "cart/0", "endpoint": "", "start": start, "end": end, "status": 200,
        "flag": "", **more,
    }  # fmt: skip


RETRIED = [
    span("a", "", "call", 1.0, 1.4),
    span("d", "a", "attempt", 1.3, 1.4, replica="cart/1"),
    span("b", "a", "attempt", 1.0, 1.25, status=504, flag="UT"),
    span("c", "b", "server", 1.01, 1.6, service="cart", peer="", status=-1),
    span("e", "d", "server", 1.31, 1.39, service="cart", peer=""),
    span("f", "e", "call", 1.32, 1.38, service="cart", peer="db", status=503, flag="UO"),
]


def test_tries_stand_below_their_call_and_what_they_caused_below_them() -> None:
    lines = waterfall(RETRIED)
    assert [(line.depth, line.name) for line in lines] == [
        (0, "client → cart"), (1, "try 1 at cart/0"), (1, "try 2 at cart/1"), (2, "→ db"),
    ]  # fmt: skip
    assert [line.server and line.server["span_id"] for line in lines] == [None, "c", "e", None]


def test_a_call_with_one_try_has_one_line() -> None:
    (line,) = waterfall([RETRIED[0], RETRIED[1], RETRIED[4]])
    assert line.name == "client → cart at cart/1"
    assert line.call is RETRIED[0]
    assert line.server is RETRIED[4]


def test_the_picture_says_how_each_line_ended() -> None:
    figure = trace_figure(RETRIED, scenario="x", source="")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["400 ms", "250 ms 504 UT", "100 ms", "60 ms 503 UO"]
    assert "try 1 at cart/0 ended with 504 UT; → db ended with 503 UO" in figure.alt
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][3:] == [
        "failed, or timed out",
        "nobody waited for it",
    ]


def test_a_trace_as_deep_as_it_likes_is_drawn_up_to_a_limit() -> None:
    spans = []
    for number in range(3000):
        ids = [f"{kind}{number}" for kind in "cas"]
        above = f"s{number - 1}" if number else ""
        spans += [span(ids[0], above, "call", 0.0, 1.0), span(ids[1], ids[0], "attempt", 0.0, 1.0)]
        spans.append(span(ids[2], ids[1], "server", 0.0, 1.0))
    assert len(waterfall(spans)) == 3000
    figure = trace_figure(spans, scenario="deep", source="here")
    assert len(figure.axes[0].texts) == MOST_LINES
    assert any("2940 more lines are not shown" in text.get_text() for text in figure.texts)


def test_the_verb_draws_the_longest_trace_of_a_run_or_one_by_its_id(tmp_path) -> None:
    run = meshsim.run(loads(TEXT), out=tmp_path)
    roots = run.spans[run.spans.parent_id == ""]
    longest = roots.loc[(roots.end - roots.start).idxmax()]
    shell = CliRunner()
    assert shell.invoke(app, ["export", "trace", str(tmp_path)]).exit_code == 0
    assert matplotlib.image.imread(io.BytesIO((tmp_path / "trace.png").read_bytes())).shape[1] == 1000
    assert longest.trace_id in drawn(tmp_path).texts[1].get_text()
    other = roots.trace_id.iloc[0]
    assert other in drawn(tmp_path, other[-12:]).texts[1].get_text()
    svg = tmp_path / "one.svg"
    assert shell.invoke(app, ["export", "trace", str(tmp_path), "--id", other, "-o", str(svg)]).exit_code == 0
    assert svg.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("trace", "why"), [("0g", "no trace whose id ends in '0g'"), ("", "traces have ids that end in ''")]
)
def test_a_trace_that_is_not_one_is_refused(tmp_path, trace, why) -> None:
    meshsim.run(loads(TEXT, overrides=["duration=1s"]), out=tmp_path)
    with pytest.raises(MeshsimError, match=why):
        drawn(tmp_path, trace)


def test_what_can_not_be_drawn_is_refused(tmp_path) -> None:
    with pytest.raises(MeshsimError, match="give the folder of run --out or live --out"):
        drawn(tmp_path)
    meshsim.run(loads(TEXT, overrides=["duration=1s", "tracing.sampling=0%"]), out=tmp_path)
    with pytest.raises(MeshsimError, match="has no spans: of the requests that ended none was traced"):
        drawn(tmp_path)
    made = CliRunner().invoke(app, ["export", "trace", str(tmp_path), "-o", "x.gif"])
    assert (made.exit_code, "no picture format 'gif'" in made.stderr) == (2, True)
