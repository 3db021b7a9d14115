"""Meshes that change while they run: pushes, refusals, replicas that come and go, kills."""

import json
import os
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab import steer
from meshsim.lab.live import run_live
from meshsim.live import folders
from meshsim.live.launch import LiveMesh, Options
from meshsim.scenario import load, loads
from tests.live import processes
from tests.live.processes import gone, signal_control_plane, traces

HEAD = """
name: {name}
duration: {duration}
seed: 3
load: [{{to: front, rate: 60/s}}]
policies: {{cart: {{timeout: 1s}}}}
services:
  front: {{time: 1ms, script: [{{call: cart}}]}}
  cart: {{time: 12ms, replicas: 2, drain: {drain}}}
mesh: {{dataplane: sidecar{mesh}}}
"""
MTLS = ", mtls: {mode: strict, certificate_ttl: 2s, jitter: 5%, ca: {retry: {base: 100ms, max: 300ms}}}"


def scenario(more="", duration="3s", drain="500ms", mesh="", name="controlled"):
    return loads(HEAD.format(name=name, duration=duration, drain=drain, mesh=mesh) + more)


def run(chosen, meanwhile=None, proxy="meshsim"):
    """(status, flag) of the requests, counted, and the run; `meanwhile` runs in a thread while it lasts."""
    thread = []

    def ready(mesh):
        if meanwhile is not None:
            thread.append(threading.Thread(target=meanwhile, args=(mesh,)))
            thread[0].start()

    found = run_live(chosen, ready=ready, proxy=proxy)
    for each in thread:
        each.join(60.0)
    requests = found.records[0].requests
    return Counter(zip(requests.status.tolist(), requests.flag.tolist(), strict=True)), found


def status_of(mesh):
    with urllib.request.urlopen(f"{mesh.control.url}/status", timeout=60) as answer:
        return json.load(answer)


@contextmanager
def serving(chosen, proxy="meshsim"):
    """A mesh without load that is watched in a thread; what ends it is raised."""
    ended, errors = threading.Event(), []
    with LiveMesh(chosen, 1, Options(proxy, load=False)) as mesh:
        mesh.launch()
        mesh.start()

        def watch():
            try:
                while not ended.is_set():
                    mesh.run(0.05)
            except MeshsimError as error:
                errors.append(error)

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield mesh
        finally:
            ended.set()
            watching.join(60.0)
        assert not errors, errors
        mesh.stop()


def test_a_set_event_is_a_version_that_every_proxy_acks():
    seen = []

    def look(mesh):
        until(lambda: {each["version"] for each in status_of(mesh)["proxies"]} == {1}, "all have it")
        seen.append((status_of(mesh), mesh.control.pid))

    counts, found = run(scenario("events: [{at: 500ms, set: {policies.cart.timeout: 1ms}}]", "2s"), look)
    ((status, pid),) = seen
    assert status["pid"] == pid
    assert status["version"] == 1
    assert {each["version"] for each in status["proxies"]} == {1}
    assert all(each["connected"] for each in status["proxies"])
    pushes = found.summary["pushes"]
    assert (pushes["total"], pushes["each"][0]["arrived"], pushes["nacked"]) == (1, 4, 0)
    requests = found.records[0].requests
    early = requests.start < 0.45
    assert set(requests.status[early].tolist()) == {200}
    assert set(requests.flag[requests.start > 0.6].tolist()) == {""}  # the caller answers 500 itself
    assert counts[500, ""] > 50


def test_proxies_refuse_what_the_scenario_wants_them_to_and_keep_what_they_had():
    event = "events: [{at: 300ms, set: {policies.cart.timeout: 1ms}, nack: [front]}]"
    counts, found = run(scenario(event, "1s"))
    assert set(counts) == {(200, "")}
    assert found.summary["pushes"]["nacked"] == 1


def test_a_restart_with_drain_drops_nothing_and_without_one_it_does():
    event = "events: [{at: 500ms, service: cart, restart: {surge: 1, unavailable: 0}}]"
    counts, found = run(scenario(event, "5s", drain="500ms", mesh=MTLS))
    assert set(counts) == {(200, "")}
    lives = {number: (since, until) for number, since, until in found.records[0].lives}
    assert sorted(lives) == [0, 1, 2, 3, 4]
    assert lives[1][1] < 5.0 > lives[2][1]
    ended = found.summary["services"]["cart"]["replicas"]
    assert [each["id"] for each in ended] == ["cart/0", "cart/1", "cart/2", "cart/3"]
    assert not found.summary["live"]["troubles"]
    counts, _ = run(scenario(event, "3s", drain="0s", mesh=", push_delay: 300ms"))
    assert counts[500, ""] > 5, "callers go on to send to those that have gone"


def test_an_outage_of_the_control_plane_delays_what_is_set_and_takes_the_ca_with_it():
    events = """
events:
- {at: 200ms, for: 1500ms, component: control_plane, down: true}
- {at: 500ms, set: {policies.cart.timeout: 1ms}}
"""
    _, found = run(scenario(events, "4s", mesh=MTLS))
    requests = found.records[0].requests
    before = requests.start < 1.6
    assert set(requests.status[before].tolist()) == {200}
    (push,) = found.summary["pushes"]["each"]
    assert 1.7 <= push["begun"] < push["last"]
    assert set(requests.status[requests.start > push["last"]].tolist()) == {500}
    assert found.summary["certificates"]["refused"] > 0


def test_the_results_say_what_was_ordered_from_outside():
    def steered(mesh):
        steer.set_live({"policies.cart.timeout": "300ms"}, mesh=mesh.control.url)
        steer.scale_live("cart", 3, mesh=mesh.control.url)

    _, found = run(scenario(name="ordered"), steered)
    (note,) = [note for note in found.numbers.notes if "from outside" in note]
    at = r"at \d+\.\d s"
    orders = rf"{at} policies\.cart\.timeout=300ms; {at} cart scaled to 3\."
    assert re.fullmatch(f"Changed from outside while it ran: {orders}", note), note
    _, found = run(scenario(name="left alone", duration="500ms"))
    assert not [note for note in found.numbers.notes if "from outside" in note]


def test_live_set_says_that_an_outage_of_the_scenario_keeps_it_from_being_in_force():
    events = "events: [{at: 0s, component: control_plane, down: true}]"
    with serving(scenario(events, name="out")) as mesh:
        while not status_of(mesh)["down"]:
            time.sleep(0.01)
        found = steer.set_live({"policies.cart.timeout": "300ms"}, mesh="out", timeout=0.3)
        why = "it has version 0: an event of the scenario has the control plane down"
        assert found.missing == dict.fromkeys(mesh.listeners, why)


def test_live_set_and_scale_return_when_all_is_in_force():
    with serving(scenario(mesh=MTLS, name="steered")) as mesh:
        found = steer.set_live({"policies.cart.timeout": "300ms"}, mesh="steered")
        assert (found.version, found.proxies, found.missing) == (1, 4, {})
        scaled = steer.scale_live("cart", 4, mesh=mesh.control.url)
        assert scaled.replicas == ["cart/0", "cart/1", "cart/2", "cart/3"]
        assert scaled.proxies == 6
        status = status_of(mesh)
        assert status["endpoints"]["cart"] == scaled.replicas
        assert {each["version"] for each in status["proxies"]} == {scaled.version}
        scaled = steer.scale_live("cart", 1, mesh="steered")
        assert scaled.replicas == ["cart/0"]
        with urllib.request.urlopen(mesh.listeners["client/0"].urls["front"], timeout=60) as answer:
            assert answer.status == 200
        scaled = steer.scale_live("cart", 2, mesh="steered")
        assert scaled.replicas == ["cart/0", "cart/4"], "a new replica is a new one"
        left = traces(mesh)
        note = folders.notes()
        assert [each["scenario"] for each in note].count("steered") == 1
    assert gone(*left)


def test_what_can_not_be_set_is_refused_in_words_and_nothing_changes():
    chosen = load(scenario(name="refusing"), ["services.front.versions={v1: {}, v2: {}}"])
    with serving(chosen) as mesh:
        for settings, words in [
            ({"policies.cart.timeout": "-3"}, "not a valid duration"),
            ({"policies.cart.timeot": "3s"}, "timeot"),
            ({"load[0].rate": "3/s"}, "only policies, access rules and mTLS modes"),
            ({"policies.nobody.timeout": "3s"}, "nobody"),
            ({"policies.cart.connection.max_requests": 3}, "not timed in this mesh"),
            ({}, "nothing to set"),
        ]:
            with pytest.raises(MeshsimError, match=words):
                steer.set_live(settings, mesh="refusing")
        for order, words in [
            (("crat", 3), "no service 'crat'; did you mean cart"),
            (("front", 3), "front has versions v1, v2; say which, as with --of v1"),
            (("cart", -1), "number"),
            (("cart", 10_000), "number"),
        ]:
            with pytest.raises(MeshsimError, match=words):
                steer.scale_live(*order, mesh="refusing")
        for service, words in [("cart", "it has no versions"), ("front", "write v1 or v2")]:
            with pytest.raises(MeshsimError, match=f"{service} has no version 'nine'; {words}"):
                steer.scale_live(service, 3, version="nine", mesh="refusing")
        with pytest.raises(MeshsimError, match=r"no mesh of yours is called .*refusing at http"):
            steer.set_live({"a": 1}, mesh="another")
        assert status_of(mesh)["version"] == 0


def test_only_who_has_the_token_changes_a_mesh_and_pages_are_given_by_address():
    with serving(scenario(name="closed")) as mesh:

        def ask(page, data=None, **headers):
            request = urllib.request.Request(f"{mesh.control.url}{page}", data, headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        order = json.dumps({"set": {"policies.cart.timeout": "1ms"}}).encode()
        assert ask("/set", order)[0] == 403
        assert ask("/set", order, Authorization="Bearer x")[0] == 403
        assert ask("/set")[0] == 405
        assert ask("/", Host="evil.example")[0] == 403
        assert ask("/nowhere")[0] == 404
        token = json.loads((mesh.keeper.folder / folders.NOTE).read_text())["token"]
        good = {"Authorization": f"Bearer {token}"}
        for bad in (b"", b"[]", b"{", b'{"timeout": "x"}', b'{"timeout": 1e9}', b'{"set": 7}'):
            assert ask("/set", bad, **good)[0] == 400, bad
        assert ask("/set", b" " * 400_000, **good)[0] == 413
        assert status_of(mesh)["version"] == 0
        for name in (folders.NOTE, "control-plane.journal"):
            assert (mesh.keeper.folder / name).stat().st_mode & 0o777 == 0o600
        assert mesh.keeper.folder.stat().st_mode & 0o777 == 0o700
        page = ask("/")[1].decode()
        assert "in force at 4 of 4 proxies" in page
        assert "<script" not in page


def test_a_control_plane_that_is_killed_is_replaced_and_goes_on_where_it_was():
    changed = []

    def kill(mesh):
        time.sleep(0.3)
        changed.append(steer.set_live({"policies.cart.timeout": "900ms"}, mesh="killed").version)
        changed.append(time.monotonic() - mesh.base)
        for _ in range(4):
            pid = mesh.control.pid
            if pid:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
        changed.append(steer.set_live({"policies.cart.timeout": "800ms"}, mesh="killed").version)
        changed.append(steer.scale_live("cart", 3, mesh="killed").replicas)

    counts, found = run(scenario(duration="8s", mesh=MTLS, name="killed"), kill)
    assert set(counts) == {(200, "")}
    first, killed, second, replicas = changed
    assert second > first + 1, "each that takes over pushes what is wanted"
    assert replicas == ["cart/0", "cart/1", "cart/2"]
    assert found.summary["certificates"]["signed"] > 12, "renewed after each"
    assert found.summary["certificates"]["expired"] == 0
    pushes = found.summary["pushes"]["each"]
    assert [each["version"] for each in pushes] == list(range(1, len(pushes) + 1)), "of all processes"
    assert pushes[0]["begun"] < killed
    assert all(each["arrived"] == each["proxies"] > 0 for each in pushes[:second])


def test_programs_that_can_not_start_are_no_harm_to_a_mesh_that_runs(tmp_path):
    """More than one of it die: who wants more of it is told, if he waits, and nobody else notices."""
    program = tmp_path / "once.py"
    program.write_text(
        "import http.server, os, pathlib, sys, time\n"
        "time.sleep(float(pathlib.Path('wait').read_text()))\n"
        "if not os.environ['MESHSIM_REPLICA'].endswith('/0'): sys.exit('only one of me')\n"
        "class Page(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.send_header('content-length', '0'); self.end_headers()\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Page).serve_forever()\n"
    )
    wait = tmp_path / "wait"
    wait.write_text("0")
    text = "name: once\nduration: 9s\nload: [{to: a, rate: 1/s}]\nmesh: {dataplane: sidecar}\n"
    text += f"services: {{a: {{live: {{command: [python3, {program}]}}}}}}\n"
    with serving(loads(text, folder=tmp_path)) as mesh:
        with pytest.raises(MeshsimError, match="only one of me"):
            steer.scale_live("a", 4, mesh="once")
        wait.write_text("1")
        assert steer.scale_live("a", 3, mesh="once", timeout=0.2).version is None
        signal_control_plane(mesh)  # and with it goes what it was asked for
        failed = "the replica a/4", "the replica a/5"
        until(lambda: any(name in mesh.troubles for name in failed), "they have failed")
        assert any("ended with code 1" in next(iter(mesh.troubles.get(name, [""]))) for name in failed)
        assert status_of(mesh)["endpoints"]["a"] == ["a/0"]
        with urllib.request.urlopen(mesh.listeners["client/0"].urls["a"], timeout=60) as answer:
            assert answer.status == 200
        assert steer.scale_live("a", 0, mesh="once").replicas == []


def until(done, what):
    """Waits for something; fails where it does not come."""
    assert processes.until(done), what


def test_what_has_gone_leaves_no_descriptor_open():
    with serving(scenario(mesh=MTLS, name="tidy", drain="0s")) as mesh:

        def up_and_down():
            steer.scale_live("cart", 3, mesh="tidy")
            steer.scale_live("cart", 2, mesh="tidy")
            signal_control_plane(mesh)
            until(lambda: len(mesh.members_of("cart/2") + mesh.members_of("cart/3")) == 0, "it has gone")
            until(lambda: mesh.control.pid and steer.set_live({"access": []}, mesh="tidy"), "it is back")
            return len(list(Path("/proc/self/fd").iterdir()))

        assert up_and_down() == up_and_down()


def test_a_replica_that_is_ordered_away_ends_what_it_holds_whatever_its_drain():
    slow = """
name: orderly
duration: 6s
seed: 3
load: [{to: cart, rate: 80/s}]
services: {cart: {time: 150ms, replicas: 3, drain: 0s}}
mesh: {dataplane: sidecar, push_delay: 100ms}
"""
    left = []

    def scale(mesh):
        time.sleep(1.0)
        steer.scale_live("cart", 1, mesh="orderly")
        left.append(len(mesh.members_of("cart/1")))
        until(lambda: not mesh.members_of("cart/1"), "it has gone")

    counts, found = run(loads(slow), scale)
    assert set(counts) == {(200, "")}
    assert left == [2], "it serves until nobody sends to it"
    assert len([until for _, _, until in found.records[0].lives if until < 6.0]) == 2
