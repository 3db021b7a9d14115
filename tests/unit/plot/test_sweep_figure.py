"""The picture of a sweep: what is drawn where, in words too."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest

from meshsim.lab.digest import Digest
from meshsim.measure.intervals import Median
from meshsim.plot import sweep_figure
from meshsim.plot.axis import Axis, lines
from meshsim.scenario import loads
from meshsim.scenario.load import load_grid

TEXT = """
name: by-hand
description: Numbers made by hand.
duration: 10s
services: {api: {workers: 2}, db: {}}
load: [{to: api, rate: 10/s}]
"""
CAPACITY = 60.0


class ByHand:
    """A sweep whose mesh answers at most 60 requests a second."""

    def __init__(self, vary, *, missing=0, replications=7, unlimited=False, silent=False, ok=200) -> None:
        self.grid = load_grid(loads(TEXT), vary=vary)
        self.made = {"version": "9.9", "engine": "by-hand", "seed": 3, "replications": replications}
        self.partial = missing > 0
        points = self.grid.points[: len(self.grid.points) - missing]
        self.digests = [
            self.digest(number, point.scenario, unlimited, silent, ok) for number, point in enumerate(points)
        ]

    @staticmethod
    def digest(number, scenario, unlimited, silent, ok) -> Digest:
        rate = scenario.load[0].rate
        busy = "busy_mean" if unlimited else "utilisation"
        late = {} if silent else {"latency_p50": 0.01, "latency_p99": 0.02 if rate < CAPACITY else 2.0}
        client = {
            "rate": rate,
            "goodput": min(rate, CAPACITY),
            "success_ratio": min(1.0, CAPACITY / rate),
            "ok": ok,
            "failed": 0,
            **late,
        }
        api, db = {busy: min(1.0, rate / CAPACITY)}, {busy: 0.1}
        return Digest(
            number,
            7,
            int(rate > CAPACITY),
            {"client": medians(client), "api": medians(api), "db": medians(db)},
        )


def figure_of(sweep: ByHand):
    return sweep_figure(sweep.grid, sweep.digests, **sweep.made, partial=sweep.partial)


def medians(numbers):
    return {name: Median(value, 0.9 * value, 1.1 * value, 0.98, 7) for name, value in numbers.items()}


def texts(figure) -> str:
    return "\n".join(each.get_text() for each in figure.findobj(match=lambda part: hasattr(part, "get_text")))


def drawn(axes, label: str):
    """The line that ends where a name points to."""
    (name,) = [text for text in axes.texts if text.get_text() == label]
    return next(line for line in axes.lines if line.get_xydata()[-1].tolist() == list(name.xy))


RATES = {"load[0].rate": "20/s:100/s:5"}


def test_one_key_is_the_hockey_stick() -> None:
    figure = figure_of(ByHand(RATES))
    goodput, latency, busy = figure.axes
    assert drawn(goodput, "goodput").get_xdata().tolist() == [20, 40, 60, 80, 100]
    assert drawn(goodput, "goodput").get_ydata().tolist() == [20, 40, 60, 60, 60]
    assert drawn(goodput, "offered").get_ydata().tolist() == [20, 40, 60, 80, 100]
    assert latency.get_yscale() == "log"
    assert drawn(latency, "p99").get_ydata().tolist() == [0.02, 0.02, 2, 2, 2]
    assert drawn(busy, "api").get_ydata()[-1] == 1.0
    assert busy.get_xlabel() == "load[0].rate, per s"
    band = next(each for each in goodput.collections)
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(66.0)


def test_points_that_are_not_steady_are_hollow() -> None:
    figure = figure_of(ByHand(RATES))
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in hollow] == [[80, 100]]
    assert "hollow: unstable" in texts(figure)
    assert "hollow" not in texts(figure_of(ByHand({"load[0].rate": ["20/s", "30/s"]})))


def test_where_it_comes_from_is_said() -> None:
    said = texts(figure_of(ByHand(RATES)))
    assert "meshsim 9.9 · engine by-hand · seed 3 to 9 at each point" in said
    assert "bands: 98 % intervals of the median" in said
    assert "by-hand" in said
    assert "Numbers made by hand." in said
    assert "PARTIAL" not in said
    assert "PARTIAL: interrupted" in texts(figure_of(ByHand(RATES, missing=1)))
    assert "intervals" not in texts(figure_of(ByHand(RATES, replications=1)))


def test_a_second_key_is_a_line_a_value() -> None:
    found = ByHand({**RATES, "services.db.time": ["1ms", "2ms", "3ms"], "duration": ["9s"]})
    goodput, latency, busy = figure_of(found).axes
    assert {"1ms", "2ms", "3ms", "offered"} == {text.get_text() for text in goodput.texts}
    assert goodput.get_title(loc="left").endswith("for each services.db.time")
    assert latency.get_title(loc="left").startswith("99th percentile")
    assert busy.get_title(loc="left") == "utilisation of api's workers"


def test_many_values_of_a_second_key_are_a_map() -> None:
    figure = figure_of(ByHand({"load[0].rate": "20/s:120/s:6", "services.db.time": "1ms:8ms:8"}, missing=3))
    latency, success = figure.axes[:2]
    shares = next(found for each in success.collections if (found := each.get_array()) is not None)
    shares = np.ma.masked_invalid(shares.reshape(8, 6))
    np.testing.assert_allclose(shares[0], [1, 1, 1, 0.75, 0.6, 0.5])
    assert shares.mask[-1].tolist() == [False] * 5 + [True]  # of the last rate, three times are missing
    assert [tick.get_text() for tick in success.get_xticklabels()][:2] == ["20/s", "40/s"]
    assert [tick.get_text() for tick in latency.get_yticklabels()][:2] == ["1ms", "2ms"]
    assert success.get_xlabel() == "load[0].rate"
    assert success.get_ylabel() == "services.db.time"


def test_words_are_categories() -> None:
    found = ByHand({"policies.api.balance": ["random", "round_robin", {"least_request": {"choices": 3}}]})
    goodput, _, busy = figure_of(found).axes
    labels = [tick.get_text() for tick in busy.get_xticklabels()]
    assert labels == ["random", "round_robin", "{least_request: {choices: 3}}"]
    assert len(goodput.containers) == 2  # bars, and no line that would join what has no order
    assert all(line.get_linestyle() == "None" for line in goodput.lines if line.get_marker() == "o")


@pytest.mark.parametrize(
    ("values", "logarithmic", "shown"),
    [
        (["1ms", "10ms", "100ms", "1s"], True, "10ms"),
        (["0ms", "10ms", "100ms", "1s"], False, "10ms"),
        ([1, 2, 3], False, "2"),
        (["5%", "10%"], False, "10%"),
        (["1/s", "2/s"], False, "2"),
    ],
)
def test_axes_show_values_as_they_are_written(values, logarithmic, shown) -> None:
    axis = Axis.of("key", tuple(values))
    assert axis.logarithmic is logarithmic
    assert axis.show(axis.places[1]) == shown


def test_the_axis_has_the_key_with_most_numbers() -> None:
    found = ByHand(
        {"policies.api.balance": ["random", "round_robin"], "services.db.time": ["1ms", "2ms"], **RATES}
    )
    axis, each = lines(found.grid, found.digests)
    assert axis.key == "load[0].rate"
    assert [line.name for line in each] == [
        "random, 1ms",
        "random, 2ms",
        "round_robin, 1ms",
        "round_robin, 2ms",
    ]
    assert all(line.places == (20.0, 40.0, 60.0, 80.0, 100.0) for line in each)


@pytest.mark.parametrize("options", [{"unlimited": True}, {"silent": True}, {"missing": 4}])
def test_any_sweep_can_be_drawn(options) -> None:
    figure = figure_of(ByHand(RATES, **options))
    assert matplotlib.image.imread(io.BytesIO(figure.png())).shape[1] == 1000


def test_the_picture_in_words() -> None:
    assert figure_of(ByHand(RATES)).alt == (
        "by-hand: load[0].rate from 20/s to 100/s in 5 values, 7 runs each; at 80/s goodput falls short of"
        " the offered load: 60/s of 80/s, p99 is 20 ms at first and 2 s at last, api is busiest, up to 100 %."
    )
    several = figure_of(ByHand({"load[0].rate": "20/s:120/s:6", "services.db.time": "1ms:8ms:8"})).alt
    assert "with services.db.time 2ms at 80/s goodput" in several
    assert several.endswith("and 3 more rows.")


def test_a_percentile_takes_enough_requests() -> None:
    latency = figure_of(ByHand(RATES, ok=99)).axes[1]
    assert [text.get_text() for text in latency.texts] == ["p50"]
