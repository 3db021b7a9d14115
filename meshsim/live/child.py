"""A process of the mesh, as it talks to the launcher: JSON lines on its standard input and output.

    launcher ── spec ──────────► child      who it is, and the scenario
    launcher ◄── listening ───── child      on which ports
    launcher ── addresses ─────► child      of all the others
    launcher ◄── ready ───────── child
    launcher ── start ─────────► child      when scenario time 0 is, on the monotonic clock
    launcher ◄── stats, done ─── child      twice a second; a load generator when its load is over
    launcher ◄── spans ───────── child      with the stats, if they are wanted; the last after stop
    launcher ◄── … ──────────► child        what a control plane and a cluster have to say to each other
    launcher ── stop ──────────► child
    launcher ◄── cpu, troubles ─ child      what it has used, and what went wrong in it
    launcher ◄── rows ────────── child      what it has recorded, as an .npz; then it exits

The end of standard input means that the launcher is gone, however it went, and ends the child at once. Ctrl-C
is the launcher's to decide on, so children ignore it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import os
import select
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live import Address, Message
from meshsim.live.loops import new_loop
from meshsim.live.referral import Referral
from meshsim.live.spans import SpanFeed
from meshsim.live.troubles import look_for_descriptors, troubles, watch
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario

STATS_INTERVAL = 0.5
"""Between two reports, s."""
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Spec:
    """Who a child is: its role, and its id (a proxy has that of its replica).

    It listens on `host`; `keep` says whether rows are wanted in the end; `context` names the header by which
    calls are known, a secret of the run (`meshsim.live.context`). Replicas that nobody had foreseen are
    `extra`, as in a `Topology`; `control` is for the control plane alone. In a pod of its own
    (`meshsim.live.intercept`), `services` are all services by their addresses there. `spans` says that spans
    are wanted as they come.
    """

    role: str
    id: str
    scenario: Scenario
    seed: int
    host: str
    keep: bool
    access_log: Path | None
    context: str = "x-meshsim"
    extra: list[tuple[str, str]] = field(default_factory=list)
    control: Message = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    spans: bool = False

    @classmethod
    def of(cls, message: Message) -> Spec:
        """The launcher's first line."""
        text, folder, log = (message.pop(name) for name in ("scenario", "folder", "access_log"))
        message["extra"] = [(service, version) for service, version in message.get("extra", ())]
        return cls(
            **message, scenario=scenario_of(text, folder), access_log=None if log is None else Path(log)
        )


@lru_cache(maxsize=1)
def scenario_of(text: str, folder: str | None) -> Scenario:
    """The scenario of a spec; the keeper has read it before its children are born, who then share it."""
    return loads(text, folder=None if folder is None else Path(folder))


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everybody is: replicas by id, as callers reach them, and upstreams by service (`urls`).

    `app` is the application of its own replica; None for the client. `enrolment` is for those who have an
    identity, `following` for proxies of ours. Who joins a mesh that runs learns when scenario time 0 was:
    `base`. `control` is for the control plane.
    """

    replicas: dict[str, Address]
    app: Address | None
    urls: dict[str, str]
    enrolment: Referral | None = None
    following: Referral | None = None
    base: float | None = None
    control: Message = field(default_factory=dict)

    @classmethod
    def of(cls, message: Message) -> Addresses:
        """The addresses of the launcher's second line."""
        app = message["app"]
        replicas = {name: (host, port) for name, (host, port) in message["addresses"].items()}
        return cls(
            replicas, None if app is None else (app[0], app[1]), message["urls"],
            Referral.of(message.get("enrolment")), Referral.of(message.get("following")),
            message.get("base"), message.get("control", {}),
        )  # fmt: skip


class Role:
    """What a child does; `done` is set when its work is over, None for those who serve until stopped.

    By `tell` it tells the launcher something.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.done: asyncio.Event | None = None
        self.feed: SpanFeed | None = None
        self.tell: Callable[[Message], None] = lambda message: None

    async def listen(self) -> dict[str, Any]:
        """Binds its ports, and says which."""
        return {}

    async def connect(self, addresses: Addresses) -> None:
        """Learns where the others are; returns when it is ready."""

    def start(self, base: float) -> None:
        """Scenario time 0 is (or was) at `base` of the monotonic clock, s."""

    def hear(self, message: Message) -> None:
        """The launcher tells it something, while the mesh runs."""

    def stats(self) -> Message | None:
        """What it reports twice a second; None for nothing."""
        return None

    def rows(self) -> Mapping[str, NDArray[Any]]:
        """What it has recorded, at the end."""
        return {}

    def close(self) -> None:
        """Finishes the files that it writes."""


class Channel:
    """The line to the launcher, over a pair of descriptors; `inbox` has what came."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._incoming = incoming
        self._outgoing = outgoing
        self._partial = b""
        self._unsent = memoryview(b"")
        self._loop: asyncio.AbstractEventLoop | None = None

    def wait(self) -> Message:
        """The next message, before there is a loop; the process ends if none will come."""
        while self.inbox.empty():
            self._receive()
        return self.inbox.get_nowait()

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the loop receive and send from here on."""
        loop.add_reader(self._incoming, self._receive)
        self._loop = loop
        os.set_blocking(self._outgoing, False)

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Sends a message, and what follows its line; waits until the launcher takes it."""
        self._unsent = memoryview(bytes(self._unsent) + _line(message) + payload)
        self._write()
        while self._unsent:
            select.select([], [self._outgoing], [])
            self._write()

    @property
    def free(self) -> bool:
        """Whether all has been taken."""
        return not self._unsent

    def offer(self, message: Message, payload: bytes = b"") -> None:
        """Sends a message, unless the last is not taken yet: a stopped launcher must not stop the mesh."""
        if not self._unsent:
            self._unsent = memoryview(_line(message) + payload)
            self._write()
            if self._unsent and self._loop is not None:
                self._loop.add_writer(self._outgoing, self._write)

    def _write(self) -> None:
        """Writes what the launcher takes at once."""
        with _gone(), contextlib.suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[os.write(self._outgoing, self._unsent) :]
        if not self._unsent and self._loop is not None:
            self._loop.remove_writer(self._outgoing)

    def _receive(self) -> None:
        with _gone():
            chunk = os.read(self._incoming, CHUNK_BYTES)
            if not chunk:
                raise BrokenPipeError
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self.inbox.put_nowait(json.loads(line))


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """Ends the process where the launcher turns out to have ended."""
    try:
        yield
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)


def _line(message: Message) -> bytes:
    return json.dumps(message, allow_nan=False).encode() + b"\n"


def private_channel() -> Channel:
    """The channel over standard input and output, nobody else's from here on: prints go to stderr."""
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return Channel(incoming, outgoing)


class Child:
    """Takes a role through its phases."""

    def __init__(self, role: Role, channel: Channel) -> None:
        self._role = role
        self._channel = channel
        role.tell = channel.send

    async def live(self) -> None:
        """From listening to the rows."""
        role, channel = self._role, self._channel
        channel.listen(asyncio.get_running_loop())
        channel.send({"listening": await role.listen()})
        await role.connect(Addresses.of(await channel.inbox.get()))
        collect_seldom()
        channel.send({"ready": True})
        reports = [asyncio.ensure_future(self._report()), asyncio.ensure_future(self._await_done())]
        began = time.process_time()
        while "stop" not in (message := await channel.inbox.get()):
            if "start" in message:
                began = time.process_time()
                role.start(message["start"])
            else:
                role.hear(message)
        channel.send({"cpu": time.process_time() - began})
        for report in reports:
            report.cancel()
        role.close()
        if role.feed is not None and role.spec.spans:
            channel.send(*_spans(role.feed))
        channel.send({"troubles": dict(troubles)})
        payload = packed(role.rows()) if role.spec.keep else b""
        channel.send({"rows": len(payload), "crc": zlib.crc32(payload)}, payload)

    async def _report(self) -> None:
        while True:  # at once: whoever waits for all to settle must know of all
            look_for_descriptors()
            stats = self._role.stats()
            message, payload = {} if stats is None else {"stats": stats}, b""
            feed = self._role.feed
            if feed is not None and self._channel.free:
                more, payload = _spans(feed)
                message |= more
            elif feed is not None:
                feed.hold()
            if message:
                self._channel.offer(message, payload)
            await asyncio.sleep(STATS_INTERVAL)

    async def _await_done(self) -> None:
        if self._role.done is not None:
            await self._role.done.wait()
            self._channel.send({"done": True})


def _spans(feed: SpanFeed) -> tuple[Message, bytes]:
    """The message that brings new spans, and what follows it; an empty one if there are none."""
    payload, lost = feed.take(), feed.lost
    feed.lost = 0
    return ({"spans": len(payload), "lost": lost} if payload or lost else {}), payload


def collect_seldom() -> None:
    """Has Python look for unreachable circles seldom, and never among the objects that are there now.

    NOTE: a request makes none (tests/live/test_garbage.py), so the collector only makes requests wait.
    Libraries may make some, so it is not switched off.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100 * gc.get_threshold()[0])


def packed(rows: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as an .npz."""
    file = io.BytesIO()
    np.savez(file, **rows)  # type: ignore[arg-type]  # its stub takes a keyword of its own for an array
    return file.getvalue()


ROLES = {
    "proxy": "meshsim.live.roles.proxy:Proxy",
    "service": "meshsim.live.roles.service:Service",
    "load": "meshsim.live.roles.load:LoadGenerator",
    "control_plane": "meshsim.live.roles.control_plane:ControlPlane",
}
"""Where the class of each role is; only the process that plays it imports it."""


def main(roles: Mapping[str, str] = ROLES) -> None:
    """Lives one child's life on standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    channel = private_channel()
    spec = Spec.of(channel.wait())
    loop = new_loop()
    asyncio.set_event_loop(loop)
    watch(loop)
    role = resolve_name(roles[spec.role])(spec)
    try:
        loop.run_until_complete(Child(role, channel).live())
    finally:
        sys.stderr.flush()
        loop.close()
