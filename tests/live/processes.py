"""Looks whether anything is left of a mesh."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from meshsim.live.launch import LiveMesh
from meshsim.scenario.topology import CLIENT_PROXY


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state not in "ZX"


def open_port(port: int) -> bool:
    """Whether anybody listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5):
            return True
    except OSError:
        return False


def until(true: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Waits until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def gone(pids: Iterable[int], ports: Iterable[int], folder: str | Path) -> bool:
    """Whether nothing is left: no process, no port, no file."""
    return not (
        any(alive(pid) for pid in pids) or any(open_port(port) for port in ports) or Path(folder).exists()
    )


def traces(mesh: LiveMesh) -> tuple[list[int], list[int], str]:
    """The processes, ports and folder of a mesh."""
    pids = [mesh.keeper.watcher, mesh.keeper.pid, *(process.pid for process in mesh.keeper.processes)]
    ports = [address[1] for address in mesh.apps.values()]
    for listeners in mesh.listeners.values():
        found = (listeners.inbound, listeners.outbound, listeners.admin)
        ports += [address[1] for address in found if address is not None]
        ports += [int(url.rpartition(":")[2]) for url in listeners.urls.values()]
    assert CLIENT_PROXY in mesh.listeners
    return pids, ports, str(mesh.keeper.folder)
