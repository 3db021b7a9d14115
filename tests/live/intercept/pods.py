"""Pods for tests: whether there can be any, and programs in those of a mesh."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from meshsim.errors import MeshsimError
from meshsim.live.intercept import namespaces
from meshsim.live.intercept.addresses import addresses
from meshsim.live.intercept.pods import Wanted, make, write_names
from meshsim.live.launch import LiveMesh

KINDS = {"user": namespaces.NEW_USER, "net": namespaces.NEW_NETWORK, "mnt": namespaces.NEW_MOUNTS}


@contextmanager
def wanted(*services: str) -> Iterator[Wanted]:
    """How pods with these services are made."""
    with TemporaryDirectory() as folder:
        hosts, names = write_names(Path(folder), addresses(services))
        yield Wanted(hosts, names)


@cache
def lacking() -> str:
    """Why there can be no pods here; nothing if there can."""
    try:
        with wanted("cart") as known:
            make(known).close()
    except MeshsimError as error:
        return str(error)
    return ""


def namespace(process: int, kind: str) -> str:
    """Which of a kind a process is in."""
    return os.readlink(f"/proc/{process}/ns/{kind}")  # noqa: PTH115 - it is no path


def join(process: int) -> None:
    """Goes where a process is."""
    found = [(os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY), value) for kind, value in KINDS.items()]
    for descriptor, value in found:
        namespaces.enter(descriptor, value)


def inside(mesh: LiveMesh, replica: str, *command: str) -> str:
    """What a program in a replica's pod prints; it has hardly an environment."""
    process = mesh.pods.inside(mesh.keeper.processes)[replica]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={"PATH": os.environ["PATH"]},
        preexec_fn=lambda: join(process), check=False,
    )  # fmt: skip
    return done.stdout + done.stderr
