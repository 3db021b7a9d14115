from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from meshsim.measure.capacity import (
    Amount,
    CapacityNumbers,
    Cell,
    CurvePoint,
    Knee,
    LargestLoad,
    Limit,
    LoadLevel,
    RecoveryMap,
    Trial,
)
from meshsim.measure.intervals import Interval
from meshsim.plot import style
from meshsim.plot.capacity import BRACKET, curve_figure, map_figure


def value(mean: float) -> Interval:
    return Interval(mean, 0.9 * mean, 1.1 * mean, 0.1 * mean, 0.95, 4)


def load(amount) -> LargestLoad:
    """A curve over loads of this amount, from a factor."""

    def at(factor: float) -> LoadLevel:
        return LoadLevel(factor, f"{50 * factor:g}/s", [amount(factor)])

    def point(factor: float, verdict: str) -> CurvePoint:
        measured = [value(0.05 * factor**3), value(1.0 - 0.01 * factor)]
        good = value(50.0 * factor)
        return CurvePoint(**vars(at(factor)), verdict=verdict, replications=4, fresh=False, unstable=0,
                          measured=measured, goodput=good, latency_mean=None, utilisation={})  # fmt: skip

    verdicts = {0.5: "met", 1.0: "met", 1.4: "met", 1.5: "undecided", 1.6: "missed"}
    curve = [point(factor, verdict) for factor, verdict in verdicts.items()]
    return LargestLoad(at(1.4), at(1.6), True, [], Knee(at(1.0), at(0.8), at(1.2), True), None, curve)


LOAD = load(lambda factor: Amount("a", 50.0 * factor))
LIMITS = [Limit("a", "p99", 0.2), Limit("a", "success", 0.95)]
FOUND = CapacityNumbers(
    "shop", "0.1.0", 1, 0.95, 0.02, 32, 40, [1, 8], False, LIMITS, LOAD, None, None, None, {}
)


def band(axes, colour: str) -> tuple[float, float]:
    """The ends of a shaded span."""
    (found,) = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == to_hex(colour)]
    return found.get_x(), found.get_x() + found.get_width()


def test_a_panel_for_each_limit_and_one_of_goodput() -> None:
    figure = curve_figure(FOUND, LOAD)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "a: p99 latency (log scale); objective: at most 200 ms",
        "a: success ratio; objective: at least 95 %",
        "goodput, requests/s (thin line: offered load)",
    ]
    for axes in figure.axes:
        assert band(axes, BRACKET["fc"]) == pytest.approx((70.0, 80.0))
    assert 0.2 in {line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_ydata()) == 2}


def test_verdicts_are_told_by_marks_not_by_colour_alone() -> None:
    markers = {line.get_marker() for line in curve_figure(FOUND, LOAD).axes[0].lines} - {"None", "_", "|"}
    assert markers == {"o", "D", "X"}


def test_the_alternative_text_says_what_was_found() -> None:
    assert curve_figure(FOUND, LOAD).alt == (
        "shop: 70/s meets the objectives, 80/s misses them, 95 % confidence, the knee is about 50/s."
    )
    cut = curve_figure(replace(FOUND, partial=True), replace(LOAD, confirmed=False))
    assert "NOT confirmed" in cut.alt
    assert "PARTIAL" in cut.alt


def test_users_are_drawn_as_users() -> None:
    figure = curve_figure(FOUND, load(lambda factor: Amount("a", users=round(10 * factor))))
    assert figure.axes[-1].get_xlabel() == "users"
    assert band(figure.axes[0], BRACKET["fc"]) == pytest.approx((14.0, 16.0))


def test_what_is_not_known_is_left_out() -> None:
    first, *others = LOAD.curve
    curve = [replace(first, measured=[None, first.measured[1]]), *others]
    curve_figure(FOUND, replace(LOAD, meets=None, misses=None, knee=None, curve=curve)).png()


MAP = RecoveryMap(
    "retries",
    "load[0].rate",
    ["0", "1"],
    ["10/s", "20/s", "30/s"],
    True,
    [
        Cell(0, 0, 1.0, 0.7, 1.0, 8, 0),
        Cell(0, 1, 1.0),
        Cell(0, 2, 0.0, 0.0, 0.3, 8, 8, True),
        Cell(1, 0, 1.0, 0.7, 1.0, 8, 0),
        Cell(1, 1, 0.25, 0.1, 0.6, 8, 1),  # one overloaded twin in eight is no hopeless cell
    ],
    [],
    Trial(5.0, 10.0, 30.0),
)


def test_the_map_tells_what_was_run_from_what_follows() -> None:
    figure = map_figure(FOUND, MAP)
    texts = {text.get_text(): text.get_weight() for text in figure.axes[0].texts}
    assert texts["(100 %)"] == "normal"
    assert texts["100 %"] == texts["25 %"] == "bold"
    assert sum(patch.get_hatch() is not None for patch in figure.axes[0].patches) == 1
    assert "4 of 5 cells were run" in figure.alt
    figure.png()


def test_the_boundary_runs_between_likely_and_unlikely() -> None:
    lines = map_figure(FOUND, MAP).axes[0].lines
    assert all(to_hex(line.get_color()) == style.BLACK for line in lines)
    ends = {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in lines}
    assert ends == {
        ((1.5, 1.5), (-0.5, 0.5)),  # row 0: between 20/s and 30/s
        ((0.5, 0.5), (0.5, 1.5)),  # row 1: between 10/s and 20/s
        ((0.5, 1.5), (0.5, 0.5)),  # at 20/s between the rows
    }
    assert not np.isnan([line.get_xdata() for line in lines]).any()  # a cell that is not known has no edge
