"""Looks whether anything is left of a mesh."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from meshsim.live.launch import LiveMesh
from meshsim.live.ports import LISTENS
from meshsim.mesh.rollout import GONE
from meshsim.scenario.topology import CLIENT_PROXY


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state not in "ZX"


def reserved() -> socket.socket:
    """A socket that keeps a port: nobody is given it, and only who asks for its number can listen there."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", 0))
    return found


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port at which nobody listens meanwhile."""
    with reserved() as keeping:
        yield keeping.getsockname()[1]


def listening(ports: Iterable[int] | None = None) -> set[int]:
    """The sockets that listen, at these ports or any, by their inodes.

    A port that is given back may be another test's at once; a socket is known from all that come later.
    """
    chosen = None if ports is None else set(ports)
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):  # no IPv6
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
                if state == LISTENS and (chosen is None or int(local.rpartition(":")[2], 16) in chosen):
                    found.add(int(inode))
    return found


def until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Waits until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def signal_control_plane(mesh: LiveMesh, number: int = signal.SIGKILL) -> int:
    """Sends a signal to the control plane of a mesh, as soon as there is one; returns its pid."""
    assert until(lambda: mesh.control.pid is not None)
    pid = mesh.control.pid
    assert pid is not None
    os.kill(pid, number)
    return pid


def gone(pids: Iterable[int], sockets: Iterable[int], folder: str | Path) -> bool:
    """Whether nothing is left: no process, no socket that listens, no file."""
    return not (any(alive(pid) for pid in pids) or listening() & set(sockets) or Path(folder).exists())


def traces(mesh: LiveMesh) -> tuple[list[int], list[int], str]:
    """The processes, listening sockets and folder of a mesh."""
    pids = [mesh.keeper.watcher, mesh.keeper.pid, *(process.pid for process in mesh.keeper.processes)]
    left = {pod.place.name for pod in mesh.cluster.pods.values() if pod.state == GONE}
    ports = [address[1] for name, address in mesh.apps.items() if name not in left]
    for listeners in (each for name, each in mesh.listeners.items() if name not in left):
        found = (listeners.inbound, listeners.outbound, listeners.admin)
        ports += [address[1] for address in found if address is not None]
        ports += [int(url.rpartition(":")[2]) for url in listeners.urls.values()]
    assert CLIENT_PROXY in mesh.listeners
    sockets = listening(ports)
    assert mesh.pods.wanted or len(sockets) >= len(set(ports)), "in pods others can't see who listens"
    return pids, sorted(sockets), str(mesh.keeper.folder)
