"""A virtual environment for each peer, made once from its pinned requirements."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build" / "peers"
NEWEST = 15
"""The last Python 3 that is looked for."""


class MissingError(Exception):
    """The peer can't be installed here; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A package that is measured in an environment of its own.

    Attributes:
        package: its name in the registry; None for what needs no more than Python.
        program: the file here that runs it.
        forms: in which it is told the systems.
        minor: of the oldest Python 3 that it accepts.
    """

    package: str | None
    program: str
    forms: tuple[str, ...]
    minor: int = 11


PEERS = {
    "cimba": Peer("cimba", "cimba_models.py", ("worker", "request")),
    "heapq loop": Peer(None, "heapq_loop.py", ("latencies", "rows")),
    "SimPy": Peer("simpy", "simpy_processes.py", ("request", "worker")),
    "Ciw": Peer("ciw", "ciw_network.py", ("network",)),
    "salabim": Peer("salabim", "salabim_components.py", ("worker", "request")),
    "happysim": Peer("happysim", "happysim_entities.py", ("resource", "server"), minor=13),
    "asyncflow-sim": Peer("asyncflow-sim", "asyncflow_payload.py", ("server",), minor=12),
}


def python_of(peer: Peer) -> Path:
    """The interpreter that has a peer, in an environment that is made where it is missing or outdated.

    Raises:
        MissingError: no Python is new enough, or pip can't install it.
    """
    if peer.package is None:
        return Path(sys.executable)
    place, wanted = BUILD / peer.package, (HERE / f"requirements-{peer.package}.txt").read_text("utf-8")
    python, stamp = place / "bin" / "python", place / "installed.txt"
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return python
    print(f"installing {peer.package} ...", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    _run([interpreter(peer.minor), "-m", "venv", str(place)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(HERE / f"requirements-{peer.package}.txt")])
    stamp.write_text(wanted, "utf-8")
    return python


def interpreter(minor: int) -> str:
    """This Python if it is new enough, else the oldest one on this machine that is.

    Raises:
        MissingError: there is none.
    """
    if sys.version_info >= (3, minor):
        return sys.executable
    for each in range(minor, NEWEST + 1):
        kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"3.{each}.*/bin/python"))
        for candidate in (f"python3.{each}", *map(str, kept)):
            probe = [candidate, "-c", f"import sys, venv; sys.exit(sys.version_info[:2] != (3, {each}))"]
            if shutil.which(candidate) and _works(probe):
                return candidate
    raise MissingError(f"needs Python 3.{minor}, and no python3.{minor} is on the PATH")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise MissingError(f"can't be installed: {' '.join(last) or 'no reason given'}")


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
