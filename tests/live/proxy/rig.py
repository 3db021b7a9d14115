"""A proxy between scripted upstreams and a client of raw bytes, all of them on the loop of one test.

Whatever a test does, in the end every gauge of the proxy must be back at 0, its books must agree with its
sockets, and no descriptor may be left open.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from meshsim.live.child import Addresses, Spec
from meshsim.live.loops import new_loop
from meshsim.live.proxy.exchange import Exchange
from meshsim.live.proxy.listener import Listener
from meshsim.live.roles.proxy import Proxy
from meshsim.live.transport import SocketTransport
from meshsim.live.wire import ClientConnection, ServerConnection
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.disruption import Disruption
from meshsim.scenario.events import on_clock
from meshsim.scenario.model import Event, Scenario
from tests.live.processes import closed_port
from tests.live.proxy.ends import HOST, Client, Message, Upstream, settle

PATIENCE = 120.0
"""Of a test, s: it ends those that hang, and no other, however busy the machine is."""


def live(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a test on a loop of its own; it may not hang, nor leave descriptors or tracebacks behind."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        before = descriptors()
        errors: list[Any] = []
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
            runner.run(asyncio.wait_for(_cleanly(test(*args, **kwargs), before), PATIENCE))
        # the ends' streams may not have been told of a reset before they are collected
        errors = [each for each in errors if not isinstance(each.get("exception"), ConnectionError)]
        assert not errors, errors

    return run


async def _cleanly(test: Awaitable[None], before: int) -> None:
    started = descriptors() - before  # the loop's own
    try:
        await test
    finally:  # uvloop's `close` never ends where a test that failed has left a server open
        for upstream in list(Upstream.listening):
            await upstream.close()
    gc.collect()
    await settle(lambda: descriptors() - before <= started, "descriptors are closed")


def descriptors() -> int:
    """How many this process has open; libuv's spare /dev/null aside."""
    found = 0
    for name in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found += str(name.readlink()) != os.devnull
    return found


# ---- the proxy ----------------------------------------------------------------------------------------


class Rig:
    """A proxy and what surrounds it.

    Attributes:
        ports: where it listens.
        upstreams: the replicas of `cart`.
    """

    def __init__(self, proxy: Proxy, upstreams: list[Upstream], log: Path) -> None:
        self.proxy = proxy
        self.upstreams = upstreams
        self.ports: dict[str, Any] = {}
        self.clients: list[Client] = []
        self.log_file = log

    @property
    def upstream(self) -> Upstream:
        """The first."""
        return self.upstreams[0]

    @property
    def seen(self) -> list[Message]:
        """Requests that all upstreams have got, in order of time."""
        return sorted((each for one in self.upstreams for each in one.requests), key=lambda each: each.at)

    async def client(self, listener: str = "outbound", port: int | None = None) -> Client:
        """Connects to a listener of the proxy."""
        port = port or self.ports["urls"].get(listener) or self.ports[listener]
        client = Client(*await asyncio.open_connection(HOST, port))
        self.clients.append(client)
        return client

    async def ask(self, method: str = "GET", listener: str = "outbound", **request: Any) -> Message:
        """One request over a connection of its own."""
        client = await self.client(listener)
        try:
            return await client.ask(method, **request)
        finally:
            client.close()

    async def burst(self, count: int, **request: Any) -> list[Message]:
        """So many at once, each over a connection of its own that is open before the first is sent."""
        clients = [await self.client() for _ in range(count)]
        try:
            return list(await asyncio.gather(*(client.ask(**request) for client in clients)))
        finally:
            for client in clients:
                client.close()

    def log(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        assert self.proxy.log is not None
        self.proxy.log.flush()
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    async def logged(self, count: int = 1) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        await settle(lambda: len(self.log()) >= count, f"the access log has {count} lines")
        lines = self.log()
        assert len(lines) == count, lines
        return lines

    async def outcome(self) -> tuple[int, str, int, int]:
        """Of the only request so far: status, flags and attempts in the log, and requests seen upstream."""
        (line,) = await self.logged()
        return line["response_code"], line["response_flags"], line["attempt_count"], len(self.seen)

    def clusters(self) -> list[Cluster]:
        """Of all routes."""
        routes = [route.mesh_route for route in self.proxy.routes.values()]
        if self.proxy.inward is not None:
            routes.append(self.proxy.inward.mesh_route)
        return [cluster for route in routes for cluster in route.policy.clusters]

    def transports(self) -> list[SocketTransport]:
        inner = [self.proxy.inner] if self.proxy.inward is not None else []
        return [self.proxy.transport, *inner]

    def busy(self) -> dict[str, int]:
        """Every gauge that is not 0."""
        found: dict[str, int] = {}
        for cluster in self.clusters():
            breaker = cluster.breaker
            for name in ("active", "pending", "retries"):
                found[name] = found.get(name, 0) + getattr(breaker, name)
            idle = sum(host.idle for host in cluster.hosts)
            found["not idle"] = found.get("not idle", 0) + breaker.connections - idle
            for host in cluster.hosts:
                found[host.name] = host.active + host.pending + host.opening + host.connections - host.idle
        found["idle"] = len(self.idle()) - sum(
            host.idle for cluster in self.clusters() for host in cluster.hosts
        )
        return {name: number for name, number in found.items() if number}

    def served(self) -> list[ServerConnection]:
        """Connections of clients that the proxy has open."""
        listeners = [one.handler for one in self.proxy.listening.values()]
        return [each for one in listeners if isinstance(one, Listener) for each in one.connections]

    def connections(self) -> list[ClientConnection]:
        """Connections to upstreams on which requests are being sent with their bodies still coming."""
        streams = [each.stream for each in self.served()]
        uploads = [
            each.upstream for each in streams if isinstance(each, Exchange) and each.upstream is not None
        ]
        return [each.connection for each in uploads if each.connection is not None]

    def idle(self) -> list[ClientConnection]:
        """Connections to upstreams that serve nobody."""
        pools = [pool for one in self.transports() for pool in one.pools.values()]
        return [each for pool in pools for each in (*pool.idle, *pool.tracked())]

    async def at_rest(self) -> None:
        """Waits until nothing is under way in the proxy."""
        await settle(lambda: not self.busy(), "all gauges are 0")

    async def close(self) -> None:
        """Ends all of it, and looks whether anything is left."""
        try:
            for client in self.clients:
                client.close()
            await settle(lambda: not self.served(), "the proxy closes its clients' connections")
            try:
                await self.at_rest()
            except AssertionError as error:
                raise AssertionError(f"{error}: {self.busy()}") from None
        finally:
            for transport in self.transports():
                transport.close()
            for one in self.proxy.listening.values():
                one.close()
            for upstream in self.upstreams:
                await upstream.close()
            self.proxy.close()
            self.proxy.clock.close()


class Push(Disruption):
    """What a control plane would send: the policies after a `set` event."""

    def __init__(self, proxy: Proxy, number: int) -> None:
        self.proxy = proxy
        self.number = number

    def begin(self, now: float) -> None:
        self.proxy.configured.apply(self.proxy.spec.scenario.policies_after(self.number), now)

    def end(self, now: float) -> None:
        raise AssertionError("what is set stays set")


def pushes(proxy: Proxy, number: int, event: Event) -> Iterator[Disruption]:
    """What an event of a proxy's scenario pushes: here nobody else does."""
    if event.set:
        yield Push(proxy, number)


@contextlib.asynccontextmanager
async def proxied(
    *upstreams: Upstream,
    id: str = "client/0",
    policy: Mapping[str, Any] | None = None,
    versions: tuple[str, ...] = (),
    app: Upstream | None = None,
    refusing: int = 0,
    start: float | None = 0.0,
    context: str = "x-meshsim",
    **scenario: Any,
) -> AsyncIterator[Rig]:
    """A running proxy.

    Args:
        upstreams: replicas of `cart`, which client and frontend call; one, if none are given.
        id: whose proxy it is.
        policy: of `cart`.
        versions: of `cart`: one for each upstream.
        app: the proxy's own application.
        refusing: more replicas of `cart`, at which nobody listens.
        context: name of the header by which calls are known.
        start: scenario time 0, from now, s; None leaves the start to the test.
        scenario: further keys of it.
    """
    given = list(upstreams) or ([] if refusing else [Upstream()])
    cart = {"versions": {name: {} for name in versions}} if versions else {"replicas": len(given) + refusing}
    written = Scenario.model_validate(
        {
            "duration": "1h",
            "services": {"frontend": {"script": [{"call": "cart"}]}, "cart": cart},
            "policies": {"cart": dict(policy or {})},
            "load": [{"to": "cart", "rate": "1/s"}, {"to": "frontend", "rate": "1/s"}],
            "mesh": {"dataplane": "sidecar"},
            **scenario,
        }
    )
    with contextlib.ExitStack() as held:
        folder = held.enter_context(TemporaryDirectory())
        log = Path(folder) / "access.jsonl"
        proxy = Proxy(Spec("proxy", id, written, 7, HOST, True, log, context))
        rig = Rig(proxy, given, log)
        try:
            rig.ports = await proxy.listen()
            names = [f"cart/{name}/0" for name in versions] or [
                f"cart/{n}" for n in range(len(given) + refusing)
            ]
            ports = [await one.open() for one in given]
            ports += [held.enter_context(closed_port()) for _ in range(refusing)]
            addresses = {name: (HOST, port) for name, port in zip(names, ports, strict=True)}
            if app is not None:
                given.append(app)
            own = None if app is None else (HOST, await app.open())
            await proxy.connect(Addresses({**addresses, "frontend/0": own or (HOST, 9)}, own, {}))
            if start is not None:
                proxy.start(time.monotonic() + start)
            on_clock(proxy.clock, written.events, lambda number, event: pushes(proxy, number, event))
            yield rig
        finally:
            await rig.close()
