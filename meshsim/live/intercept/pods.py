"""Pods as the keeper has them: makes them, puts processes into them, and lets go of them."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from meshsim.errors import MeshsimError
from meshsim.live.intercept import namespaces, network
from meshsim.live.intercept.addresses import hosts, name_service
from meshsim.live.intercept.lacking import CAPABILITIES, NAMESPACES, needed

LIMIT = 20.0
"""How long the making of one may take, s."""
NETWORK_FD = 3
"""By which a sidecar's process finds the network of its pod."""
HOSTS, NAME_SERVICE = Path("/etc/hosts"), Path("/etc/nsswitch.conf")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How pods are made: with these `hosts`, and `names`, which say where to look."""

    hosts: Path
    names: Path


@dataclass(frozen=True, slots=True)
class Pod:
    """The namespaces of a pod, by descriptors, which hold them; `processes` are those in it."""

    users: int
    network: int
    mounts: int
    processes: set[int] = field(default_factory=set)

    def enter(self) -> None:
        """Puts this process, of one thread, into the pod, where it is; it can't change the pod."""
        folder = Path.cwd()
        namespaces.enter(self.users, namespaces.NEW_USER)
        namespaces.enter(self.network, namespaces.NEW_NETWORK)
        namespaces.enter(self.mounts, namespaces.NEW_MOUNTS)
        os.chdir(folder)
        namespaces.renounce(namespaces.NET_ADMIN, namespaces.SYS_ADMIN)

    def attend(self) -> None:
        """Lets this process, of one thread, put threads into the pod's network, its `NETWORK_FD`."""
        namespaces.enter(self.users, namespaces.NEW_USER)
        os.dup2(self.network, NETWORK_FD)

    def close(self) -> None:
        """Lets go of it; with its last process it is gone."""
        for each in (self.users, self.network, self.mounts):
            os.close(each)


class Pods:
    """Those of one mesh, by name; made when the first process wants to be in one."""

    def __init__(self) -> None:
        self._wanted: Wanted | None = None
        self._pods: dict[str, Pod] = {}

    def want(self, wanted: Wanted) -> None:
        """From here on they can be made; MeshsimError if the system does not bear one."""
        make(wanted).close()
        self._wanted = wanted

    def find(self, name: str | None) -> Pod | None:
        """The pod of this name, made where there is none yet; None for who is in none."""
        if name is None:
            return None
        if name not in self._pods:
            assert self._wanted is not None, "want them first"
            self._pods[name] = make(self._wanted)
        return self._pods[name]

    def joined(self, pod: Pod | None, process: int) -> None:
        """A process is in a pod, or beside it, and holds it."""
        if pod is not None:
            pod.processes.add(process)

    def left(self, process: int) -> None:
        """A process has ended, and with the last of a pod that pod."""
        for name, pod in list(self._pods.items()):
            if process in pod.processes:
                pod.processes.remove(process)
                if not pod.processes:
                    self._pods.pop(name).close()


def make(wanted: Wanted) -> Pod:
    """A new pod; MeshsimError with what is lacking, and the remedy."""
    importlib.import_module("pyroute2.nftables.main")  # once for all
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(LIMIT)
        maker = os.fork()
        if maker == 0:
            _become_maker(theirs, wanted)
        theirs.close()
        try:
            _hear(ours)
            with needed("a namespace of users can't be set up", NAMESPACES):
                namespaces.keep_identity(maker)
            ours.sendall(b"\n")
            _hear(ours)
            kinds = ("user", "net", "mnt")
            users, network_, mounts = (os.open(f"/proc/{maker}/ns/{kind}", os.O_RDONLY) for kind in kinds)
            return Pod(users, network_, mounts)
        finally:
            os.kill(maker, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(maker, 0)


def _hear(line: socket.socket) -> None:
    """The maker has done the next step; MeshsimError with its reason if it could not."""
    try:
        said = line.recv(1 << 16).decode("utf-8", "replace")
    except TimeoutError:
        raise MeshsimError(f"--intercept: a pod was not made within {LIMIT:g} s") from None
    if said.strip() or not said:
        raise MeshsimError(said.strip() or "--intercept: the process that makes pods has ended")


def _become_maker(line: socket.socket, wanted: Wanted) -> NoReturn:
    """Makes the namespaces, sets up what is in them, and waits to be ended."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said = "\n"
    try:
        kinds = namespaces.NEW_USER | namespaces.NEW_NETWORK | namespaces.NEW_MOUNTS
        with needed("this system makes no namespaces for this user", NAMESPACES):
            namespaces.unshare(kinds)
        line.sendall(b"\n")
        if line.recv(1):
            with needed("the network of a pod can't be set up", CAPABILITIES):
                network.set_up()
            with needed("names can't be given to a pod", CAPABILITIES):
                _name(wanted)
    except MeshsimError as error:
        said = str(error)
    except BaseException:  # whatever it is, the keeper reports it
        said = traceback.format_exc()
    with contextlib.suppress(OSError):
        line.sendall(said.encode())
        line.recv(1)
    os._exit(0)


def _name(wanted: Wanted) -> None:
    """Has the pod find services by name."""
    namespaces.private_mounts()
    namespaces.bind(wanted.hosts, HOSTS)
    if NAME_SERVICE.exists():
        namespaces.bind(wanted.names, NAME_SERVICE)


def write_names(folder: Path, services: dict[str, str]) -> list[Path]:
    """Writes the files that stand for those of the system in every pod; `services` have addresses."""
    own = [path.read_text("utf-8", "replace") if path.exists() else "" for path in (HOSTS, NAME_SERVICE)]
    paths = [folder / path.name for path in (HOSTS, NAME_SERVICE)]
    for path, text in zip(paths, (hosts(services, own[0]), name_service(own[1])), strict=True):
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    return paths
