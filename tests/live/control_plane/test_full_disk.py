"""A control plane that can't write its journal any more, as the disk is full, and is then killed."""

import resource
import threading
import time
from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab import steer
from meshsim.lab.live import run_live
from meshsim.live.control.journal import Journal
from meshsim.live.control.process import JOURNAL
from meshsim.live.troubles import troubles
from meshsim.scenario import loads
from tests.live.control_plane.test_mesh_control import scenario, serving
from tests.live.processes import signal_control_plane


@pytest.fixture(autouse=True)
def _no_troubles():
    yield
    troubles.clear()


def fill(process: int, file: Path, room: int = 0) -> None:
    """From now on a process can't make its files longer than this one is, and so much."""
    resource.prlimit(process, resource.RLIMIT_FSIZE, (file.stat().st_size + room, resource.RLIM_INFINITY))


def free(process: int) -> None:
    resource.prlimit(process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("room", [0, 5])
def test_what_must_be_written_is_written_or_was_never_said(tmp_path, room):
    file = tmp_path / "journal"
    journal = Journal(file)
    journal.insist({"number": 0})
    fill(0, file, room)
    try:
        with pytest.raises(MeshsimError, match="can't write it down: File too large"):
            journal.insist({"number": 1})
        journal.add({"number": 2})  # that is written when there is room
        with pytest.raises(MeshsimError, match="File too large"):
            journal.insist({"number": 3})
    finally:
        free(0)
    journal.insist({"number": 4})
    journal.close()
    assert [fact["number"] for fact in Journal(file).facts] == [0, 2, 4]
    assert not any("damaged" in each for each in troubles)


def test_a_certificate_is_signed_when_its_token_is_written_down_as_used():
    """Else whoever takes over knows neither that token nor the next, and the proxy has none it may use."""
    chosen = loads("""
name: full
duration: 7s
load: [{to: front, rate: 20/s}]
services: {front: {time: 1ms}}
mesh:
  dataplane: sidecar
  mtls: {mode: strict, certificate_ttl: 4s, rotate_at: 25%, jitter: 0%, ca: {retry: {base: 50ms, max: 50ms}}}
events: [{at: 1s, component: ca, rotate_root: true, overlap: 5s}]
""")
    seen = []

    def ready(mesh):
        def disaster():
            fill(mesh.control.pid, mesh.keeper.folder / JOURNAL)
            time.sleep(1.5)
            seen.append(mesh.control.pid)
            signal_control_plane(mesh)

        threading.Timer(0.2, disaster).start()

    found = run_live(chosen, ready=ready)
    told = found.summary["live"]["troubles"]
    assert seen
    words = [what for each in told.values() for what in each]
    assert not any("token" in each or "root" in each for each in words), told
    assert found.summary["certificates"]["expired"] == 0
    assert found.summary["certificates"]["signed"] >= 6
    assert found.summary["requests"]["failed"] == 0


def test_what_is_set_is_refused_while_it_can_not_be_written_down():
    with serving(scenario(duration="60s", name="full")) as mesh:
        steer.set_live({"policies.cart.timeout": "5s"}, mesh="full")
        fill(mesh.control.pid, mesh.keeper.folder / JOURNAL)
        with pytest.raises(MeshsimError, match="can't write it down: File too large; free some space"):
            steer.set_live({"policies.cart.timeout": "6s"}, mesh="full")
        free(mesh.control.pid)
        done = steer.set_live({"policies.cart.retries.attempts": 1}, mesh="full")
        assert done.missing == {}
