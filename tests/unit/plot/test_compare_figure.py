import io

import pytest
from PIL import Image

from meshsim.lab.compare import compare
from meshsim.measure.differences import Difference
from meshsim.plot import forest
from meshsim.scenario import loads

SCENARIO = loads("""
name: small
duration: 10s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 100/s}]
events: [{at: 5s, for: 1s, service: api, slow: 3}]
""")


@pytest.fixture(scope="module")
def result():
    return compare(SCENARIO, changes=["services.api.time={exponential: 5ms}"], replications=3, jobs=1)


def texts(figure) -> list[str]:
    inside = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes._left_title)]
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    return [*(text.get_text() for text in figure.texts), *inside, *ticks]


def test_three_panels_say_what_differs(result) -> None:
    figure = result.plot()
    assert len(figure.axes) == 3
    found = texts(figure)
    for words in ("latency, mean", "goodput", "api: utilisation", "A", "B", "api 3x slower"):
        assert words in found, words
    assert any("with services.api.time" in text for text in found)
    assert any("3 pairs of runs" in text for text in found)


def test_an_interval_is_drawn_where_it_lies(result) -> None:
    rows = forest.rows(result.numbers)
    place = [row.name for row in rows].index("latency, mean")
    line = [
        line
        for line in result.plot().axes[0].lines
        if len(line.get_ydata()) == 2 and line.get_ydata()[0] == place
    ]
    found = rows[place].found
    assert list(line[-1].get_xdata()) == pytest.approx([found.low / found.a, found.high / found.a])


def test_tails_fall_from_all_to_those_who_never_get_an_answer(result) -> None:
    for side, (times, shares) in zip(("a", "b"), result.tails(), strict=True):
        assert shares[0] == 1.0
        assert (shares[1:] <= shares[:-1]).all()
        good = sum(getattr(pair, side).numbers.requests.ok for pair in result.pairs)
        offered = sum(getattr(pair, side).numbers.requests.offered for pair in result.pairs)
        assert shares[-1] == pytest.approx(1.0 - good / offered)
        middle = times[(shares <= 0.5).argmax()]
        p50 = [getattr(pair, side).numbers.latency.p50 for pair in result.pairs]
        assert min(p50) / 1.03 <= middle <= max(p50) * 1.03


def test_the_picture_is_a_png_with_words(result) -> None:
    picture = Image.open(io.BytesIO(result.plot().png()))
    assert picture.size[0] == 1000
    assert picture.info["Description"] == result.plot().alt
    assert "latency, mean -" in result.plot().alt


def test_large_changes_and_nothing_at_all_can_be_drawn() -> None:
    slower = compare(SCENARIO, changes=["services.api.time={exponential: 300ms}"], replications=2, jobs=1)
    assert slower.plot().axes[0].get_xscale() == "symlog"
    dead = compare(
        SCENARIO,
        changes=["services.api.errors=100%"],
        overrides=["services.api.errors=100%"],
        replications=2,
        jobs=1,
    )
    assert dead.plot().png()
    assert "no difference" in dead.plot().alt


@pytest.mark.parametrize(
    ("difference", "half_width", "said"),
    [
        (-0.8636, 0.0075, "-86.36 % ± 0.75 %"),
        (1.494, 0.061, "+149.4 % ± 6.1 %"),
        (30.0, 2.34, "+3000 % ± 234 %"),
        (1e-7, 2e-7, "less than 0.01 %"),
        (1.0, 0.0, "+100.0 % ± 0.0 %"),
    ],
)
def test_a_change_has_as_many_digits_as_it_is_worth(difference, half_width, said) -> None:
    found = Difference(
        metric="x", a=1.0, b=1.0 + difference, difference=difference, low=0.0, high=0.0,
        half_width=half_width, told=True, told_jointly=True, identical=False, correlation=None,
        variance_ratio=None, unpaired_replications=None,
    )  # fmt: skip
    assert forest.Row("x", found).change == said
