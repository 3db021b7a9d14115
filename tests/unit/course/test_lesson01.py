"""The checks of lesson 01: right, wrong and absurd answers. `tests/notebooks` runs them in the notebook."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest

from meshsim.course import lesson01

SOURCE = Path(__file__).parents[3] / "notebooks" / "01-smart-socket.py"
CELLS = [cell.source for cell in jupytext.read(SOURCE).cells]
APP = next(source for source in CELLS if 'APP = """' in source).split('"""')[1]


def right(n: int, p: float, r: int) -> float:
    return float((1 - p ** (r + 1)) ** n)


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, lambda value: Decimal(str(value))])
def test_a_right_function_may_return_any_number(kind) -> None:
    assert lesson01.check_whole(lambda n, p, r: kind(right(n, p, r))) == "01a: right, 4 of 4 cases"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n, p, r: (1 - p**r) ** n, "4 of 4 cases are off"),
        (lambda n, p, r: 1 - n * p ** (r + 1), "1 of 4 cases"),
        (lambda n, p, r: None, "returns nothing"),
        (lambda n, p, r: "0.95", "returns '0.95', which is not a number"),
        (lambda n, p, r: [right(n, p, r)] * 1000, "which is not a number"),
        (lambda n, p, r: True, "returns True"),
        (lambda n, p, r: float("nan"), "4 of 4 cases"),
        (lambda n, p, r: 10**400, "4 of 4 cases"),
        (lambda n, p, r: Decimal("sNaN"), "4 of 4 cases"),
        (lambda n, p, r: sys.exit("done"), "ends in SystemExit: done"),
        (lambda n, p, r: int("9" * 1000 + "x"), "ends in ValueError"),
        (lambda n, p, r: 1 / 0, "ends in ZeroDivisionError"),
        (lambda n: n, "ends in TypeError"),
        (0.95, "not a function any longer"),
        (None, "not a function any longer"),
    ],
)
def test_a_wrong_function_is_told_what_is_wrong(answer: Any, words: str) -> None:
    said = lesson01.check_whole(answer)
    assert said.startswith("01a: not yet: ")
    assert words in said
    assert len(said) < 400


def lines(policy: str) -> str:
    return f"policies:\n  parts: {policy}\n"


def test_the_fewest_retries_that_do_in_time_are_right() -> None:
    said = lesson01.check_lines(APP, lines("{retries: {attempts: 2, backoff: {base: 2ms}}}"))
    assert said.endswith("01b: right")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lines("{retries: {attempts: 1, backoff: {base: 1ms}}}"), "what does the formula say"),
        (lines("{retries: {attempts: 2}}"), "What do they wait for"),
        (lines("{retries: {attempts: 9, backoff: {base: 2ms}}}"), "so it does with one retry less"),
        (lines("{retries: {attempts: 3, backoff: {base: 1ms}}}"), "so it does with one retry less"),
        (
            lines("{retries: {attempts: 2, backoff: {base: 1ms}}, hedge: {after: 1ms}}"),
            "only calls that fail",
        ),
        (
            lines("{retries: {attempts: 2, backoff: {base: 1ms}}, hedge: {after: 200ms}}"),
            "so it does with one retry less",
        ),
        (lines("{fault: {abort: {status: 200}}}"), "`fault`"),
        (lines("{retry: {attempts: 2}}"), "write retries"),
        ("events:\n  - {at: 0s, service: parts, errors: 0%}\n", "only `policies` may be added"),
        ("policies: [", "can't be run"),
        ("", "what does the formula say"),
        (None, "MINE has to be text"),
        (9, "MINE has to be text"),
        ({"policies": {}}, "MINE has to be text"),
    ],
)
def test_other_lines_are_told_why_not(answer: Any, words: str) -> None:
    said = lesson01.check_lines(APP, answer)
    assert "01b: not yet" in said
    assert ": right" not in said
    assert words in said


def test_planes_may_be_written_as_one_likes() -> None:
    answer = {"first": "App", "second": " control  plane", "third": "DATA PLANE"}
    assert lesson01.check_planes(answer).count(": right. ") == 3


@pytest.mark.parametrize(
    "answer", [None, 5, "app", ["app"], {}, {"first": 1, "second": None, "third": ["x"]}, {1: "app"}]
)
def test_absurd_planes_are_not_yet(answer: Any) -> None:
    said = lesson01.check_planes(answer)
    assert "not yet" in said
    assert ": right" not in said
