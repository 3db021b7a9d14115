"""What meshsim writes of a scenario loads to an equal one, which makes the same requests."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsim.errors import ScenarioError
from meshsim.lab.run import Run, run
from meshsim.scenario import Scenario, config, dump, files, load, loads, yaml_nodes

SHIPPED = sorted((Path(__file__).parents[3] / "scenarios").rglob("*.yaml"))
BASE = {"duration": "5s", "services": {"a": {"time": "2ms"}}, "load": [{"to": "a", "rate": "20/s"}]}
MANY = {"empirical": {"values": [f"{index + 1}us" for index in range(3_000)]}}


def again(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario as it is read back from a folder that holds its text and what that names."""
    text, named = config.text_and_files(scenario)
    for name, content in {"scenario.yaml": text, **named}.items():
        (folder / name).write_text(content, encoding="utf-8")
    return load(folder / "scenario.yaml")


def same_requests(first: Run, second: Run) -> bool:
    tables = first.request_columns, second.request_columns
    return all(np.array_equal(tables[0][name], tables[1][name]) for name in tables[0])


# ---- generated and shipped ones ---------------------------------------------------------------------

MILLISECONDS = st.integers(1, 50).map(lambda number: f"{number}ms")
SECONDS = st.floats(1e-6, 0.05).map(lambda seconds: f"{seconds!r}s")
DURATIONS = MILLISECONDS | SECONDS
PLAIN_TIMES = (
    DURATIONS
    | st.builds(lambda time: {"exponential": time}, DURATIONS)
    | st.builds(lambda mean, cv: {"lognormal": {"mean": mean, "cv": cv}}, DURATIONS, st.floats(0.1, 3.0))
    | st.builds(lambda values: {"empirical": {"values": values}}, st.lists(DURATIONS, min_size=1, max_size=9))
)
TIMES = PLAIN_TIMES | st.builds(
    lambda parts: {"mixture": [{"weight": 1 + n, "time": time} for n, time in enumerate(parts)]},
    st.lists(PLAIN_TIMES, min_size=1, max_size=3),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "timeout": DURATIONS,
        "retries": st.fixed_dictionaries(
            {"attempts": st.integers(0, 3)}, optional={"statuses": st.just([500]), "on": st.just(["reset"])}
        ),
        "balance": st.sampled_from(
            [
                "random",
                "least_request",
                {"least_request": {"choices": 3}},
                {"peak_ewma": {"decay": "1s", "rtt": "7ms"}},
            ]
        ),
        "fault": st.builds(lambda time: {"delay": {"percent": "10%", "time": time}}, TIMES),
        "rate_limit": st.just({"burst": 3, "rate": "90/s"}),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, object], list[float]]:
    """A scenario document, and the times of the trace that it may name."""
    services = {}
    count = draw(st.integers(1, 3))
    for number in range(count):
        script = [{"call": f"s{callee}"} for callee in range(number + 1, count)]
        services[f"s{number}"] = {"time": draw(TIMES), "script": script, "replicas": draw(st.integers(1, 3))}
    values = draw(st.lists(SECONDS, min_size=1, max_size=9))
    delay = {"percent": 0.5, "time": {"empirical": {"values": values}}}
    changed = {"at": "0.1s", "set": {"policies.s0.fault": {"delay": delay}}}
    document: dict[str, object] = {
        "name": draw(NAMES),
        "seed": draw(st.integers(0, 2**40)),
        "duration": "0.5s",
        "services": services,
        "policies": {"s0": draw(POLICIES)},
        "load": [
            {"to": "s0", "users": 2, "think": draw(TIMES)},
            {"to": "s0", "arrivals": {"trace": {"file": "arrivals.csv"}}},
        ],
        "events": draw(st.sampled_from([[], [changed]])),
    }
    return document, draw(st.lists(st.floats(0.0, 0.5, exclude_max=True), min_size=1, max_size=20))


@settings(max_examples=8, deadline=None)
@given(documents(), st.sampled_from([0, 4, 1000]))
def test_a_generated_scenario(made: tuple[dict[str, object], list[float]], inline: int) -> None:
    document, times = made
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "MOST_INLINE", inline)
        (Path(name) / "arrivals.csv").write_text("time\n" + "".join(f"{time!r}\n" for time in sorted(times)))
        scenario = loads(dump(document), folder=Path(name))
        (Path(name) / "arrivals.csv").write_text("time\n0.1\n")  # is nothing to what has been read
        assert again(scenario, Path(name)) == scenario
        assert load(scenario, {"seed": scenario.seed}) == scenario
        assert loads(json.dumps(document), folder=Path(name)).name == scenario.name
        assert same_requests(run(scenario), run(again(scenario, Path(name))))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_scenario(file: Path, tmp_path: Path) -> None:
    scenario = load(file)
    assert again(scenario, tmp_path) == scenario
    assert loads(json.dumps(scenario.as_config())) == scenario


# ---- long ones, and their files ---------------------------------------------------------------------


def test_results_bring_the_files_that_their_scenario_names(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "arrivals.csv").write_text("time\n0.5\n1.25\n2\n")
    arrivals = [{"to": "a", "arrivals": {"trace": {"file": "arrivals.csv"}}}]
    scenario = loads(dump({**BASE, "services": {"a": {"time": MANY}}, "load": arrivals}), folder=source)
    first = run(scenario, out=out)
    (out / "arrivals.csv").write_text("time\n1\n")  # another file of that name is not taken for it
    (source / "arrivals.csv").unlink()
    second = run(out / "scenario.yaml")
    assert second.scenario == first.scenario
    assert same_requests(first, second)
    assert len(list(out.glob("trace-*.csv"))) == len(list(out.glob("times-*.txt"))) == 1


def test_few_measured_times_stay_where_they_are() -> None:
    scenario = loads(dump({**BASE, "services": {"a": {"time": {"empirical": {"values": ["1ms", "2ms"]}}}}}))
    assert config.files(scenario) == {}


@pytest.mark.parametrize("overrides", [["load[0].rate=30/s"], {"services.a.workers": 2}])
def test_overrides_of_a_long_scenario(overrides: object) -> None:
    scenario = loads(json.dumps({**BASE, "services": {"a": {"time": MANY}}}))
    changed = load(scenario, overrides)  # type: ignore[arg-type]
    assert changed.services["a"].time == scenario.services["a"].time
    assert changed != scenario


def test_a_long_scenario_without_long_lists_of_times() -> None:
    calls = [{"call": "b", "probability": f"{1 + index % 99}%"} for index in range(11_000)]
    services = {"a": {"time": "1ms", "script": calls}, "b": {"time": "1ms"}}
    text = dump({**BASE, "services": services})
    assert yaml_nodes.excess(json.dumps(services), "")
    scenario = loads(text)
    assert loads(config.text(scenario)) == scenario


def test_long_json_is_checked_like_yaml() -> None:
    long = ["x" * 20_000]
    for document, words in (
        ('{"a": 1, "b": {"c": 1, "c": 2}, "l": %s}', "the key 'c' is there twice"),
        ('{"a": ' + "[" * 60 + "]" * 60 + ', "l": %s}', "is nested deeper than 50 levels"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + ', "l": %s}', "is nested deeper than 50 levels"),
        ('{"a": "\\ud83d", "l": %s}', "one half of a surrogate pair"),
        ('{"duration": 1e999, "l": %s}', "1e999' is not finite"),
        ('{"a": [' + "1," * 500_000 + '1], "l": %s}', "has more than 500,000 values"),
        ('{"a": %s', "the line is longer than 10,000 characters"),
    ):
        with pytest.raises(ScenarioError, match=words):
            loads(document % json.dumps(long), "s.json")


def test_a_file_of_long_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({**BASE, "description": "x" * 1_500_000}))
    assert len(load(path).description) == 1_500_000
