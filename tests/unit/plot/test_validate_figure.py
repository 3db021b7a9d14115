"""The picture of a validation."""

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from meshsim.lab.validate import validate
from meshsim.scenario import loads

sys.path.insert(0, str(Path(__file__).parents[1] / "lab" / "validate"))
from fake_live import Fake

SCENARIO = loads("""
name: small
duration: 20s
services: {api: {workers: 4, time: {exponential: 20ms}}}
mesh: {dataplane: sidecar}
policies: {api: {rate_limit: {rate: 60/s, burst: 5}}}
load: [{to: api, rate: 80/s}]
""")


def texts(figure) -> list[str]:
    inside = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes._left_title)]
    ticks = [text.get_text() for text in figure.axes[2].get_yticklabels()]
    return [*(text.get_text() for text in figure.texts), *inside, *ticks]


@pytest.fixture(scope="module")
def good():
    return validate(SCENARIO, live=Fake(), replications=2)


@pytest.fixture(scope="module")
def bad():
    return validate(SCENARIO, live=Fake(slow={"api": 1.3}), replications=2)


def test_three_panels_say_how_well_they_agree(good) -> None:
    figure = good.plot()
    assert len(figure.axes) == 3
    found = texts(figure)
    for words in ("small behind meshsim", "PASS", "simulated", "live", "latency.mean", "failures.RL"):
        assert words in found, words
    assert any("same status" in text for text in found)


def test_what_is_off_stands_outside_the_shade(bad) -> None:
    figure = bad.plot()
    found = texts(figure)
    assert "FAIL" in found
    rows = [row for row in bad.summary["metrics"] if row["allowed"] > 0]
    place = [row["metric"] for row in rows].index("latency.mean")
    ends = [line.get_xdata()[-1] for line in figure.axes[2].lines if set(line.get_ydata()) == {place}]
    assert min(ends) > 1.0


def test_residuals_show_an_error_that_grows_with_the_latency(bad) -> None:
    line = next(line for line in bad.plot().axes[1].lines if len(line.get_xdata()) == 12)
    assert line.get_ydata()[-2] > line.get_ydata()[1] + 3.0  # ms


def test_it_is_a_png_with_a_description(good, bad) -> None:
    image = Image.open(io.BytesIO(good.plot().png()))
    assert image.size[0] == 1000
    assert "all numbers within their tolerance" in image.info["Description"]
    assert "outside their tolerance: latency.mean" in bad.plot().alt


def test_nothing_paired_is_said() -> None:
    closed = SCENARIO.model_copy(
        update={"load": loads("{duration: 1s, services: {api: {}}, load: [{to: api, users: 3}]}").load}
    ).model_copy(update={"policies": {}})
    figure = validate(closed, live=Fake(), replications=2).plot()
    assert "too few requests are paired" in texts(figure)
