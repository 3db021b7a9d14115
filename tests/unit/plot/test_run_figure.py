import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from meshsim.lab.run import DRAWN_REQUESTS
from meshsim.measure.disturbance import LiveConditions
from meshsim.measure.series import series
from meshsim.measure.summary import summarise
from meshsim.plot import run_figure
from meshsim.plot.marks import describe, mark_events, mark_pushes
from meshsim.plot.run import _alone
from meshsim.plot.style import LINES, SIZE, _apart
from meshsim.scenario.model import Event


def drawn(scenario, record):
    """What a run of one replication is drawn from."""
    columns = series([record], scenario, requests=DRAWN_REQUESTS)
    return SimpleNamespace(scenario=scenario, numbers=summarise([record], scenario), drawn_columns=columns)


def figure_of(run):
    return run_figure(run.scenario, run.numbers, run.drawn_columns)


@pytest.fixture
def storm(make_scenario, make_records):
    """A run with a trigger of 10 s, after which every request fails after 4 tries."""
    scenario = make_scenario(
        events=[
            {"at": "30s", "for": "10s", "service": "api", "slow": 5.0},
            {"at": "80s", "set": {"policies.api.timeout": "1s"}},
        ]
    )
    start = np.arange(0.0, 100.0, 0.01)
    dead = start > 31.0
    record = make_records(
        scenario,
        start,
        np.where(dead, 4.0, 0.1),
        status=np.where(dead, 504, 200),
        tries=np.where(dead, 4, 1),
        busy=3.0,
    )
    return drawn(scenario, record)


def texts(figure) -> list[str]:
    panels = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, axes._left_title)]
    return [*(text.get_text() for text in figure.texts), *panels]


def test_four_panels_share_time(storm) -> None:
    figure = figure_of(storm)
    assert len(figure.axes) == 4
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert figure.axes[1].get_yscale() == "log"


def test_lines_are_named_and_told_apart_without_colour(storm) -> None:
    figure = figure_of(storm)
    found = texts(figure)
    for name in ("offered", "goodput", "p50", "p90", "p99", "attempts", "api", "warm-up", "api 5x slower"):
        assert name in found, name
    assert (
        len({str(look["linestyle"]) for look in LINES})
        == len({look["color"] for look in LINES})
        == len(LINES)
    )
    assert len({line.get_color() for line in figure.axes[1].lines if len(line.get_xdata()) > 2}) == 3


def test_text_is_large_enough(storm) -> None:
    figure = figure_of(storm)
    sizes = [
        text.get_fontsize()
        for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
        if text.get_text()
    ]
    assert min(sizes) >= SIZE == 9.0


def test_the_heading_and_the_caption_say_what_it_is(storm) -> None:
    title, description, caption = (text.get_text() for text in figure_of(storm).texts)
    assert title == "by-hand"
    assert description == "Records made by hand."
    assert "engine by-hand" in caption
    assert "seed 1" in caption
    assert storm.numbers.version in caption


def test_a_sentence_for_those_who_do_not_see_it(storm) -> None:
    sentence = figure_of(storm).alt
    assert sentence.startswith("by-hand: the client sends 100 requests/s")
    assert "attempts per request peak at" in sentence
    assert "api 5x slower from 30 s" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_notebooks_and_files_get_a_png_with_its_sentence(storm) -> None:
    figure = figure_of(storm)
    image = Image.open(io.BytesIO(figure._repr_png_()))
    assert image.format == "PNG"
    assert image.text["Description"] == figure.alt
    assert min(image.size) >= 900


@pytest.mark.parametrize("changes", [{}, {"api": {"workers": "unlimited"}}, {"name": "", "description": ""}])
def test_a_run_without_requests_has_a_picture_too(make_scenario, make_records, changes) -> None:
    scenario = make_scenario(**changes)
    record = make_records(scenario, [], busy=0.0)
    run = drawn(scenario, record)
    assert figure_of(run).png()


def test_instant_answers_are_drawn(make_scenario, make_records) -> None:
    scenario = make_scenario()
    record = make_records(scenario, np.arange(0.0, 100.0), 0.0)
    run = drawn(scenario, record)
    assert figure_of(run).png()


def test_a_lonely_bin_is_a_dot() -> None:
    nothing = np.nan
    assert _alone(np.array([1.0, nothing, 2.0, 3.0, nothing, 4.0])) == [0, 5]
    assert _alone(np.array([1.0, 2.0])) == []


def test_names_move_apart_and_stay_inside() -> None:
    places = _apart(np.array([0.5, 0.5, 0.52, 0.99, 1.0]), 0.1)
    assert np.all(np.diff(np.sort(places)) > 0.099)
    assert places.min() >= 0.0
    assert places.max() <= 1.0
    assert _apart(np.array([0.2, 0.8]), 0.1) == pytest.approx([0.2, 0.8])


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"at": "1s", "service": "cart", "slow": 5.0}, "cart 5x slower"),
        ({"at": "1s", "service": "cart", "slow": 0.5}, "cart 2x faster"),
        ({"at": "1s", "replica": "cart/v1/0", "down": True}, "cart/v1/0 down"),
        (
            {"at": "1s", "link": "a -> b", "latency_factor": 10.0, "loss": "1%"},
            "a -> b 10x latency, 1 % loss",
        ),
        ({"at": "1s", "service": "cart", "errors": "50%"}, "cart 50 % errors"),
        ({"at": "1s", "set": {"policies.cart.split": {"v1": 1}}}, "set cart.split"),
        ({"at": "1s", "service": "cart", "restart": {}}, "cart restart"),
        ({"at": "1s", "service": "cart", "version": "v2", "replicas": 1}, "cart v2 to 1 replica"),
        ({"at": "1s", "component": "ca", "rotate_root": True}, "ca new root"),
        ({"at": "1s", "component": "control_plane", "down": True}, "control plane down"),
    ],
)
def test_events_in_words(event, words) -> None:
    assert describe(Event.model_validate(event)) == words


@pytest.mark.parametrize(
    ("event", "shaded"),
    [
        ({"service": "cart", "down": True}, True),
        ({"component": "control_plane", "down": True}, True),
        ({"service": "cart", "restart": {}}, False),
        ({"service": "cart", "replicas": 3}, False),
        ({"component": "ca", "rotate_root": True}, False),
        ({"set": {"policies.cart.split": {"v1": 1}}}, False),
    ],
)
def test_what_lasts_is_shaded_and_what_stays_has_a_line(event, shaded) -> None:
    axes = Figure().subplots()
    mark_events([axes], [Event.model_validate({"at": "1s", **event})], 9.0)
    assert (len(axes.patches), len(axes.lines)) == ((1, 0) if shaded else (0, 1))


def test_pushes_have_lines_where_they_are_few() -> None:
    axes = Figure().subplots()
    assert mark_pushes([axes], [2.0, 3.0]) == [("pushes", 2.0)]
    assert mark_pushes([axes], [2.0]) == [("push", 2.0)]
    assert mark_pushes([axes], []) == mark_pushes([axes], [1.0] * 100) == []
    assert len(axes.lines) == 3


def test_a_piece_of_a_bin_is_not_drawn(make_scenario, make_records) -> None:
    """Six answers in the last 50 ms would be a spike of 120/s."""
    scenario = make_scenario()
    start = np.append(np.arange(0.0, 100.0, 0.1), np.full(6, 99.9))
    record = make_records(scenario, start, np.append(np.full(1000, 0.05), np.full(6, 0.15)), busy=1.0)
    record.end = 100.05
    run = drawn(scenario, record)
    last = run.drawn_columns["time"] == 100.0
    assert run.drawn_columns["width"][last] == pytest.approx(0.05)
    assert run.drawn_columns["goodput"][last].max() == pytest.approx(120.0)
    load = figure_of(run).axes[0]
    assert max(np.nanmax(line.get_ydata()) for line in load.lines if len(line.get_xdata()) > 2) < 20.0
    assert load.get_ylim()[1] < 25.0


def test_a_percentile_takes_enough_requests(make_scenario, make_records) -> None:
    """Of fewer than 100 requests, p99 is about the longest: it is not drawn, and the caption says so."""
    few = drawn(scenario := make_scenario(), make_records(scenario, np.arange(0.0, 100.0, 0.1), 0.1))
    latency, caption = figure_of(few).axes[1], figure_of(few).texts[-1].get_text()
    assert [text.get_text() for text in latency.texts] == ["p50", "p90"]
    assert "fewer than 100 for p99" in caption
    assert "for p90" not in caption
    many = drawn(scenario, make_records(scenario, np.arange(0.0, 100.0, 0.01), 0.1))
    assert [text.get_text() for text in figure_of(many).axes[1].texts] == ["p50", "p90", "p99"]
    sparse = drawn(scenario, make_records(scenario, np.arange(0.0, 100.0, 10.0), 0.1))
    assert [text.get_text() for text in figure_of(sparse).axes[1].texts] == [
        "too few requests for percentiles over time"
    ]


def overlaps(texts) -> list[tuple[str, str]]:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [(a, b) for n, (a, one) in enumerate(boxes) for b, other in boxes[:n] if one.overlaps(other)]


def test_labels_cover_neither_lines_nor_each_other(make_scenario, make_records) -> None:
    """Also those of many events at once, with long names, and at the end."""
    change = {"policies.api.timeout": "1s", "policies.api.retries.per_try_timeout": "100ms"}
    events = [{"at": f"{at}s", "set": change} for at in (*range(10, 16), 99, 99, 99)]
    scenario = make_scenario(events=events)
    figure = figure_of(drawn(scenario, make_records(scenario, np.arange(0.0, 100.0, 0.1), 0.1, busy=1.0)))
    top = figure.axes[0]
    labels = [text for text in top.texts if "set api" in text.get_text() or "more events" in text.get_text()]
    assert len(labels) == 9
    assert not overlaps([*top.texts, top._left_title, *figure.texts])
    for text in labels:
        box = text.get_window_extent()
        assert box.y0 >= top.get_window_extent().y1
        assert box.x1 <= figure.bbox.width
    names = [text for axes in figure.axes for text in axes.texts]
    assert all(text.get_window_extent().x1 <= figure.bbox.width for text in names)


def test_live_runs_and_notes_are_told_in_the_picture(storm) -> None:
    live = LiveConditions(None, None, {}, None, {})
    notes = ["The machine had short delays."]
    storm.numbers = replace(storm.numbers, live=live, engine="envoy", notes=notes)
    found = texts(figure_of(storm))
    assert any(text.endswith("live behind Envoys") for text in found)
    assert any("The machine had short delays." in text for text in found)


def test_a_run_that_ended_in_its_warm_up_says_so(storm) -> None:
    storm.numbers = replace(storm.numbers, measured=0.0, partial=True)
    assert "ended within its warm-up: nothing measured" in texts(figure_of(storm))


def test_amplification_ends_with_the_arrivals(storm) -> None:
    """What still comes in the drain are nearly all retries: their quotient would leave the panel."""
    client = {name: column.copy() for name, column in storm.drawn_columns.items()}
    drain = (client["kind"] == "client") & (client["time"] >= storm.scenario.duration)
    assert drain.sum() >= 1
    client["offered"][drain], client["amplification"][drain] = 0, 500.0
    storm.drawn_columns = client
    (line,) = (line for line in figure_of(storm).axes[2].lines if len(line.get_ydata()) > 2)
    assert np.isnan(line.get_ydata()).sum() == drain.sum()
    assert np.nanmax(line.get_ydata()) < 5.0
    assert "peak at 4.00" in figure_of(storm).alt
