"""Isotope graphs: every form of a command, every choice told, every mistake placed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsim.engine import simulate
from meshsim.errors import MeshsimError, ScenarioError
from meshsim.interop.isotope import convert
from meshsim.scenario import Scenario, dump, loads
from meshsim.scenario.references import is_name

REPOSITORY = Path(__file__).parents[3]
INPUTS = REPOSITORY.parent / "shared" / "inputs" / "istio-tools" / "isotope"
GRAPHS = ("canonical", "canonical-2-replicas", "chain-3-services", "tree-13-services")

README = """
apiVersion: v1alpha1
kind: MockServiceGraph
defaults:
  type: grpc
  requestSize: 1 KB
  responseSize: 16 KB
services:
- name: a
  errorRate: 0.01%
  script:
  - sleep: 100ms
- name: b
  type: grpc
- name: c
  script:
  - call:
      service: a
      size: 10K
  - call: b
- name: d
  script:
  - - call: a
    - call: c
  - sleep: 10ms
  - call: b
"""


def scenario_of(text: str, **options: str) -> Scenario:
    """The scenario that a graph becomes, by the way that users go: through YAML."""
    document, _ = convert(text, name="graph", **options)
    return loads(dump(document))


def script_of(commands: str) -> object:
    """What the script of an entry point that can call `b` becomes."""
    text = f"services: [{{name: a, isEntrypoint: true, script: {commands}}}, {{name: b}}]"
    services = convert(text, name="graph")[0]["services"]
    assert isinstance(services, dict)
    return services["a"].get("script")


def problems_of(text: str) -> list[str]:
    """What is wrong with a graph, as its user reads it."""
    with pytest.raises(ScenarioError) as error:
        convert(text, name="graph", file="graph.yaml")
    return str(error.value).splitlines()


# ---- the examples of isotope ------------------------------------------------------------------------


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_example_topologies_load_and_run(graph: str) -> None:
    path = INPUTS / f"{graph}.yaml"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine; isotope's files are read in place, never copied")
    scenario = scenario_of(path.read_text(encoding="utf-8"), rate="50/s", duration="1s")
    records = simulate(scenario, 1)
    assert len(records.requests.start) > 20
    assert (records.requests.status == 200).all()
    assert {records.edges[i] for i in records.attempts.edge} == set(scenario.edges())


def test_the_readmes_example() -> None:
    document, notes = convert(README, name="readme")
    assert document == {
        "name": "readme",
        "description": "The isotope service graph readme.",
        "duration": "60s",
        "services": {
            "a": {"time": "0s", "errors": "0.01%", "script": [{"sleep": "100ms"}]},
            "b": {"time": "0s"},
            "c": {"time": "0s", "script": [{"call": "a"}, {"call": "b"}]},
            "d": {"time": "0s", "script": [[{"call": "a"}, {"call": "c"}], {"sleep": "10ms"}, {"call": "b"}]},
        },
        "load": [{"to": "d", "rate": "100/s"}],
    }
    assert notes == [
        "load: 100/s, Poisson, to d; a graph has no load, so this rate is a default",
        "duration: 60s; a graph has none, so this is a default",
        "time: 0s in every service: in isotope only sleep takes time; set services.X.time, links, mesh.proxy",
        "errorRate: drawn for each request; isotope fails every n-th exactly",
        "entry point: no service is marked isEntrypoint, so load goes to what nobody calls",
        "left out: type (lines 5, 14): meshsim makes no difference between http and grpc",
        "left out: requestSize, responseSize, size (lines 6, 7, 19): messages have no size in meshsim",
    ]


def test_sleeps_and_calls_take_the_time_they_say() -> None:
    """d waits for the slower of a (100 ms) and c (100 ms), then 10 ms, then b (nothing)."""
    requests = simulate(scenario_of(README.replace("0.01%", "0%"), rate="20/s", duration="2s"), 1).requests
    assert requests.end - requests.start == pytest.approx(0.11)


# ---- single keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ("[call: b]", [{"call": "b"}]),
        ("[call: {service: b}]", [{"call": "b"}]),
        ("[call: {service: b, probability: 30}]", [{"call": "b", "probability": "30%"}]),
        ("[call: {service: b, probability: 0}]", [{"call": "b"}]),
        ("[call: {service: b, probability: 100, payloadSize: 1 KB}]", [{"call": "b"}]),
        ("[sleep: 100ms]", [{"sleep": "100ms"}]),
        ("[sleep: 1.5h]", [{"sleep": "1.5h"}]),
        ("[sleep: 1m30.5s]", [{"sleep": "90.5s"}]),
        ("[sleep: '0']", None),
        ("[[{call: b}, {sleep: 5ms}], {sleep: 1s}]", [[{"call": "b"}, {"sleep": "5ms"}], {"sleep": "1s"}]),
        ("[[], call: b]", [{"call": "b"}]),
        ("[]", None),
        ("null", None),
    ],
)
def test_every_form_of_a_command(commands: str, expected: object) -> None:
    assert script_of(commands) == expected


def test_defaults_fill_in_where_a_service_is_silent() -> None:
    text = """
defaults: {numReplicas: 3, errorRate: 0.5, script: [sleep: 1ms]}
services:
- {name: a, isEntrypoint: true, numReplicas: 1, errorRate: 0, script: [call: b]}
- {name: b, script: null}
"""
    services = convert(text, name="graph")[0]["services"]
    assert services == {
        "a": {"time": "0s", "script": [{"call": "b"}]},
        "b": {"replicas": 3, "time": "0s", "errors": 0.5, "script": [{"sleep": "1ms"}]},
    }


def test_every_entry_point_gets_the_load() -> None:
    text = "services: [{name: a, isEntrypoint: true}, {name: b, isEntrypoint: true}, {name: c}]"
    document, notes = convert(text, name="graph", rate="5/s", duration="9s")
    assert document["load"] == [{"to": "a", "rate": "5/s"}, {"to": "b", "rate": "5/s"}]
    assert document["duration"] == "9s"
    assert notes[0] == "load: 5/s each, Poisson, to a and b"
    assert not any(note.startswith("duration") for note in notes)


def test_nothing_is_left_out_in_silence() -> None:
    text = """
defaults: {requestSize: 1 KB, responseSize: 1 KB, numRbacPolicies: 3}
services:
- name: a
  isEntrypoint: true
  namespace: demo1
  cluster: one
  labels: {x: y}
  type: http
  script:
  - call: {service: b, hostname: "b.demo2:8080", extra-header: {x: y}}
- name: b
"""
    left_out = " ".join(note for note in convert(text, name="graph")[1] if note.startswith("left out"))
    for key in ("requestSize", "responseSize", "numRbacPolicies", "namespace", "cluster", "labels", "type"):
        assert key in left_out
    assert "hostname, extra-header (lines 6, 7, 8, 11)" in left_out


# ---- mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("replicas: 2", "unknown key (did you mean numReplicas?)"),
        ("numReplicas: 0", "0 is not a number of replicas (write a whole number from 1 on)"),
        ("numReplicas: true", "true is not a number of replicas (write a whole number from 1 on)"),
        ("errorRate: 101%", "'101%' is outside 0-100% (write a ratio such as 5% or 0.05)"),
        ("type: tcp", "no type 'tcp' (write http or grpc)"),
        ("isEntrypoint: maybe", "'maybe' is neither true nor false (write true or false)"),
        ("script: call", "'call' is not a script (write - call: a and - sleep: 10ms)"),
        ("script: [call]", "'call' is not a command (write - call: a or - sleep: 10ms)"),
        ("script: [{call: b, sleep: 1s}]", "is not a command (write - call: a or - sleep: 10ms)"),
        ("script: [wait: 1s]", "no command 'wait' (write call or sleep)"),
        ("script: [sleep: 100]", "100 is not a valid duration (write one such as 100ms, 1.5s or 1m30s)"),
        ("script: [sleep: -1s]", "'-1s' is not a valid duration (write one such as 100ms, 1.5s or 1m30s)"),
        ("script: [call: bb]", "no service 'bb' (did you mean b?)"),
        ("script: [call: 7]", "7 is not a mapping (write keys such as service, probability or size)"),
        ("script: [call: {size: 1}]", "names no service (write call: a or call: {service: a})"),
        ("script: [call: {service: b, odds: 1}]", "unknown key (write"),
        (
            "script: [call: {service: b, probability: 101}]",
            "101 is not a valid probability (write a whole number",
        ),
        ("script: [[[call: b]]]", "a list in a list in a script (isotope nests them once)"),
    ],
)
def test_a_mistake_is_told_with_its_line(line: str, problem: str) -> None:
    told = problems_of(f"services:\n- name: b\n- name: a\n  {line}\n")
    assert len(told) == 1
    assert told[0].startswith("graph.yaml:4: services[1].")
    assert problem in told[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "graph.yaml: is empty"),
        ("services: [", "not YAML"),
        ("- a", "is not a mapping of keys"),
        ("duration: 5s", "is not an isotope graph: it has no services"),
        ("apiVersion: v1\nkind: Service", "graph.yaml:2: kind: 'Service' is not an isotope graph"),
        ("services: {a: {}}", "services is a mapping (isotope lists them: - name: a)"),
        ("services: []", "services is []"),
        ("services: [a]", "'a' is not a mapping"),
        ("services: [{isEntrypoint: true}]", "services[0].name: is missing"),
        ("services: [{name: 7}]", "7 is not text"),
        ("services: [{name: a}, {name: a}]", "services[1].name: there is already a service 'a'"),
        ("default: {}\nservices: [{name: a}]", "graph.yaml:1: default: unknown key (did you mean defaults?)"),
        ("defaults: 1\nservices: [{name: a}]", "defaults: 1 is not a mapping"),
        ("services: [{name: a, script: [call: a]}]", "no service is an entry point"),
    ],
)
def test_what_is_no_graph_is_refused(text: str, problem: str) -> None:
    assert problem in "\n".join(problems_of(text))


def test_all_mistakes_are_told_at_once() -> None:
    text = "services:\n- name: a\n  memory: 1\n  script:\n  - call: x\n  - sleep: soon\n"
    assert [line.partition(": ")[0] for line in problems_of(text)] == [
        "graph.yaml:3", "graph.yaml:5", "graph.yaml:6",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": "100"}, "rate: '100' is not a valid rate (write one such as 200/s or 12/m)"),
        ({"rate": "0/s"}, "rate: '0/s' is not more than 0 (write a larger one)"),
        ({"duration": "1 minute"}, "duration: '1 minute' is not a valid duration"),
    ],
)
def test_a_bad_rate_or_duration_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(MeshsimError) as error:
        convert("services: [{name: a}]", name="graph", **options)
    assert message in str(error.value)


def test_what_no_scenario_can_be_is_refused_at_once() -> None:
    for graph, problem in (
        (
            "[{name: a, isEntrypoint: true, script: [call: a]}]",
            "graph.yaml: services.a.script[0].call: the calls go in a circle",
        ),
        ("[{name: a, numReplicas: 100001}]", "graph.yaml: services: there are 100,001 replicas"),
        (f"[{{name: a, script: [sleep: {'9' * 400}h]}}]", "graph.yaml: services.a.script[0].sleep: "),
    ):
        assert problem in "\n".join(problems_of(f"services: {graph}"))


# ---- names and keys ---------------------------------------------------------------------------------


def test_names_that_meshsim_does_not_take_are_changed_and_told() -> None:
    names = ("client", "a.b.svc", "a b", "a-b-svc", "default", "../..", "\u5e97", "client-service", "x" * 200)
    services = [
        {"name": name, "script": [{"call": other} for other in names[:at]]} for at, name in enumerate(names)
    ]
    document, notes = convert(dump({"services": services}), name="graph")
    assert list(document["services"]) == [  # type: ignore[call-overload]
        *("client-service-2", "a-b-svc-2", "a-b", "a-b-svc", "default-service", "service", "service-2"),
        *("client-service", "x" * 90),
    ]
    assert loads(dump(document)).edges()
    told = [note for note in notes if note.startswith("renamed: ")]
    assert len(told) == len(names) - 2
    assert "renamed: 'a.b.svc' to a-b-svc-2, since meshsim does not take the name" in told


def test_keys_that_isotope_ignores_are_told() -> None:
    text = "defaults: {isEntrypoint: true, name: x}\nservices: [{name: a, requestSize: 1 KB}, {name: b}]"
    document, notes = convert(text, name="graph")
    assert [load["to"] for load in document["load"]] == ["a", "b"]  # type: ignore[attr-defined]
    assert notes[-1] == "left out: isEntrypoint, name, requestSize (lines 1, 2): isotope ignores it there"


HOSTILE = (
    "client",
    "default",
    "a.b.svc",
    "a b",
    "a-b",
    "a -> b",
    "-",
    "on",
    "1",
    "null",
    "x" * 150,
    "client-service",
)
ANY_NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    HOSTILE
)
ANY_NAMES = st.lists(ANY_NAME, min_size=1, max_size=8, unique=True)


@settings(max_examples=25, deadline=None)
@given(ANY_NAMES, st.lists(st.integers(1, 9), max_size=8), ANY_NAME)
def test_whatever_is_imported_passes_the_check(names: list[str], steps: list[int], title: str) -> None:
    services: list[dict[str, object]] = [{"name": name} for name in names]
    for at, service in enumerate(services[:-1]):
        calls = [{"call": {"service": names[min(at + step, len(names) - 1)]}} for step in steps]
        service["script"] = [*calls, [{"call": names[-1]}, {"sleep": "10ms"}]]
    text = json.dumps({"defaults": {"isEntrypoint": False}, "services": services})
    document, notes = convert(text, name=title)
    scenario = loads(dump(document))
    assert len(scenario.services) == len(names)
    assert {name for name in names if is_name(name)} <= set(scenario.services)
    assert sum(note.startswith("renamed: ") for note in notes) == sum(not is_name(name) for name in names)
    assert convert(text, name=title) == (document, notes)


@pytest.mark.long
def test_a_large_graph_is_still_a_scenario() -> None:
    text = json.dumps({"services": [{"name": f"s{number}"} for number in range(21_000)]})
    document, _ = convert(text, name="graph")
    assert len(loads(dump(document)).services) == 21_000


def test_a_files_name_may_be_no_text() -> None:
    assert convert("services: [{name: a}]", name="caf\udce9")[0]["name"] == "caf?"
