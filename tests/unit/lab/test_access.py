"""The verb `access`: its proposal lets every call through and nothing else; which rules could go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import meshsim
from meshsim.cli import app
from meshsim.errors import ScenarioError
from meshsim.scenario import loads
from meshsim.scenario.access import AccessRule
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.permissions import Permissions

SERVICES = ("a", "b", "c")


def scenario(rules: str = "[]", **changes: Any) -> Scenario:
    text = f"""
duration: 9s
name: three
services:
  a: {{script: [{{call: b/get}}, {{call: c}}]}}
  b: {{endpoints: {{get: {{}}, put: {{method: PUT}}}}}}
  c: {{}}
mesh: {{dataplane: sidecar, mtls: {{}}}}
access: {rules}
load: [{{to: a, rate: 1/s}}, {{to: b, rate: 1/s, endpoints: {{put: 1}}}}]
"""
    return loads(text, overrides=changes)


def test_the_least_rules_of_a_small_mesh() -> None:
    found = meshsim.access(scenario())
    assert found.proposal == [
        {"allow": {"to": "a", "from": ["client"]}},
        {"allow": {"to": "b", "from": ["client"], "endpoints": ["put"]}},
        {"allow": {"to": "b", "from": ["a"], "endpoints": ["get"]}},
        {"allow": {"to": "c", "from": ["a"]}},
    ]
    assert (found.calls, found.allowed, found.closed, found.pairs) == (4, 4, 8, 12)
    assert (found.denied, found.spare, found.notes) == ([], [], [])


def test_a_plain_call_beside_endpoints_is_named_by_its_address() -> None:
    found = meshsim.access(scenario(**{"load[1].endpoints": {}}))
    assert {"allow": {"to": "b", "from": ["client"], "methods": ["GET"], "paths": ["/"]}} in found.proposal


def test_whom_nobody_calls_is_closed_and_who_has_no_sidecar_is_left_out() -> None:
    found = meshsim.access(scenario(**{"services.d": {}, "services.c.sidecar": False}))
    assert {"allow": {"to": "d", "from": []}} in found.proposal
    assert not any(rule["allow"]["to"] == "c" for rule in found.proposal)
    assert any("c has no sidecar" in note for note in found.notes)


def test_who_comes_without_mtls_at_any_time_is_let_in_by_that() -> None:
    push = [{"at": "5s", "set": {"services.c.mtls": "disable"}}]
    found = meshsim.access(scenario(events=push))
    assert [rule["allow"] for rule in found.proposal if rule["allow"]["to"] == "c"] == [
        {"to": "c", "from": ["a"]}, {"to": "c", "not_from": ["*"]},
    ]  # fmt: skip
    assert found.allowed == found.calls


def test_a_mesh_without_mtls_is_told_that_rules_need_it() -> None:
    found = meshsim.access(scenario(mesh={}))
    assert found.proposal == meshsim.access(scenario()).proposal
    assert "mtls" in found.notes[0]


def test_denied_calls_say_since_when_by_which_line_and_why() -> None:
    push = [{"at": "5s", "set": {"access": [{"deny": {"to": "c", "from": "a"}}]}}]
    found = meshsim.access(scenario("[{allow: {to: b, from: [a]}}]", events=push))
    first, second = found.denied
    assert (first.caller, first.service, first.endpoint, first.since) == ("client", "b", "put", 0.0)
    assert (first.rule, first.why) == (None, "no rule allows it")
    assert (second.caller, second.service, second.since) == ("a", "c", 5.0)
    assert second.rule == "events[0].set.access[0]"


def test_who_is_not_known_is_told_so() -> None:
    changes = {"services.a.sidecar": False}
    (denied,) = meshsim.access(scenario("[{allow: {to: c, from: [a]}}]", **changes)).denied
    assert denied.why == "it comes without mTLS, so no rule knows a"


@pytest.mark.parametrize(
    ("rules", "kinds"),
    [
        ("[{allow: {to: b}}]", ["covered"]),  # all may without it, too
        ("[{allow: {to: b}}, {allow: {to: b, from: [a]}}]", ["covered"]),  # the narrower one could go
        ("[{allow: {to: b, from: [a, client]}}, {allow: {to: b, from: [c]}}]", ["unused"]),
        ("[{deny: {to: b, from: [c]}}]", ["unused"]),
        ("[{deny: {to: b, paths: [/other]}}]", ["unmatched"]),
        ("[{allow: {to: c, from: []}}]", []),  # it closes c
        ("[{deny: {to: c, from: []}}]", ["unmatched"]),
        ("[{deny: {to: c}}, {allow: {to: c, from: [a]}}]", ["covered"]),
    ],
)
def test_rules_that_no_call_needs(rules: str, kinds: list[str]) -> None:
    assert [each.kind for each in meshsim.access(scenario(rules)).spare] == kinds


NAMES = st.sampled_from([*SERVICES, "client", "*"])
LISTS = st.lists(NAMES, max_size=2)
MATCHES = st.fixed_dictionaries(
    {"to": st.sampled_from([*SERVICES, "*"])},
    optional={
        "from": LISTS,
        "not_from": LISTS,
        "endpoints": st.lists(st.sampled_from(["*", "g*"]), max_size=1),
        "methods": st.lists(st.sampled_from(["GET", "PUT"]), max_size=2),
    },
)
RULES = st.lists(
    st.builds(lambda kind, match: {kind: match}, st.sampled_from(["allow", "deny"]), MATCHES), max_size=4
)


def decisions(scenario: Scenario) -> list[bool]:
    """Of every request that can be made to an endpoint, by whom it may be."""
    found = Permissions(scenario)
    return [
        found.decide(principal, service, endpoint).allowed
        for service in SERVICES
        for endpoint in ("", *scenario.services[service].endpoints)
        for principal in ("", CLIENT, *SERVICES)
    ]


@settings(max_examples=150, deadline=None)
@given(RULES)
def test_what_is_covered_or_unmatched_can_go(rules: list[dict[str, Any]]) -> None:
    """Without it all is as before, and each of the others changes something."""
    base = scenario()

    def having(some: list[dict[str, Any]]) -> list[bool]:
        access = tuple(AccessRule.model_validate(rule) for rule in some)
        return decisions(base.model_copy(update={"access": access}))

    found = meshsim.access(base.model_copy(update={"access": tuple(map(AccessRule.model_validate, rules))}))
    idle = {each.rule for each in found.spare if each.kind != "unused"}
    for number in range(len(rules)):
        same = having(rules) == having(rules[:number] + rules[number + 1 :])
        assert (f"access[{number}]" in idle) == same


def test_the_verb_prints_writes_and_refuses(tmp_path: Path) -> None:
    file, out = tmp_path / "s.yaml", tmp_path / "rules.yaml"
    file.write_text(meshsim.dump(scenario("[{deny: {to: c, from: [a]}}]").as_config()))
    shown = CliRunner().invoke(app, ["access", str(file), "-o", str(out)])
    assert shown.exit_code == 0
    assert "a -> c: access[0] denies it (line" in shown.output
    assert "with them every call is allowed; 8 of 12 pairs" in shown.output
    report = json.loads(CliRunner().invoke(app, ["access", str(file), "--json"]).output)
    again = loads(
        file.read_text().split("\naccess:")[0] + "\n" + out.read_text() + "load: [{to: a, rate: 1/s}]\n"
    )
    assert again.access == tuple(AccessRule.model_validate(rule) for rule in report["proposal"])
    with pytest.raises(ScenarioError):
        meshsim.access(str(tmp_path / "none.yaml"))
