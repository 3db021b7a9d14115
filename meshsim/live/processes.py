"""The launcher's side of its processes: the keeper that starts them, and the line to each of them."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from meshsim.errors import MeshsimError
from meshsim.live import Message
from meshsim.live.intercept.pods import write_names
from meshsim.live.outgoing import Outgoing
from meshsim.live.troubles import OWN_ERROR, allow_descriptors
from meshsim.scenario.names import file_name

STARTING = 30.0
"""How long the keeper may take to answer, s: a busy machine imports slowly."""
ENDING = 10.0
REASON_LIMIT = 1.0
"""The end of a process is reported by two lines, of which that with the reason may come so much later, s."""
GONE = (
    "the process that starts the others, and ends them, has ended: somebody has killed it, or memory ran out"
)
TAIL_LINES, TAIL_BYTES = 12, 1 << 14
"""Of a log, in a message."""

NOWHERE: Message = {}
"""The place of a process that is in no pod."""

Rows = dict[str, NDArray[Any]]


class Process:
    """One that the keeper has started; `code` is negative where a signal ended it, None while it lives.

    Its `place` is as of `PodPlan.place`.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.place: Message = NOWHERE
        self.pid = 0
        self.code: int | None = None

    def tail(self) -> str:
        """The last lines that it printed."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])

    def death(self) -> MeshsimError:
        """The message that it has ended, where it should not."""
        how = ""
        if self.code is not None:
            how = f" with signal {-self.code}" if self.code < 0 else f" with code {self.code}"
        tail = self.tail()
        output = f"; its last output:\n{tail}" if tail else " without any output"
        return MeshsimError(f"{self.name} has ended{how}{output}")


class Member(Process):
    """A child of our own; what it says comes to the keeper's events.

    Attributes:
        reports: whether it sends `stats`.
    """

    reports = True

    def __init__(self, name: str, log: Path) -> None:
        super().__init__(name, log)
        self._outgoing: Outgoing | None = None

    def converse(self, incoming: int, outgoing: int, events: queue.SimpleQueue[Event]) -> None:
        """Begins to listen to it."""
        self._outgoing = Outgoing(outgoing)
        threading.Thread(target=self._listen, args=(incoming, events), daemon=True).start()

    def send(self, message: Message) -> None:
        """Tells it something, and does not wait until it hears; one that hears nothing for long is killed."""
        if self._outgoing is None or self._outgoing.send(json.dumps(message).encode() + b"\n"):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Ends the line, and so the child."""
        if self._outgoing is not None:
            self._outgoing.close()

    def _listen(self, incoming: int, events: queue.SimpleQueue[Event]) -> None:
        try:
            with open(incoming, "rb") as lines:
                for line in lines:
                    message = json.loads(line)
                    if "rows" in message:
                        message["rows"] = _payload(lines, message)
                    if "spans" in message:
                        message["spans"] = lines.read(message["spans"])
                    events.put((self, message))
        except Exception as error:  # nobody else would hear of it
            events.put((self, {"error": repr(error)}))
        self.hang_up()
        events.put((self, {"ended": True}))

    def error(self, what: str) -> MeshsimError:
        """The message that we can't read what it says."""
        return MeshsimError(f"{self.name}: {OWN_ERROR}: {what}")

    def rows(self, payload: bytes) -> Rows:
        """What it has recorded; a MeshsimError if that is no .npz.

        NOTE: one thread reads them all: NumPy reads a header with `ast.literal_eval`, which fails where
        another thread is at the same (CPython gh-106905).
        """
        if not payload:
            return {}
        try:
            with np.load(io.BytesIO(payload)) as file:
                return dict(file)
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, SystemError) as error:
            raise self.error(f"its rows can't be read: {error!r}") from error


def _payload(lines: BinaryIO, message: Message) -> bytes:
    """The rows that follow a message.

    NOTE: what a process that dies has left half written must not pass for no rows; and of the zip file that
    they are, only the members have checksums.
    """
    payload = lines.read(message["rows"])
    if len(payload) != message["rows"] or zlib.crc32(payload) != message["crc"]:
        raise ValueError("its rows are cut off or damaged")
    return payload


Event = tuple[Process, Message]
"""What a process says, or that it has ended."""


class Keeper:
    """Starts processes, and ends them with itself; `pid` is its own, not that of the watcher we start.

    `folder` for temporary files goes with it; `events` are what members say, and which processes have ended.
    """

    def __init__(self) -> None:
        if not hasattr(os, "fork"):
            raise MeshsimError("a live mesh needs fork(2): run it on Linux")
        self._line, theirs = socket.socketpair()
        command = [sys.executable, "-m", "meshsim.live.keeper"]
        # The mesh's processes do little linear algebra: threads for it only keep a fork from being clean
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=env, start_new_session=True
            )
        allow_descriptors()  # two to a member; programs keep the shell's limit
        self._asking = threading.Lock()
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._processes: dict[int, Process] = {}
        self._codes: dict[int, int] = {}
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        try:
            hello = self._answer()
            self.folder, self.pid = Path(hello["folder"]), int(hello["pid"])
        except BaseException:
            self.close()
            raise

    @property
    def watcher(self) -> int:
        """The id of the process that ends what a keeper leaves that is killed."""
        return self._process.pid

    @property
    def processes(self) -> list[Process]:
        """All that it has started."""
        return list(self._processes.values())

    @property
    def gone(self) -> bool:
        """Whether it, or its watcher, has ended: then all else has, and is not to blame."""
        return not self._reader.is_alive() or self._process.poll() is not None

    def insist(self) -> None:
        """Raises `MeshsimError` if it has ended, and its folder with it."""
        if self.gone:
            raise MeshsimError(GONE)

    def loss(self, process: Process) -> MeshsimError:
        """The message that a process has ended, where it should not; it takes note of the reason before."""
        deadline = time.monotonic() + REASON_LIMIT
        while process.code is None and not self.gone and time.monotonic() < deadline:
            time.sleep(0.005)
        return MeshsimError(GONE) if self.gone else process.death()

    # ---- starting -----------------------------------------------------------------------------------

    def warm(self, roles: Mapping[str, str], scenario: str, folder: str | None) -> None:
        """Imports and reads what all members need."""
        self._ask({"warm": list(roles.values()), "scenario": scenario, "folder": folder})

    def intercept(self, services: dict[str, str]) -> None:
        """From here on there are pods (`meshsim.live.intercept`) with these services, by address.

        MeshsimError if the system bears none.
        """
        self._ask({"intercept": list(map(str, write_names(self.folder, services)))})

    def fork(self, name: str, roles: Mapping[str, str], place: Message = NOWHERE) -> Member:
        """A child of our own (`meshsim.live.child`); its `place` is as of `PodPlan.place`."""
        member = Member(name, self._log(name))
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            with self._blames(name):
                incoming, its_outgoing = os.pipe()
                ours.callback(os.close, incoming)
                theirs.callback(os.close, its_outgoing)
                its_incoming, outgoing = os.pipe()
                ours.callback(os.close, outgoing)
                theirs.callback(os.close, its_incoming)
                log = theirs.enter_context(member.log.open("wb"))
            fds = [its_incoming, its_outgoing, log.fileno()]
            self._register(member, self._ask({"fork": dict(roles), **place}, fds), place)
            ours.pop_all()  # from here on they are its own
        member.converse(incoming, outgoing, self.events)
        return member

    def run(
        self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path | None = None,
        place: Message = NOWHERE,
    ) -> Process:  # fmt: skip
        """A program in its own session; `env` is all its environment, its `place` is as of `fork`.

        MeshsimError if it can't start.
        """
        program = Process(name, self._log(name))
        where = None if folder is None else str(folder)
        request = {"run": list(command), "env": dict(env), "folder": where, **place}
        with self._blames(name), program.log.open("ab") as log:  # it goes on at its end if it is shortened
            answer = self._ask(request, [log.fileno()])
        self._register(program, answer, place)
        return program

    @contextlib.contextmanager
    def _blames(self, name: str) -> Iterator[None]:
        """Says what it is that can't be started, and why."""
        try:
            yield
        except MeshsimError as error:
            raise MeshsimError(f"{name} can't be started: {error}") from None
        except OSError as error:
            remedy = "; allow more with ulimit -n" if error.errno == errno.EMFILE else ""
            reason = GONE if self.gone else f"{error.strerror}{remedy}"  # the folder goes with it
            raise MeshsimError(f"{name} can't be started: {reason}") from error

    def _log(self, name: str) -> Path:
        return self.folder / f"{file_name(name)}.log"

    def _register(self, process: Process, answer: Message, place: Message) -> None:
        process.place = place
        process.pid = answer["pid"]
        self._processes[process.pid] = process
        if process.pid in self._codes:  # it has ended before we knew it
            self._ended(process.pid, self._codes[process.pid])

    # ---- the line -----------------------------------------------------------------------------------

    def _ask(self, request: Message, fds: Sequence[int] = ()) -> Message:
        with self._asking:
            data = json.dumps(request).encode() + b"\n"
            try:
                sent = socket.send_fds(self._line, [data], fds)
                self._line.sendall(data[sent:])
            except OSError as error:
                raise MeshsimError(GONE) from error
            answer = self._answer()
        if "error" in answer:
            raise MeshsimError(answer["error"])
        return answer

    def _answer(self) -> Message:
        try:
            answer = self._answers.get(timeout=STARTING)
        except queue.Empty:
            raise MeshsimError(
                f"the process that starts the others has not answered for {STARTING:g} s;"
                " is the machine busy?"
            ) from None
        if "gone" in answer:
            self._answers.put(answer)
            raise MeshsimError(GONE)
        return answer

    def _listen(self) -> None:
        try:
            with self._line.makefile("rb") as lines, contextlib.suppress(OSError):
                for line in lines:
                    message = json.loads(line)
                    if "ended" in message:
                        self._ended(message["ended"], message["code"])
                    else:
                        self._answers.put(message)
        except Exception as error:  # nobody else would hear of it
            self._answers.put({"error": f"the process that starts the others: {OWN_ERROR}: {error!r}"})
        self._answers.put({"gone": True})

    def _ended(self, pid: int, code: int) -> None:
        self._codes[pid] = code
        process = self._processes.get(pid)
        if process is not None and process.code is None:
            process.code = code
            self._codes.pop(pid, None)  # the next one may have the same number
            if not isinstance(process, Member):  # a member ends its line itself, after all it said
                self.events.put((process, {"ended": True}))

    # ---- ending -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends every process and removes the folder; returns when nothing is left."""
        for process in self._processes.values():
            if isinstance(process, Member):
                process.hang_up()
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        self._wait_for_end()
        if self._process.returncode != 0:
            self._clean_up_for_it()
        self._reader.join(1.0)
        self._line.close()

    def _wait_for_end(self) -> None:
        """Waits until keeper and watcher have ended; one that doesn't, as it is stopped, is killed."""
        for process in (getattr(self, "pid", None), self.watcher):
            try:
                self._process.wait(ENDING)
                return
            except subprocess.TimeoutExpired:
                if process is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                self._process.send_signal(signal.SIGCONT)  # the watcher kills what that one leaves
        self._process.wait()

    def _clean_up_for_it(self) -> None:
        """Somebody has killed the watcher: what the keeper has not done by now is ours."""
        for process in self._processes.values():
            if process.code is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)
