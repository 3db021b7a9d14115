"""Replicas that can't be started, or don't end, in a mesh that runs: whoever ordered them is told."""

import os
import resource
import signal
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab import steer
from meshsim.live import launch, pod
from meshsim.live.control import process
from meshsim.live.control.process import ControlProcess
from meshsim.live.launch import LiveMesh, Options
from meshsim.live.processes import NOWHERE, Keeper
from meshsim.mesh.rollout import GONE
from meshsim.scenario import loads
from meshsim.scenario.topology import Topology
from tests.live.control_plane.test_mesh_control import scenario, serving, status_of, until
from tests.live.processes import signal_control_plane

PROGRAM = """#!/usr/bin/env python3
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('content-length', '0'); self.end_headers()
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Page).serve_forever()
"""


@contextmanager
def descriptors(more):
    """This process may have so many more than it has now."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_program_that_is_not_there_any_more_is_no_end_of_a_mesh_that_runs(tmp_path):
    program = tmp_path / "serves"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    text = "name: moved\nduration: 9s\nload: [{to: a, rate: 1/s}]\nmesh: {dataplane: sidecar}\n"
    text += f"services: {{a: {{live: {{command: [{program}]}}}}}}\n"
    with serving(loads(text, folder=tmp_path)) as mesh:
        program.rename(tmp_path / "elsewhere")
        with pytest.raises(MeshsimError, match="the program of a/1 can't be started: No such file"):
            steer.scale_live("a", 2, mesh=mesh.control.url)
        (tmp_path / "elsewhere").rename(program)
        assert steer.scale_live("a", 2, mesh=mesh.control.url).replicas == ["a/0", "a/2"]


def test_where_descriptors_run_out_whoever_wants_more_replicas_is_told_and_none_is_lost():
    with serving(scenario(name="scarce", drain="0s")) as mesh:
        steer.scale_live("cart", 3, mesh=mesh.control.url)
        steer.scale_live("cart", 2, mesh=mesh.control.url)
        until(lambda: not mesh.members_of("cart/2"), "it has gone")
        before = open_descriptors()
        for more in (1, 3, 5, 7):  # at any step of a start
            with (
                descriptors(more),
                pytest.raises(MeshsimError, match=r"can't be started: Too many open files"),
            ):
                steer.scale_live("cart", 6, mesh=mesh.control.url)
        until(lambda: open_descriptors() == before, "what was opened is closed")
        assert len(steer.scale_live("cart", 3, mesh=mesh.control.url).replicas) == 3
        with urllib.request.urlopen(mesh.listeners["client/0"].urls["front"], timeout=5) as answer:
            assert answer.status == 200


def test_a_mesh_ends_though_a_process_of_a_replica_that_goes_dies_before_it_has_said_what_it_knows(
    monkeypatch,
):
    monkeypatch.setattr(launch, "PHASE_LIMIT", 5.0)
    go = pod.LivePod.go

    def stopped(self, now):
        for member in self.fleet.mesh.members_of(self.place.name):
            os.kill(member.pid, signal.SIGSTOP)
        go(self, now)

    monkeypatch.setattr(pod.LivePod, "go", stopped)
    with serving(scenario(name="goes", drain="0s")) as mesh:
        steer.scale_live("cart", 3, mesh=mesh.control.url)
        members = mesh.members_of("cart/2")
        steer.scale_live("cart", 2, mesh=mesh.control.url)
        until(lambda: any(each.state == GONE for each in mesh.cluster.pods.values()), "it goes")
        loss = mesh._await

        def killed(word, waited):
            assert set(members) <= set(waited)
            for member in members:
                os.kill(member.pid, signal.SIGKILL)
            return loss(word, waited)

        monkeypatch.setattr(mesh, "_await", killed)


def test_the_metrics_of_a_mesh_forget_who_has_gone_though_the_control_plane_was_killed_since():
    with serving(scenario(name="forgets", drain="0s")) as mesh:
        steer.scale_live("cart", 3, mesh=mesh.control.url)
        steer.scale_live("cart", 2, mesh=mesh.control.url)
        until(lambda: not mesh.members_of("cart/2"), "it has gone")
        signal_control_plane(mesh)
        steer.set_live({"access": []}, mesh=mesh.control.url)
        with urllib.request.urlopen(f"{mesh.control.url}/stats/prometheus", timeout=20) as answer:
            page = answer.read().decode()
        assert 'pod="cart/1"' in page
        assert 'pod="cart/2"' not in page


def test_why_a_control_plane_has_ended_by_itself_is_in_the_results():
    with serving(scenario(name="poisoned")) as mesh:
        mesh.control.tell({"endpoints": {"cart": 5}, "change": 1})
        until(lambda: mesh.control.deaths == 1 and mesh.control.pid, "it can't do that")
        signal_control_plane(mesh)
        assert steer.set_live({"access": []}, mesh=mesh.control.url).missing == {}
        assert status_of(mesh)["pid"]
    said = mesh.troubles["the control plane of the mesh"]
    assert said.pop("it has ended, and was replaced") == 2
    assert said == {"it has ended: TypeError: 'int' object is not iterable": 1}


def test_a_mesh_that_stops_lets_a_control_plane_go_that_was_about_to_take_over():
    with LiveMesh(scenario(name="stops"), 1, Options(load=False)) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(0.1)
        signal_control_plane(mesh)
        until(lambda: mesh.handle(0.01) or mesh.control.pid == 0, "it is gone")
        assert mesh.control.look()
        mesh.stop()
    assert mesh.troubles == {"the control plane of the mesh": {"it has ended, and was replaced": 1}}


def test_who_did_not_listen_does_not_say_that_the_control_plane_is_silent(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
    control = ControlProcess(
        Topology(scenario()), tmp_path, lambda told: SimpleNamespace(name="it", send=print), inclusive=True
    )
    control.start()
    control.begin(0.0)
    assert control.look() == ""
    now[0] += 60.0  # the launcher has started many replicas
    assert control.look() == ""
    for _ in range(100):
        now[0] += 0.1
        control.look()
    assert control.silent
    control.close()


def test_a_process_with_the_number_of_one_that_has_ended_has_not_ended():
    keeper = Keeper()
    try:
        first = keeper.run("first", ["/bin/true"], {})
        until(lambda: first.code is not None, "it ends")
        second = type(first)("second", first.log)
        keeper._register(second, {"pid": first.pid}, NOWHERE)
        assert second.code is None
    finally:
        keeper.close()
