"""The live table: rates of the last seconds, events since the start, and what is now."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.live import Live

from meshsim.lab.show.watch import SPAN, Dashboard, Window, headline
from meshsim.live.proxy.route import Passed
from meshsim.live.stats import EdgeCounts


def counts(calls: int, ok: int, latency: float = 0.01, **more: int) -> dict[str, EdgeCounts]:
    passed = Passed()
    for number in range(calls):
        passed.answered(200 if number < ok else 503, latency, attempts=0, hedges=False)
    return {"a -> b": replace(passed.counts(), **more)}


def test_the_first_report_is_of_all_the_time_since_the_start() -> None:
    window = Window()
    assert window.rows() == []
    window.add(2.0, counts(100, 90, retries=7, ejections=1, active=3, pending=4, ejected=1))
    row = window.rows()[0]
    assert row[:3] == ("a -> b", "50/s", "90 %")
    assert row[5:] == ("7", "0", "1", "1", "3/4")


def test_rates_and_latencies_are_those_of_the_last_seconds() -> None:
    window = Window()
    for second in range(1, 31):
        old = counts(10 * min(second, 20), 10 * min(second, 20), 0.01)["a -> b"]
        new = counts(40 * max(0, second - 20), 0, 0.5)["a -> b"]
        window.add(float(second), {"a -> b": EdgeCounts.pooled([old, new])})
    edge, rate, success, p50, _, *_ = window.rows()[0]
    assert (edge, rate, success) == ("a -> b", "40/s", "0 %")
    assert float(p50.split()[0]) == pytest.approx(500.0, rel=0.01)
    assert len(window._seen) <= SPAN + 2


def test_an_edge_without_calls_of_late_has_no_latency() -> None:
    window = Window()
    for second in range(20):
        window.add(float(second), counts(10, 10))
    assert window.rows()[0][1:5] == ("0/s", "-", "-", "-")


def test_a_percentile_takes_enough_calls() -> None:
    window = Window()
    window.add(2.0, counts(99, 99))
    assert window.rows()[0][4] == "-"
    window.add(3.0, counts(220, 220))
    assert window.rows()[0][4] != "-"


@pytest.mark.parametrize("remark", ["", "the control plane does not answer"])
def test_the_headline_says_where_the_control_plane_is_and_what_ails_it(remark: str) -> None:
    mesh = SimpleNamespace(
        scenario=SimpleNamespace(name="shop", duration=20.0), now=12.0, options=SimpleNamespace(load=True),
        control=SimpleNamespace(url="http://127.0.0.1:7", remark=remark),
    )  # fmt: skip
    assert headline(mesh).splitlines() == [
        "[bold]shop[/] 12 s of 20 s; control plane: http://127.0.0.1:7; Ctrl-C ends it early",
        *filter(None, [remark]),
    ]


def test_what_is_being_done_is_off_the_screen_before_other_words_are_printed() -> None:
    screen = io.StringIO()
    with Live(console=Console(file=screen, force_terminal=True), auto_refresh=False) as live:
        shown = Dashboard(live)
        shown.say("connecting them")
        shown.clear()
        assert screen.getvalue().endswith("\r\x1b[2K")  # back to the line's start, and the line erased
