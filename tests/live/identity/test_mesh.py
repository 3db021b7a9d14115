"""Whole meshes with identities: enrolment, renewal under load, outages of the authority, restarts, roots."""

import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.live import run_live
from meshsim.lab.outsider import hand_out, prepare
from meshsim.live import launch
from meshsim.live.launch import LiveMesh
from meshsim.live.options import Options
from meshsim.scenario import loads
from tests.live.processes import gone, signal_control_plane, traces

HEAD = """
name: identities
duration: {duration}
seed: 3
load:
  - {{to: front, rate: 40/s}}
policies:
  front: {{connection: {{max_requests: 1}}}}
mesh:
  dataplane: sidecar
  mtls: {{mode: strict, certificate_ttl: {ttl}, jitter: 5%, ca: {{retry: {{base: 100ms, max: 300ms}}{ca}}}}}
"""
LONG = pytest.mark.long
ONE = "services: {front: {time: 1ms}}\n"


def scenario(more=ONE, duration="3s", ttl="2s", ca=""):
    return loads(HEAD.format(duration=duration, ttl=ttl, ca=ca) + more)


def run(chosen, ready=None):
    """(start, status, flag) of every request, and the run's summary."""
    found = run_live(chosen, ready=ready)
    requests = found.records[0].requests
    rows = list(zip(requests.start.tolist(), requests.status.tolist(), requests.flag.tolist(), strict=True))
    return rows, found.summary


def bad(rows, begin=0.0, end=1e9):
    return [row for row in rows if begin <= row[0] < end and row[1] != 200]


def test_certificates_are_renewed_under_load_and_no_request_is_lost():
    rows, summary = run(
        scenario("services: {front: {time: 1ms, script: [{call: cart}]}, cart: {time: 1ms}}\n")
    )
    assert len(rows) > 80
    assert not bad(rows)
    assert not summary["live"]["troubles"]
    assert summary["certificates"]["signed"] >= 6, "three proxies, each at about 1 s and 2 s"
    assert summary["certificates"]["refused"] == summary["certificates"]["expired"] == 0


def test_without_the_authority_certificates_expire_and_afterwards_all_is_well():
    rows, summary = run(scenario(ONE + "events: [{at: 200ms, for: 3500ms, component: ca, down: true}]", "5s"))
    assert not bad(rows, 0.0, 1.9)
    assert len(bad(rows, 2.1, 3.7)) == len([row for row in rows if 2.1 <= row[0] < 3.7]) > 20
    assert {row[1:] for row in bad(rows)} <= {(503, "UF"), (503, "UC")}
    assert not bad(rows, 4.3), "proxies have asked again"
    assert summary["certificates"]["expired"] == 2
    assert summary["certificates"]["refused"] > 10
    assert not summary["live"]["troubles"], "it is the scenario's doing"


@pytest.mark.long
def test_a_replica_that_restarts_is_back_when_it_has_a_certificate():
    services = "services: {front: {time: 1ms}}\nevents: [{at: 500ms, for: 500ms, service: front, down: true}]"
    rows, _ = run(scenario(services, "3s", "60s", ", time: 600ms, workers: 1"))
    assert len(bad(rows, 0.6, 1.5)) == len([row for row in rows if 0.6 <= row[0] < 1.5])
    assert not bad(rows, 2.0)
    assert not bad(rows, 0.0, 0.4), "later ones may be under way when it goes down"


@pytest.mark.parametrize(("overlap", "broken"), [("0s", True), pytest.param("2500ms", False, marks=LONG)])
def test_a_new_root_breaks_everything_without_an_overlap(overlap, broken):
    event = f"events: [{{at: 1500ms, component: ca, rotate_root: true, overlap: {overlap}}}]"
    rows, _ = run(scenario(ONE + event, "4s", "3s"))
    assert not bad(rows, 0.0, 1.4)
    assert bool(bad(rows)) == broken
    assert not bad(rows, 3.3)


@pytest.mark.parametrize(
    ("mode", "answered"), [pytest.param("permissive", True, marks=LONG), ("strict", False)]
)
def test_services_outside_the_mesh_are_called_in_plaintext_unless_that_is_not_wanted(mode, answered):
    services = """
services:
  front: {time: 1ms, script: [{call: old}]}
  old: {time: 1ms, sidecar: false, script: [{call: db}]}
  db: {time: 1ms, mtls: MODE}
"""
    rows, _ = run(scenario(services.replace("MODE", mode), "1s"))
    assert len(bad(rows)) == (0 if answered else len(rows))
    assert len(rows) > 20


@pytest.mark.long
def test_an_authority_that_is_killed_goes_on_in_another_process():
    def kill(mesh):
        threading.Timer(0.3, signal_control_plane, (mesh,)).start()

    rows, summary = run(scenario(duration="4s"), kill)
    assert not bad(rows), "it signs with the same root, for the same tokens"
    assert summary["certificates"]["signed"] >= 6
    assert summary["certificates"]["expired"] == 0
    troubles = summary["live"]["troubles"]["the control plane of the mesh"]
    assert troubles == {"it has ended, and was replaced": 1}


def test_an_authority_that_hangs_keeps_nobody_waiting(monkeypatch):
    """Its process is there, and says nothing any more: the run ends as it would, with all that it has."""
    with LiveMesh(scenario(duration="1s", ttl="60s"), 1, Options()) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(0.3)
        left = traces(mesh)
        signal_control_plane(mesh, signal.SIGSTOP)
        mesh.run(10.0)
        assert mesh.settle(60.0)
        monkeypatch.setattr(launch, "PHASE_LIMIT", 1.0)
        rows = mesh.stop()
    assert ("load", "client/0") in rows
    assert mesh.troubles["the control plane of the mesh"] == {launch.HUNG: 1}
    assert gone(*left)


def test_a_program_from_outside_gets_a_certificate_of_the_client(tmp_path):
    chosen = scenario(ttl="60s")
    with LiveMesh(chosen, 1, Options(load=False)) as mesh:
        mesh.launch()
        mesh.start()
        with pytest.raises(MeshsimError, match="can't write"):
            hand_out(mesh, tmp_path / "missing")
        assert not (tmp_path / "missing").exists()
    with LiveMesh(chosen, 1, Options(load=False)) as mesh:
        mesh.launch()
        mesh.start()
        where = hand_out(mesh, tmp_path)
        assert oct(Path(where["key"]).stat().st_mode & 0o777) == "0o600"
        context = ssl.create_default_context(cafile=where["ca"])
        context.check_hostname = False
        context.load_cert_chain(where["certificate"], where["key"])
        import http.client

        host, port = mesh.listeners["front/0"].inbound
        connection = http.client.HTTPSConnection(host, port, context=context, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        mesh.stop()


@pytest.mark.parametrize("module", ["identity.outsider", "tls.connect", "tracked"])
def test_the_launcher_can_import_it_first(module):
    """The compiled parts import some modules that are not, which must not need them then."""
    subprocess.run([sys.executable, "-c", f"import meshsim.live.{module}"], check=True)


def test_without_mtls_there_is_no_certificate(tmp_path):
    chosen = loads("name: plain\nduration: 1s\nload: [{to: a, rate: 1/s}]\nservices: {a: {time: 1ms}}\n")
    with pytest.raises(MeshsimError, match="no mTLS"):
        prepare(chosen, tmp_path / "certificates")
    assert not (tmp_path / "certificates").exists()
