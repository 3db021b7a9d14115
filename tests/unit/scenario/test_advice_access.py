"""What is said of access rules that do nothing, or more than was meant."""

from __future__ import annotations

import pytest

from meshsim.scenario import loads
from meshsim.scenario.advice import advise

BASE = """
duration: 9s
services: {a: {script: [{call: b}]}, b: {}, c: {}}
load: [{to: a, rate: 1/s}, {to: c, rate: 1/s}]
"""
STRICT = "mesh: {dataplane: sidecar, mtls: {mode: strict}}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "mesh: {dataplane: sidecar}\naccess: [{deny: {to: b, from: c}}]",
            "access[0].deny.from matches nobody",
        ),
        (
            STRICT + "access: [{deny: {to: b, paths: /x}}]",
            "access[0] has no effect: no request to an endpoint",
        ),
        (
            STRICT + "access: [{allow: {to: b}}, {allow: {to: b, from: a}}]",
            "access[1] has no effect: without it",
        ),
        (
            STRICT + "access: [{allow: {to: '*', from: client}}]",
            "access[0] closes b to all that no rule allows: a -> b (meshsim access proposes",
        ),
        (
            STRICT + "events: [{at: 1s, set: {access: [{allow: {to: b, from: c}}]}}]",
            "events[0].set.access[0] closes b to all that no rule allows: a -> b",
        ),
        (
            "mesh: {dataplane: sidecar, mtls: {}}\naccess: [{deny: {to: b, from: [c]}}]",
            "access[0].deny.from can be got round: b may be called in plaintext",
        ),
    ],
)
def test_access_rules(text: str, words: str) -> None:
    assert any(words in each for each in advise(loads(BASE + text))), advise(loads(BASE + text))


def test_callers_without_identity() -> None:
    text = BASE.replace("a: {", "a: {sidecar: false, ") + STRICT + "access: [{allow: {to: b, from: [a]}}]"
    assert "access[0].allow.from does not match a: it comes to b without mTLS (it has no sidecar)." in advise(
        loads(text)
    )


def test_nothing_is_said_of_rules_that_fit() -> None:
    rules = "access: [{allow: {to: b, from: [a]}}, {deny: {to: c, not_from: [client]}}]"
    assert advise(loads(BASE + STRICT + rules)) == []
