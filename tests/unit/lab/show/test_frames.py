"""Results as data frames, and as one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import meshsim as ms
from meshsim.lab.live import LiveRun

SCENARIO = ms.loads("""
name: small
duration: 5s
services:
  page: {time: 1ms, script: [{call: cart}]}
  cart: {versions: {v1: {replicas: 2, workers: 2, time: {exponential: 10ms}}, v2: {time: 5ms, errors: 20%}}}
policies: {cart: {split: {v1: 70, v2: 30}, retries: {attempts: 1}, timeout: 20ms}}
load: [{to: page, rate: 100/s}]
objectives: [{service: page, p90: 100ms}]
""")


@pytest.fixture(scope="module")
def run() -> ms.Run:
    return ms.run(SCENARIO)


def test_one_row_a_service_version_replica(run) -> None:
    services, versions, replicas = run.services, run.versions, run.replicas
    assert services.index.tolist() == ["page", "cart"]
    assert versions.index.tolist() == [("page", ""), ("cart", "v1"), ("cart", "v2")]
    assert replicas.index.tolist() == ["page/0", "cart/v1/0", "cart/v1/1", "cart/v2/0"]
    assert replicas.loc["cart/v2/0", ["service", "version"]].tolist() == ["cart", "v2"]
    for frame in (versions, replicas):
        assert frame.requests.sum() == services.requests.sum()
        assert set(services.columns) <= set(frame.columns)
    whole = run.summary["services"]["cart"]
    assert services.loc["cart", "latency_p99"] == whole["latency"]["p99"]
    assert services.loc["cart", "rate"] == whole["rate"]


def test_numbers_are_numbers_and_what_does_not_exist_is_nan(run) -> None:
    assert np.isnan(run.services.loc["page", "utilisation"])
    for frame in (run.services, run.versions, run.edges):
        words = {"caller", "service"}
        assert all(frame[column].dtype.kind in "if" for column in frame.columns if column not in words)


def test_one_row_an_edge_and_a_column_a_flag(run) -> None:
    edges = run.edges
    assert edges.index.tolist() == ["client -> page", "page -> cart"]
    assert edges.loc["page -> cart", ["caller", "service"]].tolist() == ["page", "cart"]
    flags = run.summary["edges"]["page -> cart"]["flags"]
    assert flags
    assert {f"flags_{flag}" for flag in flags} <= set(edges.columns)
    for flag, count in flags.items():
        assert edges[f"flags_{flag}"].tolist() == [0, count]


def test_every_result_is_one_short_line(run) -> None:
    live = LiveRun(run.scenario, run.records, run.numbers, np.array([]))
    compared = ms.compare(SCENARIO, changes=["policies.cart.retries.attempts=0"], replications=2, jobs=1)
    swept = ms.sweep(SCENARIO, {"load[0].rate": ["50/s", "100/s"]}, jobs=1)
    capable = ms.capacity(SCENARIO, find=["replicas"], at_most=4, jobs=1)
    solved = ms.solve(SCENARIO)
    for result in (run, live, compared, swept, capable, solved, run.scenario):
        text = repr(result)
        assert text.startswith(f"<{type(result).__name__} 'small': "), text
        assert "\n" not in text
        assert len(text) < 500
        assert str(result) == text
    requests = run.summary["requests"]["offered"]
    assert repr(run).startswith(f"<Run 'small': {requests} requests, ")
    assert "better" in repr(compared) or "Inconclusive" in repr(compared) or "worse" in repr(compared)
    for result in (run, live, compared, swept, capable):
        assert result._repr_html_().startswith("<table>")


def test_a_name_of_several_lines_is_still_one_line() -> None:
    strange = ms.run(ms.loads("name: " + json.dumps("a\nb" * 100) + "\n" + TINY))
    assert "\n" not in repr(strange)
    assert len(repr(strange)) < 300


TINY = "duration: 1s\nservices: {a: {time: 1ms}}\nload: [{to: a, rate: 5/s}]\n"
