"""Checks of identity and access rules: bad input ends in a message with a line and a remedy."""

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads

BASE = """\
duration: 10s
services: {a: {script: [{call: b}]}, b: {}}
load: [{to: a, rate: 1/s}]
"""
DOWN = "events: [{at: 1s, component: ca, down: true}]"


def mesh(mtls: str, more: str = "") -> str:
    return f"{BASE}mesh: {{dataplane: sidecar, mtls: {{{mtls}}}}}\n{more}"


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        (
            mesh("", "access: [{allow: {to: b, from: }}]"),
            5,
            "access[0].allow.from",
            "is empty (write [] for nothing, or leave the key out for everything)",
        ),
        (mesh("", 'access: [{allow: {to: b, from: ""}}]'), 5, "access[0].allow.from", "'' is no pattern"),
        (mesh("", "access: [{deny: {to: a*b}}]"), 5, "access[0].deny.to", "'a*b' is no pattern"),
        (
            mesh("certificate_ttl: 1ns"),
            4,
            "mesh.mtls.certificate_ttl",
            "'1ns' is renewed 2e+10 times until the end (make it longer)",
        ),
        (
            mesh("certificate_ttl: 1s, rotate_at: 0.00001%, jitter: 0"),
            4,
            "mesh.mtls.certificate_ttl",
            "'1s' is renewed 1e+08 times",
        ),
        (
            mesh("ca: {retry: {max: 1ns}}", DOWN),
            4,
            "mesh.mtls.ca.retry.max",
            "a refused proxy may ask 1e+10 times until the end (make it longer)",
        ),
        (
            mesh("", "events: [{at: 1s, set: {mesh.mtls.mode: strict}, overlap: 1s}]"),
            5,
            "events[0].overlap",
            "doesn't go with set (make it an event of its own)",
        ),
        (
            mesh("", "events: [{at: 9s, component: ca, rotate_root: true, overlap: 1e-30s}]"),
            5,
            "events[0].overlap",
            "'1e-30s' is too short for a clock at 9s (make it longer)",
        ),
    ],
)
def test_what_is_wrong_is_told_once(text: str, line: int, key: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (line, key)
    assert words in str(problem)


def test_short_lives_that_can_be_run_are_not_refused() -> None:
    text = mesh("certificate_ttl: 1ms, ca: {retry: {max: 1ns}}")
    assert loads(text).mesh.mtls is not None
