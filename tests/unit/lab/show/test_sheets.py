from dataclasses import replace

import numpy as np
import pytest

from meshsim.lab.run import run
from meshsim.lab.show import sheets
from meshsim.lab.show.flags import FLAGS, explain
from meshsim.measure.summary import summarise
from meshsim.policies.outcome import NAMES
from meshsim.scenario import loads


@pytest.fixture
def summary(make_scenario, make_records):
    scenario = make_scenario(objectives=[{"service": "api", "p99": "250ms", "success": "99%"}])
    start = np.arange(0.0, 100.0, 0.1)
    bad = np.arange(1000) % 10 == 0
    records = [
        make_records(
            scenario,
            start,
            0.1 + 0.01 * seed,
            status=np.where(bad, 504, 200),
            flag=np.where(bad, "URX,UT", ""),
            seed=seed,
        )
        for seed in (1, 2)
    ]
    return summarise(records, scenario)


def test_every_sheet_is_rectangular(summary) -> None:
    for make in (sheets.headline, sheets.services, sheets.edges, sheets.failures, sheets.objectives):
        sheet = make(summary)
        assert sheet.rows
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}
        assert all(isinstance(cell, str) for row in sheet.rows for cell in row)


def test_the_headline_has_margins_with_replications(summary) -> None:
    sheet = sheets.headline(summary)
    rows = {row[0]: row for row in sheet.rows}
    assert rows["offered"] == ("offered", "10/s", "± 0/s")
    assert rows["success"][1] == "90 %"
    assert rows["latency, mean"][2].startswith("± ")


def test_a_percentile_takes_enough_requests(make_scenario, make_records) -> None:
    """p99 of fewer than 100 is about the longest: the file has it, the tables don't print it as p99."""
    scenario = make_scenario()
    few = summarise([make_records(scenario, np.arange(0.0, 100.0, 2.0), 0.1)], scenario)
    assert few.latency.p99 == pytest.approx(0.1)
    rows = {row[0]: row[1] for row in sheets.headline(few).rows}
    assert (rows["latency, p90"], rows["latency, p99"]) == ("100 ms", "-")
    for sheet in (sheets.services(few), sheets.edges(few)):
        assert [row[-2:] for row in sheet.rows] == [("100 ms", "-")]


def test_objectives_are_judged_limit_by_limit(summary) -> None:
    rows = sheets.objectives(summary).rows
    assert [row[-1] for row in rows] == ["met", "MISSED"]


def test_failures_are_explained(summary) -> None:
    ((where, key, times, meaning),) = sheets.failures(summary).rows
    assert (where, key, times) == ("requests", "URX,UT", "180")
    assert "retries were used up" in meaning
    assert "time-out" in meaning


@pytest.mark.parametrize("keep", ["records", "histograms"])
def test_calls_within_the_mesh_that_fail_without_a_flag_are_told_by_status(keep) -> None:
    scenario = loads("""
name: inner
duration: 10s
services:
  front: {time: 1ms, script: [{call: cart, optional: true}, {call: db, optional: true}]}
  cart: {errors: 50%}
  db: {}
mesh: {dataplane: sidecar, mtls: {mode: strict}}
access: [{deny: {to: db}}]
load: [{to: front, rate: 20/s}]
""")
    summary = run(scenario, overrides={"keep": keep}).numbers
    found = {
        (where, key): (int(times), meaning) for where, key, times, meaning in sheets.failures(summary).rows
    }
    cart, db = (summary.edges[f"front -> {service}"] for service in ("cart", "db"))
    assert {key: times for key, (times, _) in found.items()} == {
        ("front -> cart", "500"): cart.failed, ("front -> db", "403"): db.failed,
    }  # fmt: skip
    assert (cart.statuses, cart.flags) == ({"500": cart.failed}, {})
    assert 0 < cart.failed < db.failed == db.requests
    assert "access rule" in found["front -> db", "403"][1]
    assert summary.edges["client -> front"].statuses is None


def test_flags_and_statuses_in_words() -> None:
    assert set(FLAGS) == {name for name in NAMES if name}
    assert all(explain(flag) == words for flag, words in FLAGS.items())
    assert "waiting room" in explain("503")
    assert explain("418") == "418"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "100 %"), (0.99999, "99.999 %"), (0.5, "50 %"), (0.00001, "0.001 %"), (0.0, "0 %"), (None, "-")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(value, text) -> None:
    assert sheets.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0125, "12.5 ms"), (2.0, "2 s"), (0.0, "0 s"), (3e-6, "3 us"), (None, "-")]
)
def test_times_for_people(value, text) -> None:
    assert sheets.time(value) == text


def test_html_escapes_what_users_wrote(summary) -> None:
    summary = replace(summary, scenario="<script>")
    assert "<script>" not in sheets.html(sheets.headline(summary), ["a < b"])
    assert "a &lt; b" in sheets.html(sheets.headline(summary), ["a < b"])


def test_columns_that_say_nothing_are_left_out(summary) -> None:
    assert "hedges" not in sheets.edges(summary).columns
    assert "dropped" not in sheets.services(summary).columns
    hedged = {name: replace(edge, hedges=3) for name, edge in summary.edges.items()}
    assert "hedges" in sheets.edges(replace(summary, edges=hedged)).columns
