"""A control plane that is killed, or stopped: the mesh goes on, and the next one does what was to be done."""

import asyncio
import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from meshsim.lab import steer
from meshsim.live import launch
from meshsim.live.child import Addresses, Spec
from meshsim.live.control import process
from meshsim.live.control.process import PORTS, ControlProcess
from meshsim.live.launcher import HUNG
from meshsim.live.roles.control_plane import ControlPlane
from meshsim.live.servers import bound
from meshsim.scenario import load
from meshsim.scenario.topology import Topology
from tests.live.control_plane.test_mesh_control import MTLS, run, scenario, serving, status_of
from tests.live.processes import signal_control_plane
from tests.live.proxy.ends import HOST
from tests.live.proxy.rig import live


@pytest.mark.parametrize("after", [0.02, 0.1, 0.3])
def test_replicas_come_though_the_control_plane_that_was_asked_first_is_killed(after):
    """It has told nobody anything yet, so nobody could tell the next one that something is wanted."""
    with serving(load(scenario(name="early"), ["services.cart.startup=1s"])) as mesh:
        pid, scaled = mesh.control.pid, []
        asking = threading.Thread(target=lambda: scaled.append(steer.scale_live("cart", 4, mesh="early")))
        asking.start()
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
        asking.join(60.0)
        assert scaled[0].replicas == ["cart/0", "cart/1", "cart/2", "cart/3"]
        assert status_of(mesh)["endpoints"]["cart"] == scaled[0].replicas
        assert scaled[0].missing == {}


def test_what_an_event_has_set_is_pushed_by_the_next_one_if_the_first_could_not():
    late = ", control_plane: {debounce: 2s}"
    event = "events: [{at: 500ms, set: {policies.cart.timeout: 1ms}}]"

    def kill(mesh):
        time.sleep(1.0)
        signal_control_plane(mesh)

    counts, found = run(scenario(event, "4s", mesh=late), kill)
    assert counts[500, ""] > 20
    assert found.summary["pushes"]["each"][0]["begun"] < 2.5, "the debounce of the first did not end"


def test_one_that_dies_before_it_serves_is_followed_by_the_next_within_a_second(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
    fork = lambda told: SimpleNamespace(name="it", code=-9)  # noqa: E731
    control = ControlProcess(Topology(scenario(mesh=MTLS)), tmp_path, fork, inclusive=True)
    waits = []
    control.start()
    for _ in range(12):
        control.died()
        began = now[0]
        while not control.look():
            now[0] += 0.01
        waits.append(now[0] - began)
    control.close()
    assert waits == sorted(waits)
    assert waits[0] < 0.2
    assert max(waits) == pytest.approx(1.0, abs=0.02), "certificates are to be renewed meanwhile"


@live
async def test_an_authority_that_takes_over_is_not_asked_before_it_knows_the_time(tmp_path):
    """What it signed then would be signed at no time of the scenario, and refused."""
    reserved = {name: bound(socket.AF_INET, (HOST, 0)) for name in PORTS}
    ports = {name: each.getsockname()[1] for name, each in reserved.items()}
    told = {"ports": ports, "journal": tmp_path / "journal", "tokens": {}, "inclusive": True, "secret": "s"}
    spec = Spec("control_plane", "the mesh", scenario(mesh=MTLS), 1, HOST, True, None, control=told)

    def asked():
        with socket.socket() as asking:
            return asking.connect_ex((HOST, ports["authority"])) == 0

    found = []
    for again in (False, True):
        told["again"] = again
        role = ControlPlane(spec)
        await role.listen()
        await role.connect(Addresses({}, None, {}))
        found.append(asked())
        role.start(time.monotonic())
        await role._opening
        assert asked()
        role.close()
        await asyncio.sleep(0.05)
    for each in reserved.values():
        each.close()
    assert found == [True, False]


@pytest.mark.parametrize("wakes", [True, False])
def test_a_mesh_goes_on_and_ends_though_its_control_plane_is_stopped(wakes, monkeypatch):
    monkeypatch.setattr(process, "SILENCE", 0.8)
    monkeypatch.setattr(launch, "SILENCE", 0.8)
    events = """
events:
- {at: 600ms, service: cart, replicas: 4}
- {at: 700ms, set: {policies.cart.timeout: 900ms}}
"""
    known = []

    def stop(mesh):
        time.sleep(0.4)
        signal_control_plane(mesh, signal.SIGSTOP)
        for _ in range(300):  # more than the pipe takes
            mesh.control.tell({"places": [], "more": "x" * 1000})
        time.sleep(2.0)
        known.append(mesh.control.silent)
        if wakes:
            signal_control_plane(mesh, signal.SIGCONT)
            time.sleep(1.5)
            known.append(status_of(mesh))

    counts, found = run(scenario(events, "5s", name="stopped"), stop)
    assert set(counts) == {(200, "")}
    assert known[0], "it is noticed"
    troubles = found.summary["live"]["troubles"]["the control plane of the mesh"]
    assert troubles["it did not answer for 0.8 s"] == 1
    assert (HUNG in troubles) is not wakes
    if wakes:
        assert known[1]["endpoints"]["cart"] == ["cart/0", "cart/1", "cart/2", "cart/3"]
        assert len({each["version"] for each in known[1]["proxies"]}) == 1
        assert found.summary["pushes"]["each"][0]["first"] > 2.0
