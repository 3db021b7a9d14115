"""Replicas that come and go: what a deployment decides, and what callers see, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meshsim import engine, reference
from meshsim.measure.records import Records
from meshsim.measure.summary import summarise
from meshsim.mesh.rollout import READY, STARTING, Deployment, Pod
from meshsim.random import PROXIES, PUSH, PUSH_ROUTES, PUSHES, derive
from meshsim.scenario.model import Scenario

Simulate = Callable[..., Records]
Part = dict[str, Any]


class Noted(Pod):
    """A replica of which `did` takes note when it leaves."""

    did: list[str]

    def leave(self, was_ready: bool, now: float) -> None:
        self.did.append(f"{'drain' if was_ready else 'drop'} {self.number}")


class Stage:
    """A deployment with some ready replicas, numbered from 0; more are ready when a test says so."""

    def __init__(self, ready: int) -> None:
        self.did: list[str] = []
        self.at_once = False
        self.next = 0
        self.deployment = Deployment(self.start, [self.pod(0, READY) for _ in range(ready)])

    def pod(self, generation: int, state: int) -> Pod:
        pod = Noted(self.next, generation, state)
        pod.did = self.did
        self.next += 1
        return pod

    def start(self, generation: int, now: float) -> Pod:
        pod = self.pod(generation, STARTING)
        self.did.append(f"start {pod.number}")
        if self.at_once:
            self.deployment.ready(pod, now)
        return pod

    def news(self) -> list[str]:
        """What was done since the last time."""
        did = list(self.did)
        self.did.clear()
        return did

    def scale(self, wanted: int) -> list[str]:
        self.deployment.scale(wanted, 0.0)
        return self.news()

    def restart(self, surge: int, unavailable: int) -> list[str]:
        self.deployment.restart(surge, unavailable, 0.0)
        return self.news()

    def ready(self, number: int) -> list[str]:
        """The replica is ready, if it is still wanted."""
        for pod in self.deployment.pods:
            if pod.number == number:
                self.deployment.ready(pod, 0.0)
        return self.news()


def test_scaling_starts_the_next_and_ends_the_youngest() -> None:
    stage = Stage(2)
    assert stage.scale(4) == ["start 2", "start 3"]
    assert stage.ready(2) == []
    assert stage.scale(1) == ["drop 3", "drain 2", "drain 1"]
    assert stage.scale(0) == ["drain 0"]
    assert stage.scale(1) == ["start 4"]


def test_a_restart_with_surge_replaces_one_after_the_other() -> None:
    stage = Stage(3)
    assert stage.restart(1, 0) == ["start 3"]
    assert stage.ready(3) == ["drain 0", "start 4"]
    assert stage.ready(4) == ["drain 1", "start 5"]
    assert stage.ready(5) == ["drain 2"]
    assert [pod.number for pod in stage.deployment.pods] == [3, 4, 5]


def test_a_restart_without_surge_ends_first() -> None:
    stage = Stage(3)
    assert stage.restart(0, 1) == ["drain 0", "start 3"]
    assert stage.ready(3) == ["drain 1", "start 4"]
    assert stage.ready(4) == ["drain 2", "start 5"]
    assert stage.ready(5) == []


def test_surge_and_unavailable_go_together() -> None:
    """Wanted are 4: up to 6 may be there, and 3 must be ready."""
    stage = Stage(4)
    assert stage.restart(2, 1) == ["start 4", "start 5", "drain 0", "start 6"]
    assert stage.ready(4) == ["drain 1", "start 7"]
    assert stage.ready(5) == ["drain 2"]
    assert stage.ready(6) == ["drain 3"]
    assert stage.ready(7) == []


def test_all_may_be_unavailable() -> None:
    stage = Stage(2)
    assert stage.restart(0, 2) == ["drain 0", "start 2", "drain 1", "start 3"]


def test_a_restart_in_a_restart_first_drops_those_that_were_not_ready_yet() -> None:
    stage = Stage(2)
    assert stage.restart(1, 0) == ["start 2"]
    assert stage.restart(1, 0) == ["drop 2", "start 3"]
    assert stage.ready(2) == []
    assert stage.ready(3) == ["drain 0", "start 4"]
    assert stage.ready(4) == ["drain 1"]


def test_scaling_in_a_restart() -> None:
    """From 2 to 4 while one of the new starts; then down to 1, which the new are alone."""
    stage = Stage(2)
    assert stage.restart(1, 0) == ["start 2"]
    assert stage.scale(4) == ["start 3", "start 4"]
    assert stage.ready(2) == []
    assert stage.ready(3) == []
    assert stage.ready(4) == ["drain 0", "start 5"]
    assert stage.scale(1) == ["drop 5", "drain 4", "drain 3", "drain 1"]


def test_those_that_start_may_be_needed_though_a_restart_replaces_them() -> None:
    """Wanted are 4, of which 2 start: as in Kubernetes, these 4 stay, as no more than 4 may be ready soon."""
    stage = Stage(2)
    assert stage.scale(4) == ["start 2", "start 3"]
    assert stage.restart(1, 0) == ["start 4"]
    assert stage.ready(3) == []
    assert stage.ready(4) == ["drop 2", "start 5"]
    assert stage.ready(5) == ["drain 0", "start 6"]


def test_those_that_start_go_as_far_as_fewer_may_be_ready() -> None:
    stage = Stage(2)
    assert stage.scale(4) == ["start 2", "start 3"]
    assert stage.restart(0, 1) == ["drop 2", "start 4"]
    assert stage.ready(4) == ["drop 3", "start 5"]


def test_who_is_not_ready_leaves_before_who_is() -> None:
    stage = Stage(1)
    assert stage.scale(3) == ["start 1", "start 2"]
    assert stage.ready(2) == []
    assert stage.scale(2) == ["drop 1"]
    assert stage.scale(1) == ["drain 2"]


def test_a_replica_that_is_ready_at_once_does_not_stop_the_work() -> None:
    stage = Stage(2)
    stage.at_once = True
    deployment = stage.deployment
    assert [pod.state for pod in deployment.pods] == [READY, READY]
    assert stage.restart(1, 0) == ["start 2", "drain 0", "start 3", "drain 1"]
    assert [pod.number for pod in deployment.pods] == [2, 3]
    assert STARTING not in [pod.state for pod in deployment.pods]


# ---- what callers see -------------------------------------------------------------------------------


@pytest.fixture(params=[reference.simulate, engine.simulate], ids=["reference", "engine"])
def simulate(request: pytest.FixtureRequest) -> Simulate:
    """What is under test: both tellings of the mesh."""
    simulate: Simulate = request.param
    return simulate


def scene(*milliseconds: float, a: Part, events: list[Part], **parts: Any) -> Scenario:
    """The client calls `a` at the given times, over a link of 1 ms each way; `a` works 10 ms."""
    document = {
        "duration": "2s",
        "services": {"a": {"time": "10ms", **a}},
        "links": {"default": {"latency": "1ms"}},
        "load": [{"to": "a", "arrivals": {"trace": {"times": [at / 1000 for at in milliseconds]}}}],
        "policies": {"a": {"balance": "round_robin"}},
        "events": events,
        **parts,
    }
    return Scenario.model_validate(document)


def outcomes(records: Records) -> list[tuple[float, int, str]]:
    """(latency in ms, status, flag) of each request."""
    requests = records.requests
    latency = np.round((requests.end - requests.start) * 1000, 6).tolist()
    return list(zip(latency, requests.status.tolist(), requests.flag.tolist(), strict=True))


def lives(records: Records) -> list[tuple[str, float, float]]:
    """(name, from, to) of each replica that was there, ms."""
    names = [label[2] for label in records.replicas]
    return [
        (names[number], round(since * 1000, 6), round(to * 1000, 6)) for number, since, to in records.lives
    ]


INF = float("inf")
SERVED = (12.0, 200, "")


def test_a_scaled_service_starts_leaves_and_drains(simulate: Simulate) -> None:
    """a/1 starts at 100, has its configuration at 120, is ready at 150, and is known at 170. It
    leaves at 500, which is known at 520; what came to it at 511 it has done at 521."""
    scenario = scene(
        10, 160, 165, 200, 215, 510, 600,
        a={"startup": "50ms", "drain": "30ms"},
        mesh={"push_delay": "20ms"},
        events=[
            {"at": "100ms", "service": "a", "replicas": 2},
            {"at": "500ms", "service": "a", "replicas": 1},
        ],
    )  # fmt: skip
    records = simulate(scenario)
    assert outcomes(records) == [SERVED] * 7
    assert lives(records) == [("a/0", 0, INF), ("a/1", 150, 530)]
    assert [push.version for push in records.pushes] == [1, 2]
    assert [round(push.begun * 1000, 6) for push in records.pushes] == [150, 500]
    assert records.attempts.replica.tolist() == [0, 0, 0, 1, 0, 1, 0]


def test_who_does_not_know_yet_sends_to_one_that_has_gone(simulate: Simulate) -> None:
    """At 100 a/0 goes at once; the client learns of it at 140, and the request of 120 fails."""
    scenario = scene(
        50, 120, 200,
        a={"replicas": 1},
        mesh={"push_delay": "40ms"},
        events=[{"at": "100ms", "service": "a", "replicas": 0}],
    )  # fmt: skip
    assert outcomes(simulate(scenario)) == [SERVED, (2.0, 503, "UF"), (0.0, 503, "UH")]


def test_a_drain_that_is_longer_than_the_push_loses_nothing(simulate: Simulate) -> None:
    scenario = scene(
        50, 120, 135, 200,
        a={"replicas": 1, "drain": "60ms", "startup": "5ms"},
        mesh={"push_delay": "10ms"},
        events=[{"at": "100ms", "service": "a", "restart": {"surge": 1}}],
    )  # fmt: skip
    records = simulate(scenario)
    assert outcomes(records) == [SERVED] * 4
    assert lives(records) == [("a/0", 0, 170), ("a/1", 110, INF)]


def test_a_replica_is_never_ready_while_the_control_plane_is_down(simulate: Simulate) -> None:
    """It starts at 100, and the control plane is down until 400: that is when it is ready."""
    scenario = scene(
        10, 700,
        a={},
        events=[
            {"at": "50ms", "for": "350ms", "component": "control_plane", "down": True},
            {"at": "100ms", "service": "a", "replicas": 2},
        ],
    )  # fmt: skip
    assert lives(simulate(scenario)) == [("a/0", 0, INF), ("a/1", 400, INF)]


def test_its_certificate_makes_a_replica_wait(simulate: Simulate) -> None:
    """The control plane takes the CA with it: a/1 is asked for before, and signed for after the outage."""
    ca = {"time": "30ms", "retry": {"base": "1ms", "max": "1ms"}}
    scenario = scene(
        10, 1900,
        a={"startup": "20ms"},
        mesh={"dataplane": "sidecar", "mtls": {"ca": ca}},
        events=[
            {"at": "100ms", "service": "a", "replicas": 2},
            {"at": "140ms", "for": "200ms", "component": "control_plane", "down": True},
        ],
    )  # fmt: skip
    records = simulate(scenario)
    (name, ready, _) = lives(records)[1]
    assert name == "a/1"
    assert 370 <= ready < 371
    refused = [what for _, proxy, what in records.certificates or () if proxy == 2 and what == "refused"]
    assert len(refused) > 100


def test_scaling_and_restarting_at_once_is_one_decision(simulate: Simulate) -> None:
    """Wanted are 2 new ones from 1 old: both start (one may be more), and the old leaves with the first."""
    scenario = scene(
        10, 300,
        a={"startup": "10ms"},
        events=[{"at": "100ms", "service": "a", "replicas": 2, "restart": {"surge": 1, "unavailable": 1}}],
    )  # fmt: skip
    assert lives(simulate(scenario)) == [("a/0", 0, 110), ("a/1", 110, INF), ("a/2", 110, INF)]


def test_who_refuses_a_change_refuses_all_until_its_keys_are_set_anew(simulate: Simulate) -> None:
    """The client keeps 12 ms until 300: a later change of something else does not get through."""
    scenario = scene(
        50, 150, 250, 350, 450,
        a={"replicas": 1},
        events=[
            {"at": "100ms", "set": {"policies.a.timeout": "5ms"}, "nack": ["client"]},
            {"at": "200ms", "set": {"policies.a.fault.abort": {"percent": 1.0, "status": 418}}},
            {"at": "210ms", "service": "a", "replicas": 2},
            {"at": "300ms", "set": {"policies.a.timeout": "6ms"}},
            {"at": "400ms", "set": {"policies.a.fault": {}}},
        ],
    )  # fmt: skip
    records = simulate(scenario)
    assert outcomes(records) == [SERVED, SERVED, SERVED, (0.0, 418, "FI"), (6.0, 504, "UT")]
    assert records.attempts.replica.tolist() == [0, 0, 0, 1]  # endpoints are not refused
    assert [push.nacked for push in records.pushes] == [1, 1, 1, 0, 0]


def test_a_refusal_ends_when_what_it_is_a_part_of_is_set_anew(simulate: Simulate) -> None:
    scenario = scene(
        150, 250,
        a={},
        events=[
            {"at": "100ms", "set": {"policies.a.timeout": "5ms"}, "nack": ["client"]},
            {"at": "200ms", "set": {"policies.a": {"timeout": "6ms"}}},
        ],
    )  # fmt: skip
    assert outcomes(simulate(scenario)) == [SERVED, (6.0, 504, "UT")]


def test_a_fault_of_a_replica_that_an_event_adds(simulate: Simulate) -> None:
    """a/1 is ready at 100; from 300 to 400 it is down, which holds it up no longer."""
    scenario = scene(
        150, 160, 350, 351, 450, 460,
        a={},
        events=[
            {"at": "100ms", "service": "a", "replicas": 2},
            {"at": "300ms", "for": "100ms", "replica": "a/1", "down": True},
        ],
    )  # fmt: skip
    records = simulate(scenario)
    assert sorted(outcomes(records)[2:4]) == [(2.0, 503, "UF"), SERVED]
    assert outcomes(records)[:2] + outcomes(records)[4:] == [SERVED] * 4
    assert lives(records) == [("a/0", 0, INF), ("a/1", 100, INF)]


def test_a_changed_mode_closes_what_is_open_to_one_that_has_left(simulate: Simulate) -> None:
    """The request of 102 waits for a connection to a/0, which leaves at 105, and gets it at 124.

    It is idle from 148 on, until the mode changes: so at 300 both connections may be to a/1.
    """
    scenario = scene(
        100, 101, 102, 300, 301,
        a={"time": "20ms", "drain": "1s", "workers": 4},
        policies={"a": {"circuit_breaker": {"max_connections": 2}}},
        mesh={"dataplane": "sidecar", "mtls": {}},
        events=[
            {"at": "105ms", "service": "a", "restart": {}},
            {"at": "200ms", "set": {"mesh.mtls.mode": "disable"}},
        ],
    )  # fmt: skip
    records = simulate(scenario)
    assert records.attempts.replica.tolist() == [0, 0, 0, 1, 1]
    assert outcomes(records) == [(24, 200, ""), (24, 200, ""), (46, 200, ""), (22, 200, ""), (22, 200, "")]


SPLIT = {"versions": {"v1": {}, "v2": {}}}
MIXED = {"mixture": [{"weight": 1, "constant": "5ms"}, {"weight": 1, "constant": "95ms"}]}


@pytest.mark.parametrize(("clusters_late", "expected"), [(True, "NC"), (False, "")])
def test_a_route_to_a_version_that_nobody_was_told_of(
    simulate: Simulate, clusters_late: bool, expected: str
) -> None:
    """The parts of a configuration take 5 or 95 ms; in some seeds the clusters are the later part."""
    mesh = {"control_plane": {"ordered": False, "debounce": "0s"}, "push_delay": MIXED}
    document = {
        "a": SPLIT,
        "mesh": mesh,
        "policies": {"a": {"split": {"v1": 1}, "retries": {"attempts": 3}}},
        "events": [{"at": "100ms", "set": {"policies.a.split": {"v2": 1}}}],
    }
    for seed in range(20):
        records = simulate(scene(50, 150, 250, **document), seed=seed)
        clusters, routes = _parts(seed)
        if (clusters, routes) == ((95, 5) if clusters_late else (5, 95)):
            status = 503 if expected else 200
            assert [row[1:] for row in outcomes(records)] == [(200, ""), (status, expected), (200, "")]
            assert records.requests.version.tolist() == ["v1", "" if expected else "v1", "v2"]
            return
    raise AssertionError("no such seed")


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        ((5, 95), [SERVED, (0.0, 503, "UO")]),
        ((95, 5), [(5.0, 504, "UT"), (5.0, 504, "UT")]),
    ],
)
def test_limits_come_with_the_clusters_and_time_outs_with_the_routes(
    simulate: Simulate, apart: tuple[float, float], expected: list[Any]
) -> None:
    """As in Envoy, whose breaker is the cluster's. At 250 there are both."""
    document = {
        "a": {"workers": 2},
        "mesh": {"control_plane": {"ordered": False, "debounce": "0s"}, "push_delay": MIXED},
        "events": [
            {
                "at": "100ms",
                "set": {"policies.a.circuit_breaker.max_requests": 1, "policies.a.timeout": "5ms"},
            }
        ],
    }
    seed = next(seed for seed in range(20) if _parts(seed) == apart)
    found = outcomes(simulate(scene(150, 151, 250, 251, **document), seed=seed))
    assert found == [*expected, (5.0, 504, "UT"), (0.0, 503, "UO")]


def _parts(seed: int) -> tuple[float, float]:
    """How long the two parts of the client's first configuration take, ms: by the rule of keys."""
    delay = scene(10, a={}, events=[], mesh={"push_delay": MIXED}).mesh.push_delay.build()
    key = derive(derive(derive(derive(seed, PROXIES), 0), PUSHES), 0)
    return round(delay.draw(key, PUSH) * 1000, 6), round(delay.draw(key, PUSH_ROUTES) * 1000, 6)


@pytest.mark.parametrize(
    ("startup", "event", "said"),
    [
        ("50ms", {"restart": {}}, []),
        ("5s", {"restart": {}}, ["services.a: the restart at 0.1 s was not over when the run ended: 2 of"]),
        ("50ms", {"replicas": 3}, []),
        ("5s", {"replicas": 3}, ["services.a: of the 3 replicas that it was scaled to, 2 were ready"]),
        ("5s", {"replicas": 1}, []),
    ],
)
def test_a_run_that_ends_before_a_rollout_does_says_so(
    simulate: Simulate, startup: str, event: Part, said: list[str]
) -> None:
    a = {"startup": startup, "drain": "50ms", "replicas": 2}
    scenario = scene(
        10, 1900, a=a, mesh={"push_delay": "20ms"}, events=[{"at": "100ms", "service": "a", **event}]
    )
    notes = [
        note for note in summarise([simulate(scenario)], scenario).notes if note.startswith("services.a")
    ]
    assert len(notes) == len(said)
    assert all(note.startswith(words) for note, words in zip(notes, said, strict=True))


@pytest.mark.parametrize(
    ("drain", "noted", "said"),
    [("50ms", [], True), ("1500ms", [], False), ("50ms", ["services.a.drain, 50ms, is too short"], False)],
)
def test_a_run_says_where_callers_learned_later_than_a_replica_had_gone(
    simulate: Simulate, drain: str, noted: list[str], said: bool
) -> None:
    """The control plane is down for a second in which the only old replica goes; the client calls on."""
    restart: Part = {"at": "100ms", "service": "a", "restart": {"surge": 0, "unavailable": 1}}
    down: Part = {"at": "50ms", "for": "1s", "component": "control_plane", "down": True}
    mesh = {"push_delay": "20ms", "control_plane": {"debounce": "0s"}}
    scenario = scene(10, 500, 1900, a={"drain": drain}, mesh=mesh, events=[restart, down])
    notes = summarise([simulate(scenario)], scenario, notes=noted).notes
    found = [note for note in notes if "may be too short" in note]
    assert len(found) == said
    for note in found:
        assert note.startswith("services.a.drain, 50ms, may be too short: changes took up to 970ms to reach")
        assert "of the calls to it 1 ended in UF or UC" in note
