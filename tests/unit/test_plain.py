"""Whatever numbers, texts and paths callers have, a public function takes what fits and refuses the rest."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meshsim as ms
from meshsim.errors import MeshsimError
from meshsim.plain import ARGUMENTS, joined, native

SCENARIO = ms.loads("duration: 1s\nservices: {a: {workers: 1, time: 2ms}}\nload: [{to: a, rate: 20/s}]")
THREES = [
    np.int64(3),
    np.uint8(3),
    np.float64(3),
    np.float32(3),
    np.array(3),
    3.0,
    Decimal(3),
    Fraction(6, 2),
]
NONE_WHOLE = [
    *(3.5, np.float64(3.5), Decimal("3.5"), Fraction(7, 2), float("nan"), np.float64("inf"), Decimal("sNaN")),
    *(
        Decimal("1e400"),
        Fraction(10**400),
        True,
        np.bool_(True),
        "3",
        np.str_("3"),
        Path("3"),
        b"3",
        [3],
        10**30,
    ),
    *(np.array([3]), 3j, object()),
]
VERBS = [ms.run, ms.run_live, ms.sweep, ms.compare, ms.capacity, ms.validate, ms.Simulation, ms.linspace]


@pytest.mark.parametrize("three", THREES, ids=repr)
def test_what_is_integral_is_a_whole_number(three: Any) -> None:
    assert type(native(three)) is int
    run = ms.run(SCENARIO, seed=three, replications=three, overrides={"services.a.workers": three})
    assert run.summary["seed"] == run.summary["replications"] == run.scenario.services["a"].workers == 3
    assert ms.linspace(three, 9, three) == [3, 6, 9]
    assert ms.Simulation(SCENARIO, three).seed == 3
    assert len(ms.sweep(SCENARIO, {"services.a.workers": [three]}, jobs=1).grid.points) == 1
    if not isinstance(three, float) or isinstance(
        three, np.generic
    ):  # a bare 3.0 is a slip, as it is in YAML
        assert (
            ms.Scenario.model_validate(
                {**SCENARIO.model_dump(by_alias=True, include={"name"}), **BY_HAND, "seed": three}
            ).seed
            == 3
        )


BY_HAND: dict[str, Any] = {"duration": "1s", "services": {"a": {}}, "load": [{"to": "a", "rate": "1/s"}]}


@pytest.mark.parametrize("value", NONE_WHOLE, ids=lambda value: repr(value)[:20])
def test_what_is_not_is_refused_in_one_sentence(value: Any) -> None:
    for verb in VERBS:
        needed = {"vary": {"services.a.workers": [1]}} if verb is ms.sweep else {}
        for name in inspect.signature(verb).parameters:
            if name in ("seed", "replications", "jobs", "at_most", "count"):
                given = {"start": 1, "stop": 2} if verb is ms.linspace else {first(verb): SCENARIO, **needed}
                with pytest.raises(MeshsimError, match=f"^{name}: ") as caught:
                    verb(**{**given, name: value})  # type: ignore[arg-type]
                assert "\n" not in str(caught.value)
                assert len(str(caught.value)) < 200


ODD = [np.array(2), np.array(2.0), np.ma.masked, 10**400, b"2", iter([1]), 2, "\ud800", Path("x"), {"a": 2}]
UNUSED = ("scenario", "a", "b", "live", "beside", "access_log", "out", "changes", "find", "objectives")


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:20])
def test_no_argument_of_whatever_type_ends_in_an_error_from_within(value: Any) -> None:
    for verb in (ms.run, ms.sweep, ms.batch, ms.Simulation):
        for name in set(inspect.signature(verb).parameters) - {first(verb), "options"}:
            given = {"vary": {"services.a.workers": [1]}} if verb is ms.sweep else {}
            given |= {name: value} if name not in UNUSED else {}
            with suppress(MeshsimError):
                verb([] if verb is ms.batch else SCENARIO, **given)  # type: ignore[operator]
    for text in ({"text": value}, {"text": "", "name": value}, {"text": "", "folder": value}):
        with pytest.raises(ms.ScenarioError):
            ms.loads(**text)
    with suppress(MeshsimError, ValueError):
        ms.linspace(value, value, 2)


def test_what_is_no_truth_decides_nothing() -> None:
    """`fresh="no"` would forget a sweep."""
    for wrong in ("no", 1, 0, Decimal(2), np.array([True])):
        with pytest.raises(MeshsimError, match=r"^fresh: "):
            ms.sweep(SCENARIO, {"services.a.workers": [1]}, fresh=wrong)  # type: ignore[arg-type]
    with pytest.raises(MeshsimError, match=r"^seed: nan is not a whole number"):
        ms.run(SCENARIO, seed=np.ma.masked)


@pytest.mark.parametrize("paths", [5, None, b"x", [b"x"], object()])
def test_a_batch_of_what_are_no_paths_is_refused(paths: Any) -> None:
    with pytest.raises(MeshsimError, match=r"^paths: .* is not a path"):
        ms.batch(paths)
    (entry,) = ms.batch("\ud800", jobs=1).entries  # a path by its type, but no file can be called that
    assert entry.status == "refused"


def first(verb: Callable[..., Any]) -> str:
    return next(iter(inspect.signature(verb).parameters))


def test_arguments_of_another_type_are_refused_before_anything_runs() -> None:
    for verb in VERBS:
        for name in set(inspect.signature(verb).parameters) & set(ARGUMENTS):
            if name not in ("until", "start", "stop"):  # which may have units: their readers refuse
                given = (
                    {"start": 1, "stop": 2, "count": 3} if verb is ms.linspace else {first(verb): SCENARIO}
                )
                with pytest.raises(MeshsimError, match=f"^{name}: "):
                    verb(**{**given, name: object()})  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [5, np.int64(5), b"x", None, [1], Decimal(2)])
def test_what_is_neither_path_nor_scenario_is_refused(source: Any) -> None:
    for verb in (ms.load, ms.run, ms.solve, ms.Simulation, ms.sweep, ms.compare, ms.capacity, ms.validate):
        given = {"changes": ["seed=2"]} if verb is ms.compare else {}
        with pytest.raises(ms.ScenarioError, match="is not a file name"):
            verb(source, **given)


def test_paths_are_taken_wherever_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text("0.001\n")
    (tmp_path / "s.yaml").write_text(ms.dump(BY_HAND))
    overrides = {"services.a.time": {"empirical": {"file": Path("times.txt")}}}
    scenario = ms.load(tmp_path / "s.yaml", overrides)
    assert scenario.services["a"].time.model_dump()["empirical"]["values"] == (0.001,)
    assert ms.solve(tmp_path / "s.yaml").scenario == ms.Simulation(tmp_path / "s.yaml").scenario.name
    assert ms.run(tmp_path / "s.yaml", out=np.str_(tmp_path / "out")).scenario.folder == tmp_path


def test_values_of_a_sweep_and_of_a_dump_may_be_numpys() -> None:
    swept = ms.sweep(SCENARIO, {"services.a.workers": np.linspace(1, 3, 3)}, jobs=1)
    assert [point.values for point in swept.grid.points] == [(1,), (2,), (3,)]
    document = {**BY_HAND, "seed": np.int64(4), "services": {"a": {"holds_worker": np.bool_(False)}}}
    assert ms.loads(ms.dump(document)).seed == 4


def test_a_single_text_is_not_taken_apart() -> None:
    run = ms.run(SCENARIO, overrides="seed=5", keep="histograms")
    assert run.scenario.seed == 5


def test_surrogates_are_joined_or_no_text() -> None:
    assert joined("\ud83d\ude80") == joined("\U0001f680") == "\U0001f680"
    assert joined("plain é") == "plain é"
    for lone in ("\ud83d", "\ude80\ud83d", "a\udcff"):
        assert joined(lone) is None
        with pytest.raises(ms.ScenarioError, match="one half of a surrogate pair"):
            ms.load(SCENARIO, {"name": lone, "description": 1})
