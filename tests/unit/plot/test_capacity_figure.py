import copy

import numpy as np
import pytest
from matplotlib.colors import to_hex

from meshsim.plot import style
from meshsim.plot.capacity import BRACKET, curve_figure, map_figure


def at(factor: float) -> dict:
    return {"factor": factor, "label": f"{50 * factor:g}/s", "loads": [{"to": "a", "rate": 50.0 * factor}]}


def value(mean: float) -> dict:
    return {"mean": mean, "low": 0.9 * mean, "high": 1.1 * mean, "half_width": 0.1 * mean}


def point(factor: float, verdict: str) -> dict:
    return {
        **at(factor),
        "verdict": verdict,
        "replications": 4,
        "unstable": 0,
        "measured": [value(0.05 * factor**3), value(1.0 - 0.01 * factor)],
        "goodput": value(50.0 * factor),
    }


ANSWER = {
    "scenario": "shop",
    "version": "0.1.0",
    "confidence": 0.95,
    "partial": False,
    "runs": 40,
    "seeds": [1, 8],
    "objectives": [
        {"service": "a", "key": "p99", "limit": 0.2},
        {"service": "a", "key": "success", "limit": 0.95},
    ],
    "load": {
        "meets": at(1.4),
        "misses": at(1.6),
        "confirmed": True,
        "knee": {"best": at(1.0), "low": at(0.8), "high": at(1.2), "inside": True},
        "curve": [
            point(0.5, "met"),
            point(1.0, "met"),
            point(1.4, "met"),
            point(1.5, "undecided"),
            point(1.6, "missed"),
        ],
    },
    "map": None,
}


def band(axes, colour: str) -> tuple[float, float]:
    """The ends of a shaded span."""
    (found,) = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == to_hex(colour)]
    return found.get_x(), found.get_x() + found.get_width()


def test_a_panel_for_each_limit_and_one_of_goodput() -> None:
    figure = curve_figure(ANSWER)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "a: p99 latency (log scale); wanted is at most 200 ms",
        "a: success; wanted is at least 95 %",
        "goodput, successes/s; the line is all that is offered",
    ]
    for axes in figure.axes:
        assert band(axes, BRACKET["facecolor"]) == pytest.approx((70.0, 80.0))
    assert 0.2 in {line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_ydata()) == 2}


def test_verdicts_are_told_by_marks_not_by_colour_alone() -> None:
    markers = {line.get_marker() for line in curve_figure(ANSWER).axes[0].lines} - {"None", "_", "|"}
    assert markers == {"o", "D", "X"}


def test_the_alternative_text_says_what_was_found() -> None:
    assert curve_figure(ANSWER).alt == (
        "shop: 70/s meets the objectives, 80/s misses them, 95 % confidence, the knee is about 50/s."
    )
    cut = copy.deepcopy(ANSWER)
    cut["partial"] = True
    cut["load"]["confirmed"] = False
    assert "NOT confirmed" in curve_figure(cut).alt
    assert "PARTIAL" in curve_figure(cut).alt


def test_users_are_drawn_as_users() -> None:
    closed = copy.deepcopy(ANSWER)
    places = [closed["load"]["meets"], closed["load"]["misses"], *closed["load"]["curve"]]
    for place in [*places, *(closed["load"]["knee"][key] for key in ("best", "low", "high"))]:
        place["loads"] = [{"to": "a", "users": round(10 * place["factor"])}]
    figure = curve_figure(closed)
    assert figure.axes[-1].get_xlabel() == "users"
    assert band(figure.axes[0], BRACKET["facecolor"]) == pytest.approx((14.0, 16.0))


def test_what_is_not_known_is_left_out() -> None:
    bare = copy.deepcopy(ANSWER)
    bare["load"].update(meets=None, misses=None, knee=None)
    bare["load"]["curve"][0]["measured"][0] = None
    curve_figure(bare).png()


MAP = {
    "down": "retries",
    "across": "load[0].rate",
    "rows": ["0", "1"],
    "columns": ["10/s", "20/s", "30/s"],
    "cells": [
        {
            "row": row,
            "column": column,
            "share": share,
            "replications": run,
            "overloaded": over,
            "hopeless": 2 * (over or 0) >= 8,
        }
        for row, column, share, run, over in [
            (0, 0, 1.0, 8, 0),
            (0, 1, 1.0, 0, None),
            (0, 2, 0.0, 8, 8),
            (1, 0, 1.0, 8, 0),
            (1, 1, 0.25, 8, 1),  # one overloaded twin in eight is no hopeless cell
        ]
    ],
    "trial": {"hit": 5.0, "over": 10.0, "looked": 30.0},
}


def test_the_map_tells_what_was_run_from_what_follows() -> None:
    figure = map_figure({**ANSWER, "map": MAP})
    texts = {text.get_text(): text.get_weight() for text in figure.axes[0].texts}
    assert texts["(100 %)"] == "normal"
    assert texts["100 %"] == texts["25 %"] == "bold"
    assert sum(patch.get_hatch() is not None for patch in figure.axes[0].patches) == 1
    assert "4 of 5 cells were run" in figure.alt
    figure.png()


def test_the_boundary_runs_between_likely_and_unlikely() -> None:
    lines = map_figure({**ANSWER, "map": MAP}).axes[0].lines
    assert all(to_hex(line.get_color()) == style.BLACK for line in lines)
    ends = {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in lines}
    assert ends == {
        ((1.5, 1.5), (-0.5, 0.5)),  # row 0: between 20/s and 30/s
        ((0.5, 0.5), (0.5, 1.5)),  # row 1: between 10/s and 20/s
        ((0.5, 1.5), (0.5, 0.5)),  # at 20/s between the rows
    }
    assert not np.isnan([line.get_xdata() for line in lines]).any()  # a cell that is not known has no edge
