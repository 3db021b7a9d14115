"""The keeper: starts every process of a live mesh and ends them all, whatever becomes of the launcher.

It is a process in a session of its own, on a socket to the launcher. It imports once what every child needs,
and forks: a child is there in milliseconds, where importing takes each 0.3 s of a core. It starts programs of
the user's own too. When the socket ends, because the launcher closed it, died or was killed, the keeper ends
every process with all that these have started, removes the mesh's folder, and exits.

On Linux it is the reaper of its descendants, so that no daemon of a user's script escapes, and children die
with it, should it be killed itself. So that even then no daemon escapes, and no folder stays, there is a
*watcher* before it, a reaper too, which does nothing but wait for the keeper's end and kill what is left. Who
kills both leaves daemons behind; the folder goes with the next mesh that is started.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import NoReturn

from meshsim.live import Message, child, folders
from meshsim.live.intercept.pods import NETWORK_FD, Pod, Pods, Wanted
from meshsim.live.troubles import allow_descriptors

GRACE = 2.0
"""How long a process may take to end by itself, s."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
MOST_FDS = 3
LOG_BYTES, LOOK = 16 << 20, 0.1
"""What a program may have printed before that is forgotten, and how often its log is looked at, s."""


class Keeper:
    """Serves one launcher; `alive` are the processes that were started and have not ended, by id."""

    def __init__(self, line: socket.socket, folder: Path) -> None:
        self._line = line
        self.folder = folder
        self._partial = b""
        self._fds: list[int] = []
        self._logs: dict[int, int] = {}
        self._pods = Pods()
        self.alive: dict[int, subprocess.Popen[bytes] | None] = {}

    def serve(self) -> None:
        """Does what the launcher asks until the line ends."""
        _control(PR_SET_CHILD_SUBREAPER, 1)
        with selectors.DefaultSelector() as waiting, _child_signals() as ended:
            waiting.register(self._line, selectors.EVENT_READ)
            waiting.register(ended, selectors.EVENT_READ)
            self._send({"folder": str(self.folder), "pid": os.getpid()})
            while True:
                for key, _ in waiting.select(LOOK if self._logs else None):
                    if key.fd == ended.fileno():
                        ended.recv(4096)
                        self._reap()
                    elif not self._receive():
                        return
                self._shorten_logs()

    # ---- the line -----------------------------------------------------------------------------------

    def _receive(self) -> bool:
        """Does what has been asked; False at the end of the line."""
        try:
            data, fds, _, _ = socket.recv_fds(self._line, 1 << 16, MOST_FDS)
        except ConnectionError:
            return False
        self._fds += fds
        self._partial += data
        *requests, self._partial = self._partial.split(b"\n")
        for request in requests:  # one at a time: the launcher waits for the answer
            fds, self._fds = self._fds, []
            try:
                self._send(self._do(json.loads(request), fds))
            finally:
                for fd in fds:
                    os.close(fd)
        return bool(data)

    def _send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # reading finds the end of the line
            self._line.sendall(json.dumps(message).encode() + b"\n")

    def _do(self, request: Message, fds: list[int]) -> Message:
        try:
            if "warm" in request:
                return self._warm(request)
            if "intercept" in request:
                self._pods.want(Wanted(*map(Path, request["intercept"])))
                return {}
            if "fork" in request:
                return {"pid": self._fork(request, fds)}
            return {"pid": self._run(request, fds)}
        except OSError as error:
            what = "" if error.filename is None else f": {error.filename}"
            return {"error": f"{error.strerror}{what}"}
        except ModuleNotFoundError as error:
            return {"error": f"{error.name} is not installed; install it with pip install 'meshsim[live]'"}
        except Exception as error:  # whatever it is, the launcher reports it
            return {"error": str(error) or repr(error)}

    # ---- starting -----------------------------------------------------------------------------------

    def _warm(self, request: Message) -> Message:
        """Imports and reads what all children need, before the first is born."""
        for place in request["warm"]:
            resolve_name(place)
        with contextlib.suppress(ImportError):
            importlib.import_module("uvloop")
        scenario = child.scenario_of(request["scenario"], request["folder"])
        if scenario.mesh.mtls is not None:  # OpenSSL takes each child longer than all the rest
            importlib.import_module("meshsim.live.identity.authority")
            importlib.import_module("meshsim.live.identity.proxy")
        gc.collect()
        gc.freeze()  # children leave the pages of what is there alone
        return {}

    def _fork(self, request: Message, fds: list[int]) -> int:
        """A child of our own on three descriptors; in a pod, or beside it."""
        pod = self._pods.find(request.get("pod"))
        process = os.fork()
        if process == 0:
            _become_child(request["fork"], fds, pod, request.get("beside", False))
        self._pods.joined(pod, process)
        self.alive[process] = None
        return process

    def _run(self, request: Message, fds: list[int]) -> int:
        """A program, whose output goes to the descriptor."""
        (log,) = fds
        pod = self._pods.find(request.get("pod"))
        program = subprocess.Popen(
            request["run"], env=request["env"], cwd=request["folder"], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
            preexec_fn=partial(_become_program, pod),  # noqa: PLW1509 - the keeper has one thread
        )  # fmt: skip
        self._pods.joined(pod, program.pid)
        self.alive[program.pid] = program
        self._logs[program.pid] = os.dup(log)
        return program.pid

    def _shorten_logs(self) -> None:
        """Forgets what a program has printed, if that is much: only its last lines are ever read."""
        for log in self._logs.values():
            if os.fstat(log).st_size > LOG_BYTES:
                os.ftruncate(log, 0)

    # ---- ending -------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Takes note of processes that have ended."""
        for process, status in _ended():
            if process in self.alive:
                code = os.waitstatus_to_exitcode(status)
                program = self.alive.pop(process)
                self._pods.left(process)
                if program is not None:
                    os.close(self._logs.pop(process))
                    program.returncode = code
                    _signal_group(process, signal.SIGKILL)  # what it has left behind
                self._send({"ended": process, "code": code})

    def end(self) -> None:
        """Ends everything, and removes the folder."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is what is being done
        with contextlib.suppress(OSError):  # first of all the launcher learns whose end it is
            self._line.shutdown(socket.SHUT_WR)
        for process in self.alive:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while self.alive and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)
        for process in self.alive:
            _signal_group(process, signal.SIGKILL)
        kill_rest(lambda: _children() or list(self.alive), self._reap)
        shutil.rmtree(self.folder, ignore_errors=True)


def kill_rest(rest: Callable[[], list[int]], reap: Callable[[], object]) -> None:
    """Kills all descendants: daemons that had left their group come to us when their parents end."""
    deadline = time.monotonic() + GRACE
    while (left := rest()) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        reap()
        time.sleep(0.005)


@contextlib.contextmanager
def _child_signals() -> Iterator[socket.socket]:
    """A socket on which something comes whenever a child has ended."""
    read, write = socket.socketpair()
    write.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(write.fileno())
    with read, write:
        try:
            yield read
        finally:
            signal.set_wakeup_fd(-1)  # before it is closed: a child may end at any time


def _become_program(pod: Pod | None) -> None:
    """What is left to do between fork and program."""
    if pod is not None:
        pod.enter()
    _die_with_parent()


def _become_child(roles: dict[str, str], fds: list[int], pod: Pod | None, beside: bool) -> NoReturn:
    """Lives a child's life after the fork; nothing of the keeper's may go on in it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for change in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM):
            signal.signal(change, signal.SIG_DFL)
        os.setsid()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        if pod is not None and beside:
            pod.attend()
        elif pod is not None:
            pod.enter()
        _die_with_parent()
        os.closerange(NETWORK_FD + (pod is not None and beside), os.sysconf("SC_OPEN_MAX"))
        allow_descriptors()
        child.main(roles)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _control(option: int, value: int) -> None:
    """Linux's prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _die_with_parent() -> None:
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _children() -> list[int]:
    """The processes whose parent is this one (Linux), those that have ended included."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _ended() -> Iterator[tuple[int, int]]:
    """Id and status of each child that has ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def watch(keeper: int, folder: Path) -> None:
    """Waits for the keeper's end, and ends what it has not: nothing, unless it was killed."""
    while os.waitpid(-1, 0)[0] != keeper:
        pass
    kill_rest(_children, lambda: list(_ended()))
    shutil.rmtree(folder, ignore_errors=True)


def keep(watcher: int, folder: Path) -> None:
    """Lives the keeper's life, on standard input; without its watcher it ends."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with socket.socket(fileno=os.dup(0)) as line:
        keeper = Keeper(line, folder)
        try:
            _control(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() == watcher:
                keeper.serve()
        finally:
            keeper.end()


def main() -> None:
    """``python -m meshsim.live.keeper``, with a socket to the launcher as standard input."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folders.sweep()
    folder, _ = folders.new()  # its lock is held as long as one of us lives
    _control(PR_SET_CHILD_SUBREAPER, 1)
    watcher = os.getpid()
    keeper = os.fork()
    if keeper:
        os.close(0)  # the launcher's line is the keeper's alone
        watch(keeper, folder)
    else:
        keep(watcher, folder)


if __name__ == "__main__":
    main()
