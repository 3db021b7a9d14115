from dataclasses import replace

import pytest

from meshsim.lab.compare import compare
from meshsim.lab.show import compare as sheets
from meshsim.measure.differences import Difference
from meshsim.measure.intervals import Interval
from meshsim.scenario import loads

SCENARIO = loads("""
name: small
duration: 5s
services: {api: {workers: 1, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
objectives: [{service: api, mean: 15ms, success: 99%}]
""")


@pytest.fixture(scope="module")
def numbers():
    changes = {"services.api.errors": "5%", "services.api.time": {"exponential": "9ms"}}
    return compare(SCENARIO, changes=changes, replications=4, jobs=1).numbers


FOUND = Difference(
    metric="latency.mean", a=0.5, b=0.4, difference=-0.1, low=-0.2, high=-0.01, half_width=0.09, told=True,
    told_jointly=True, identical=False, correlation=0.5, variance_ratio=2.0, unpaired_replications=1234,
)  # fmt: skip


def found(**changes) -> Difference:
    return replace(FOUND, **changes)


def test_every_sheet_is_rectangular(numbers) -> None:
    for make in (sheets.headline, sheets.services, sheets.objectives, sheets.requests):
        sheet = make(numbers)
        assert sheet.rows
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}
        assert all(isinstance(cell, str) for row in sheet.rows for cell in row)


def test_a_row_reads_well() -> None:
    assert sheets.row("latency, mean", found()) == (
        "latency, mean", "500 ms", "400 ms", "-100 ms", "± 90 ms", "lower", "0.50", "1,234",
    )  # fmt: skip
    share = found(metric="requests.success_ratio", a=0.9, b=0.95, difference=0.05, half_width=0.01)
    assert sheets.row("success", share)[1:6] == ("90 %", "95 %", "+5 pp", "± 1 pp", "higher")
    same = found(identical=True, difference=0.0, told=False, correlation=None)
    assert sheets.row("x", same)[3:] == ("0", "-", "identical", "-", "-")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "lower"),
        ({"told_jointly": False}, "lower*"),
        ({"difference": 0.1}, "higher"),
        ({"told": False}, "not significant"),
        ({"identical": True}, "identical"),
    ],
)
def test_significance_is_a_word(changes, word) -> None:
    assert sheets.significance(found(**changes)) == word


def test_the_sentences_say_how_sure(numbers) -> None:
    only = replace(numbers, metric="latency.mean", differences=[found()], requests=None)
    told = sheets.sentences(only)
    assert told[0] == "latency.mean: B is 100 ms ± 90 ms lower than A, by 20 %."
    assert "needed 1,234 replications of each" in told[1]
    assert "instead of 4" in told[1]
    assert "correlation 0.50" in told[1]
    assert "Bonferroni" in told[-1]
    unsure = replace(only, differences=[found(told=False, high=0.01)])
    assert "not significant, the difference lies between -200 ms and 10 ms" in sheets.sentences(unsure)[0]
    assert "is not compared" in sheets.sentences(replace(only, differences=[]))[0]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.003, -0.001, "were answered 2 ms ± 1 ms sooner in B, on average."),
        (0.001, 0.003, "were answered 2 ms ± 1 ms later in B, on average."),
        (
            -0.001,
            0.003,
            "were not answered significantly sooner or later: on average between 1 ms sooner and 3 ms",
        ),
    ],
)
def test_a_direction_is_told_where_there_is_one(numbers, low, high, words) -> None:
    mean, half = (low + high) / 2, (high - low) / 2
    moved = replace(numbers.requests, faster=5, slower=5, difference=Interval(mean, low, high, half, 0.95, 4))
    assert any(words in told for told in sheets.sentences(replace(numbers, requests=moved)))
    still = replace(moved, faster=0, slower=0)
    assert not any("in both" in told for told in sheets.sentences(replace(numbers, requests=still)))


def test_the_shares_of_requests_add_up(numbers) -> None:
    rows = sheets.requests(numbers).rows
    counts = [int(row[1].replace(",", "")) for row in rows]
    assert sum(counts) == numbers.requests.count
    assert {row[0]: row[1] for row in rows}["lost"] != "0"


def test_a_service_that_does_not_change_is_left_out(numbers) -> None:
    same = [replace(each, identical=True) for each in numbers.differences]
    assert sheets.services(replace(numbers, differences=same)).rows == []
