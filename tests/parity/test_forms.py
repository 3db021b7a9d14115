"""The compiled fast engine against the plain SimPy engine: the same bits, in every record, bin and span."""

from __future__ import annotations

import os
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

sys.path.insert(0, str(Path(__file__).parent))
import plain  # noqa: F401 - the plain form, under its own name
from plain.engine import simulate as plain_simpy
from plain.engine.fast import simulate as plain_fast
from plain.mesh.call import Call as PlainCall
from plain.scenario import load as plain_load
from plain.scenario.model import Scenario as PlainScenario

from meshsim import forms
from meshsim.engine import simulate as simpy
from meshsim.engine.fast import simulate as fast
from meshsim.mesh.call import Call
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from scenarios import Document, scenarios

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").rglob("*.yaml"))
NAMES_OF_THE_RUN = ("engine",)


def assert_same(mine: Any, theirs: Any, where: str = "run") -> None:
    """Asserts that two results are equal to the last bit, whatever they are made of."""
    if is_dataclass(mine):
        assert type(mine).__name__ == type(theirs).__name__
        for field in fields(mine):
            if field.name not in NAMES_OF_THE_RUN:
                name = f"{where}.{field.name}"
                assert_same(getattr(mine, field.name), getattr(theirs, field.name), name)
    elif isinstance(mine, np.ndarray):
        assert mine.dtype == theirs.dtype, where
        assert mine.shape == theirs.shape, where
        assert mine.tobytes() == theirs.tobytes(), where
    elif isinstance(mine, list | tuple):
        assert len(mine) == len(theirs), where
        for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            assert_same(one, other, f"{where}[{number}]")
    elif isinstance(mine, dict):
        assert list(mine) == list(theirs), where
        for key in mine:
            assert_same(mine[key], theirs[key], f"{where}[{key!r}]")
    else:
        assert mine == theirs, where


@pytest.mark.skipif(os.environ.get("MESHSIM_FORM") == "plain", reason="the plain form was asked for")
def test_what_is_tested_here_is_the_compiled_form() -> None:
    assert forms.FORM.compiled, forms.FORM.reason
    assert forms.FORM.checked
    assert Call.__init__.__class__.__name__ != "function"
    assert PlainCall.__init__.__class__.__name__ == "function"
    assert Call is not PlainCall


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_scenarios_give_the_same_bits(file: Path) -> None:
    assert_same(fast(load(file)), plain_simpy(plain_load(file)))


@pytest.mark.parametrize("file", SHIPPED[:4], ids=lambda file: file.stem)
def test_histograms_have_the_same_bits(file: Path) -> None:
    kept = {"keep": "histograms", "warmup": "1s"}
    assert_same(fast(load(file, kept)), plain_simpy(plain_load(file, kept)))


def same_everywhere(document: Document) -> None:
    """One scenario on both clocks, in both forms."""
    expected = plain_simpy(PlainScenario.model_validate(document))
    scenario = Scenario.model_validate(document)
    assert_same(fast(scenario), expected)
    assert_same(simpy(scenario), expected)
    assert_same(plain_fast(PlainScenario.model_validate(document)), expected)


def generated(examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def property_(document: Document) -> None:
        same_everywhere({**document, "tracing": {"sampling": 0.2}})

    property_()


def test_generated_scenarios_give_the_same_bits() -> None:
    generated(40)


@pytest.mark.long
def test_hundreds_of_generated_scenarios_give_the_same_bits() -> None:
    generated(600)
