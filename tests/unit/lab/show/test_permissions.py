"""`check --explain`: the mTLS mode of each edge, and who may call whom by which line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshsim.lab.show.policies import facts, lines
from meshsim.scenario.load import load_placed

TEXT = """\
duration: 9s
services:
  a: {script: [{call: b/x}]}
  b: {mtls: strict, endpoints: {x: {}, y: {}}}
  c: {sidecar: false, script: [{call: b/x}]}
mesh: {dataplane: sidecar, mtls: {}}
load: [{to: a, rate: 1/s}, {to: c, rate: 1/s}]
access:
  - allow: {to: b, from: [a, c], endpoints: [x]}
events:
  - {at: 4s, set: {services.b.mtls: permissive}}
  - at: 6s
    set:
      access:
        - deny: {to: b, from: [c]}
        - allow: {to: b}
"""


def explained(tmp_path: Path, text: str = TEXT) -> dict[str, Any]:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    return facts(*load_placed(file))


def test_modes_are_those_that_a_caller_meets(tmp_path: Path) -> None:
    found = explained(tmp_path)
    modes = {
        route: (values["mtls"]["value"], values["mtls"]["from"])
        for route, values in found["policies"].items()
        if "mtls" in values
    }
    assert modes["client -> a"] == ("permissive", "silence")
    assert modes["a -> b"][0] == "strict"
    assert (modes["a -> b"][1]["line"], modes["a -> b"][1]["key"]) == (4, "services.b.mtls")
    assert modes["c -> b"][0] == "plaintext, refused"
    assert modes["client -> c"][0] == "plaintext"
    pushed = [each for each in found["policies_pushed"] if each["route"] == "a -> b"]
    assert pushed[0]["policies"]["mtls"]["value"] == "permissive"
    assert pushed[0]["policies"]["mtls"]["from"]["line"] == 11


def test_every_pair_is_decided_and_a_push_shows_what_it_changes(tmp_path: Path) -> None:
    found = explained(tmp_path)
    start = {(each["caller"], each["endpoint"]): each for each in found["access"]["decisions"]}
    assert found["access"]["open"] == ["a", "c"]
    assert set(start) == {("client", ""), ("a", ""), ("a", "x"), ("b", ""), ("c", "")}
    assert start["a", "x"]["allowed"]
    assert (start["a", "x"]["from"]["line"], start["a", "x"]["rule"]) == (9, 0)
    assert start["client", ""]["why"] == "no rule allows it"
    (pushed,) = found["access_pushed"]  # a mode alone changes no decision here: c has no sidecar
    assert pushed["since"] == 6.0
    assert {each["caller"]: each["allowed"] for each in pushed["decisions"]} == dict.fromkeys(
        ("client", "a", "b", "c"),
        True,  # c is unknown, so the denial does not match it
    )
    assert pushed["decisions"][0]["from"]["line"] == 16


def test_people_see_callers_of_one_fate_together(tmp_path: Path) -> None:
    shown = [" ".join(line.split()) for line in lines(explained(tmp_path))]
    at = shown.index("who may call b")
    assert shown[at + 1 :][:3] == [
        "client, a, b, c denied no rule allows it", "a /x allowed line 9: access[0]", "",
    ]  # fmt: skip
    assert "client, a, b, c allowed line 16: events[1].set.access[1]" in shown


def test_without_rules_nothing_is_said_of_them(tmp_path: Path) -> None:
    found = explained(tmp_path, TEXT.partition("access:")[0])
    assert "access" not in found
    assert not any("who may call" in line for line in lines(found))
