"""The points of a sweep: all checked, all problems told, each at the line that brings it in."""

import numpy as np
import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import config, loads
from meshsim.scenario.load import load_grid

BASE = """\
name: base
duration: 10s
warmup: 2s
services: {a: {workers: 2, time: 5ms}, b: {}}
load: [{to: a, rate: 10/s}]
policies: {a: {timeout: 1s}}
"""


def told(text, **options):
    with pytest.raises(ScenarioError) as caught:
        loads(text, "s.yaml", **options)
    return [str(problem) for problem in caught.value.problems]


def grid(tmp_path, text, **options):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    return load_grid(file, **options)


def refused(tmp_path, text, **options):
    with pytest.raises(ScenarioError) as caught:
        grid(tmp_path, text, **options)
    return [str(problem).removeprefix(str(tmp_path)).lstrip("/") for problem in caught.value.problems]


def test_the_grid_is_every_combination_the_last_key_fastest(tmp_path) -> None:
    found = grid(tmp_path, BASE + 'sweep: {"load[0].rate": [10/s, 20/s], services.a.workers: "1:3:3"}\n')
    assert [point.values for point in found.points] == [
        ("10/s", 1), ("10/s", 2), ("10/s", 3), ("20/s", 1), ("20/s", 2), ("20/s", 3)
    ]  # fmt: skip
    assert found.points[4].label == "load[0].rate=20/s, services.a.workers=2"
    assert found.points[4].scenario.load[0].rate == 20.0
    assert found.points[4].scenario.services["a"].workers == 2
    assert found.points[4].scenario == loads(
        BASE, overrides=["load[0].rate=20/s", "services.a.workers=2"], folder=tmp_path
    )
    assert found.keys == {"load[0].rate": ("10/s", "20/s"), "services.a.workers": (1, 2, 3)}
    assert found.scenario.load[0].rate == 10.0


def test_options_replace_what_the_file_sweeps(tmp_path) -> None:
    text = BASE + "sweep: {duration: [5s, 6s]}\n"
    assert list(grid(tmp_path, text).keys) == ["duration"]
    assert list(grid(tmp_path, text, vary={"warmup": ["1s", "0s"]}).keys) == ["warmup"]


def test_values_may_come_from_numpy_and_ranges(tmp_path) -> None:
    found = grid(
        tmp_path, BASE, vary={"services.a.workers": np.arange(1, 4), "services.b.errors": (0.1, 0.2)}
    )
    assert found.keys == {"services.a.workers": (1, 2, 3), "services.b.errors": (0.1, 0.2)}


def test_a_sweep_survives_being_written() -> None:
    keys = '"load[0].rate": 10/s:30/s:3, policies.a.balance: [random, {least_request: {choices: 3}}]'
    scenario = loads(BASE + f"sweep: {{{keys}}}")
    assert scenario.sweep["load[0].rate"] == ("10/s", "20/s", "30/s")
    assert loads(config.text(scenario)) == scenario
    assert load_grid(scenario).points[5].scenario.policies["a"].balance.least_request.choices == 3


def test_every_problem_of_a_sweep_is_told_at_its_line() -> None:
    text = (
        BASE
        + """\
sweep:
  "load[0].rate": [10/s, 20, quick]
  services.a.wrokers: [1, 2]
  load[3].rate: [1/s, 2/s]
  services.a.replicas: 3
  policies.c.timeout: [1s]
"""
    )
    remedy = "(write [100/s, 200/s] or a range such as 100/s:900/s:17)"
    assert told(text) == [
        "s.yaml:8: load[0].rate: 20 has no unit (write a rate such as 20/s)",
        "s.yaml:8: load[0].rate: 'quick' is not a valid rate (write one such as 200/s or 12/m)",
        "s.yaml:9: services.a.wrokers: unknown key (did you mean workers?)",
        "s.yaml:10: sweep.load[3].rate: load has only 1 entries (positions count from 0)",
        f"s.yaml:11: sweep.services.a.replicas: 3 is not a list {remedy}",
        "s.yaml:12: policies.c: no service 'c' (write a or b)",
    ]  # fmt: skip


def test_what_a_value_makes_wrong_elsewhere_is_told_by_the_value() -> None:
    assert told(BASE + "sweep: {duration: [1s, 20s]}\n") == [
        "s.yaml:7: duration=1s: then warmup '2s' leaves nothing to measure (make it less than duration)"
    ]


def test_a_combination_may_be_wrong_where_each_value_is_right(tmp_path) -> None:
    vary = {"warmup": ["1s", "7s"], "services.a.workers": [1, 2, 3], "duration": ["5s", "9s"]}
    assert refused(tmp_path, BASE, vary=vary) == [
        "--vary: warmup: warmup '7s' leaves nothing to measure (make it less than duration)",
    ]


def test_a_combination_may_be_right_where_a_value_is_wrong(tmp_path) -> None:
    text = BASE + "sweep: {duration: [20s, 40s], warmup: [5s, 15s]}\n"
    assert len(grid(tmp_path, text).points) == 4
    assert loads(text).sweep["warmup"] == ("5s", "15s")


def test_what_many_combinations_share_is_told_once(tmp_path) -> None:
    rest = "leaves nothing to measure (make it less than duration)"
    text = BASE + "sweep:\n  services.a.workers: [1, 2, 3]\n  duration: [1s, 20s]\n"
    assert refused(tmp_path, text) == [
        f"s.yaml:8: services.a.workers=1, duration=1s: then warmup '2s' {rest}",
    ]


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ({"seed": [1, 2]}, "can't be varied: every point has the same seeds (ask for replications instead)"),
        ({"load[0]": [{"to": "a", "rate": "1/s"}], "load[0].rate": ["1/s"]}, "overlaps load[0]"),
        ({"services.a.workers": [object()]}, "a object can't stand in a scenario"),
        ({"services.a.workers": ["1:100000:2000"], "load[0].rate": ["1/s:9/s:100"]}, "has 200000 points"),
        ({"": [1]}, "the key is empty"),
        ({"services.aa.workers": [1]}, "no service 'aa' (did you mean a?)"),
        ({"services.c.versions.v2.replicas": [1]}, "no service 'c' (write a or b)"),
        ({"engine": ["simpy"]}, "choose one for all points with --engine"),
        ({"a..b": [1]}, "not a dotted key"),
        ({"services.a.workers": [1, 1]}, "--vary: services.a.workers: 1 is there twice (leave one out)"),
    ],
)
def test_what_can_not_be_varied(tmp_path, vary, words) -> None:
    (problem,) = refused(tmp_path, BASE, vary=vary)
    assert problem.startswith("--vary: ")
    assert "sweep." not in problem
    assert words in problem


def test_a_sweep_varies_something(tmp_path) -> None:
    (problem,) = refused(tmp_path, BASE)
    assert "sweep: nothing is varied" in problem


def test_problems_of_the_file_are_told_once_beside_those_of_the_sweep(tmp_path) -> None:
    text = BASE.replace("time: 5ms", "time: 5") + "sweep: {duration: [5s, 6s, 7]}\n"
    assert refused(tmp_path, text) == [
        "s.yaml:4: services.a.time: 5 has no unit (write a duration such as 5ms or 5s)",
        "s.yaml:7: duration: 7 has no unit (write a duration such as 7ms or 7s)",
    ]
