"""Starting and ending a mesh: its phases, what goes wrong in them, and that nothing is left at the end."""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.live import run_live
from meshsim.live import folders, launch, processes
from meshsim.live.launch import LiveMesh
from meshsim.live.options import Options
from meshsim.live.processes import Event, Member
from meshsim.scenario import loads
from meshsim.scenario.topology import CLIENT_PROXY
from tests.live.fakes import ROLES
from tests.live.processes import alive, gone, traces, until

BAD = "tests.live.fakes_bad"
ROOT = Path(__file__).parent.parent.parent
TEXT = """
duration: 2s
services:
  front: {replicas: 2, script: [{call: back}]}
  back: {versions: {v1: {}, v2: {}}}
mesh: {dataplane: sidecar}
load: [{to: front, rate: 10/s}]
"""
SCENARIO = loads(TEXT)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        body: bytes = response.read()
    return body.decode()


def test_a_mesh_goes_through_its_phases_and_hands_over_what_it_has_config_down() -> None:
    told: list[str] = []
    with LiveMesh(SCENARIO, 7, Options(roles=ROLES), told.append) as mesh:
        mesh.launch()
        assert set(mesh.listeners) == {CLIENT_PROXY, "front/0", "front/1", "back/v1/0", "back/v2/0"}
        assert mesh.listeners[CLIENT_PROXY].inbound is None
        assert set(mesh.listeners["front/1"].urls) == {"back"}
        assert get(mesh.listeners[CLIENT_PROXY].urls["front"]) == "front/0"
        inbound = mesh.listeners["back/v2/0"].inbound
        assert inbound is not None
        assert get(f"http://{inbound[0]}:{inbound[1]}") == "back/v2/0"
        mesh.start()
        mesh.run(20.0)
        assert mesh.done
        assert mesh.settle(60.0)
        left = traces(mesh)
        rows = mesh.stop()
    assert len(rows) == 11
    load = rows["load", CLIENT_PROXY]
    assert set(load["answer"]) == {b"front/0"}
    assert (load["start"] >= 0.0).all()  # nobody begins before scenario time 0
    np.testing.assert_array_equal(rows["service", "back/v1/0"]["served"], [0, 1, 2])
    assert set(mesh.cpu) == set(rows)
    assert told[0] == "starting"
    assert gone(*left)


def test_processes_get_the_files_that_the_scenario_was_read_with(tmp_path: Path) -> None:
    (tmp_path / "arrivals.csv").write_text("time\n0.1\n0.2\n")
    text = TEXT.replace("rate: 10/s", "arrivals: {trace: {file: arrivals.csv}}")
    scenario = loads(text, folder=tmp_path)
    (tmp_path / "arrivals.csv").unlink()
    with LiveMesh(scenario, 7, Options(roles=ROLES)) as mesh:
        mesh.launch()
        assert get(mesh.listeners[CLIENT_PROXY].urls["front"]) == "front/0"


def test_one_thread_reads_what_all_hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's reader is not for several at once (CPython gh-106905): one run in many was lost."""
    readers: list[threading.Thread] = []
    load = np.load

    def reading(file: Any) -> Any:
        readers.append(threading.current_thread())
        return load(file)

    monkeypatch.setattr(np, "load", reading)
    with LiveMesh(SCENARIO, 7, Options(roles=ROLES)) as mesh:
        mesh.launch()
        mesh.start()
        mesh.stop()
    assert len(readers) >= 5
    assert set(readers) == {threading.current_thread()}


def heard(said: bytes, log: Path) -> tuple[Member, list[dict[str, Any]]]:
    """A member, and what comes of what it says."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    member = Member("the proxy of a/0", log)
    incoming, outgoing = os.pipe()
    os.write(outgoing, said)
    os.close(outgoing)
    member.converse(incoming, os.open(os.devnull, os.O_WRONLY), events)
    messages = [events.get(timeout=60.0)[1]]
    while "ended" not in messages[-1]:
        messages.append(events.get(timeout=60.0)[1])
    member.hang_up()
    return member, messages


OURS = "the proxy of a/0: an error of meshsim's own, please report it: "


def test_what_cannot_be_read_is_an_error_of_our_own(tmp_path: Path) -> None:
    member, (message, _) = heard(b"no line of JSON\n", tmp_path / "log")
    assert str(member.error(message["error"])).startswith(f"{OURS}JSONDecodeError")
    word = b'{"rows": 7, "crc": %d}\n' % zlib.crc32(b"no .npz")
    for cut in (b"", b"no .np", b"no .npy"):
        _, (message, _) = heard(word + cut, tmp_path / "log")
        assert "its rows are cut off or damaged" in message["error"]
    member, (message, _) = heard(word + b"no .npz", tmp_path / "log")
    with pytest.raises(MeshsimError, match=f"{OURS}its rows can't be read"):
        member.rows(message["rows"])


def test_without_load_there_is_no_load_generator_and_nothing_is_kept() -> None:
    with LiveMesh(SCENARIO, 7, Options(load=False, keep=False, roles=ROLES)) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(0.2)
        rows = mesh.stop()
    assert all(role != "load" for role, _ in rows)
    assert not any(rows.values())


def launched(mesh: LiveMesh) -> None:
    with mesh:
        mesh.launch()


def served(mesh: LiveMesh) -> None:
    with mesh:
        mesh.launch()
        mesh.start()
        mesh.run(20.0)


def with_service(role: str, *, load: bool = True) -> LiveMesh:
    return LiveMesh(SCENARIO, 7, Options(load=load, roles={**ROLES, "service": role}))


def nothing_left(mesh: LiveMesh) -> bool:
    pids = [mesh.keeper.watcher, mesh.keeper.pid, *(process.pid for process in mesh.keeper.processes)]
    return gone(pids, [], mesh.keeper.folder)


def test_who_dies_at_the_start_ends_the_mesh_with_its_last_words() -> None:
    mesh = with_service(f"{BAD}:Unborn")
    words = r"the service of .* has ended with code 1; .*\n(.*\n)*.*the port is taken"
    with pytest.raises(MeshsimError, match=words):
        launched(mesh)
    assert nothing_left(mesh)


def test_a_library_that_is_not_installed_is_named_with_what_to_install() -> None:
    with pytest.raises(MeshsimError, match=r"nowhere is not installed; .*meshsim\[live\]"):
        launched(with_service("tests.live.nowhere:Service"))


def test_who_is_not_ready_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PHASE_LIMIT", 1.0)
    monkeypatch.setattr(launch, "MEMBER_LIMIT", 0.0)
    with pytest.raises(
        MeshsimError, match=r"no report of being ready from .* back/v1/0 and . others after 1 s"
    ):
        launched(with_service(f"{BAD}:Deaf"))


def test_who_dies_later_ends_the_mesh_too() -> None:
    mesh = with_service(f"{BAD}:Mortal", load=False)
    with pytest.raises(MeshsimError, match=r"the service of .* has ended with code 3 without any output"):
        served(mesh)
    assert nothing_left(mesh)


@pytest.mark.parametrize("who", ["pid", "watcher"])
def test_without_its_keeper_or_watcher_a_mesh_ends_and_is_cleaned_up(who: str) -> None:
    left: list[tuple[list[int], list[int], str]] = []

    def die_early(mesh: LiveMesh) -> None:
        with mesh:
            mesh.launch()
            left.append(traces(mesh))
            os.kill(getattr(mesh.keeper, who), signal.SIGKILL)
            assert until(lambda: gone(*left[0])), "all have ended before the launcher looks"
            mesh.run(20.0)

    with pytest.raises(MeshsimError, match="the process that starts the others, and ends them, has ended"):
        die_early(LiveMesh(SCENARIO, 7, Options(load=False, roles=ROLES)))


def test_without_its_folder_a_mesh_has_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    def collect(base: float) -> dict[str, Any]:
        os.kill(mesh.keeper.pid, signal.SIGKILL)
        assert until(lambda: not mesh.keeper.folder.exists() and mesh.keeper.gone)
        return {}

    with LiveMesh(SCENARIO, 7, Options(roles=ROLES)) as mesh:
        mesh.launch()
        mesh.start()
        monkeypatch.setattr(mesh.proxies, "collect", collect)
        with pytest.raises(MeshsimError, match="the process that starts the others, and ends them, has"):
            mesh.stop()


@pytest.mark.parametrize("stopped", [("pid",), ("watcher",), ("watcher", "pid")])
def test_a_stopped_keeper_or_watcher_does_not_outlive_the_mesh(
    stopped: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "ENDING", 0.5)
    with LiveMesh(SCENARIO, 7, Options(load=False, roles=ROLES)) as mesh:
        mesh.launch()
        left = traces(mesh)
        for who in stopped:
            os.kill(getattr(mesh.keeper, who), signal.SIGSTOP)
    assert until(lambda: gone(*left))


@pytest.fixture
def serving(request: pytest.FixtureRequest) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.live.serving", getattr(request, "param", TEXT)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_launcher_is_killed(serving: subprocess.Popen[str], number: int) -> None:
    assert serving.stdout is not None
    with serving:
        pids, sockets, folder, _ = json.loads(serving.stdout.readline())
        assert len(pids) == 12
        assert all(alive(pid) for pid in pids)
        assert not gone([], sockets[:1], "/nowhere")
        serving.send_signal(number)
        serving.wait(60.0)
        assert until(lambda: gone(pids, sockets, folder))


FORKING = """
duration: 2s
services: {echo: {live: {command: [PYTHON, tests/live/echo.py, forking]}}}
mesh: {dataplane: sidecar}
load: [{to: echo, rate: 10/s}]
""".replace("PYTHON", sys.executable)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux who ends with whom")
@pytest.mark.parametrize("serving", [FORKING], indirect=True)
@pytest.mark.parametrize(
    "killed", [("keeper",), ("watcher",), ("launcher", "keeper"), ("launcher", "watcher")]
)
def test_a_daemon_of_a_program_ends_whoever_is_killed(
    serving: subprocess.Popen[str], killed: tuple[str, ...]
) -> None:
    assert serving.stdout is not None
    with serving:
        pids, sockets, folder, ((host, port),) = json.loads(serving.stdout.readline())
        daemon = int(json.loads(get(f"http://{host}:{port}"))["env"]["DAEMON"])
        assert alive(daemon)
        who = {"launcher": serving.pid, "watcher": pids[0], "keeper": pids[1]}
        for name in killed:
            os.kill(who[name], signal.SIGKILL)
        assert until(lambda: gone([daemon, *pids], sockets, folder))
        serving.kill()


def test_the_folder_of_those_who_were_all_killed_goes_with_the_next_mesh(
    serving: subprocess.Popen[str],
) -> None:
    assert serving.stdout is not None
    with serving:
        pids, sockets, folder, _ = json.loads(serving.stdout.readline())
        for process in (pids[0], serving.pid, pids[1]):
            os.kill(process, signal.SIGSTOP)  # so that none of them sees another die
        for process in (pids[0], serving.pid, pids[1]):
            os.kill(process, signal.SIGKILL)
    assert until(lambda: gone(pids, sockets, "/nowhere"))
    assert Path(folder).exists()
    with LiveMesh(SCENARIO, 7, Options(roles=ROLES)) as mesh:
        assert not Path(folder).exists()
        assert mesh.keeper.folder.exists()
        folders.sweep()
        assert mesh.keeper.folder.exists(), "it has an owner"


def test_what_is_not_ours_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    unlocked, left, link = (tmp_path / f"meshsim-{name}" for name in ("new", "left", "link"))
    unlocked.mkdir()
    left.mkdir()
    (left / "lock").touch()
    link.symlink_to(left)
    folders.sweep()
    assert unlocked.exists(), "its lock may just be being made"
    assert not left.exists()
    assert link.is_symlink()


def test_ctrl_c_in_the_terminal_is_the_launchers_alone(serving: subprocess.Popen[str]) -> None:
    """The terminal sends it to the whole foreground group, in which the mesh's processes are not."""
    assert serving.stdout is not None
    with serving:
        pids, *_ = json.loads(serving.stdout.readline())
        groups = {os.getpgid(pid) for pid in pids}
        assert os.getpgid(serving.pid) not in groups
        for pid in pids[2:]:
            os.kill(pid, signal.SIGINT)  # and even if it came to them
        assert not until(lambda: not all(alive(pid) for pid in pids), seconds=0.5)
        serving.kill()
        assert until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_mesh_without_room_for_its_files_says_where_and_what_helps(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []

    def full(mesh: LiveMesh) -> None:
        places.append(mesh.keeper.folder)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(LiveMesh, "launch", full)
    with pytest.raises(MeshsimError, match="or name another folder with TMPDIR") as caught:
        run_live(SCENARIO)
    assert str(caught.value).startswith(f"the mesh can't write its files to {places[0].parent}: ")
    assert not places[0].exists()
