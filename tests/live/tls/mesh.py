"""Two proxies with mTLS between them, on the loop of one test: the client's, and that of cart's replica."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from meshsim.live.child import Addresses, Spec
from meshsim.live.roles.proxy import Proxy
from meshsim.live.tls.context import Credentials, Tls
from meshsim.live.tls.entrance import Entrance
from meshsim.scenario.model import Scenario
from tests.live.proxy.ends import HOST, Client, Message, Upstream, settle
from tests.live.proxy.rig import Rig
from tests.live.tls.pki import Authority


class Pair:
    """The two, and the application behind them."""

    def __init__(self, caller: Rig, callee: Rig, app: Upstream, authority: Authority) -> None:
        self.caller = caller
        self.callee = callee
        self.app = app
        self.authority = authority
        self.mode = "strict"

    @property
    def port(self) -> int:
        """Of the callee's inbound listener."""
        return int(self.callee.ports["inbound"])

    @property
    def client(self) -> Tls:
        """The caller's TLS."""
        return tls_of(self.caller.proxy)

    @property
    def server(self) -> Tls:
        """The callee's TLS."""
        return tls_of(self.callee.proxy)

    @property
    def entrance(self) -> Entrance:
        """What lets callers in."""
        found = self.callee.proxy.listening["inbound"].entrance
        assert found is not None
        return found

    async def ask(self, **request: Any) -> Message:
        """One request through both proxies."""
        return await self.caller.ask(**request)

    def drop_idle(self) -> None:
        """The next request needs a new connection."""
        for cluster in self.caller.clusters():
            for host in cluster.hosts:
                while host.pool is not None and host.pool.top is not None:
                    host.pool.keeper.lose(host.pool.top, 0, self.caller.proxy.clock.now())

    async def refused(self, reason: str, count: int = 1) -> None:
        """Waits until the callee has refused so many for this reason, and nobody for another."""
        refused = self.server.server.refused
        with contextlib.suppress(AssertionError):
            await settle(lambda: refused[reason] >= count, f"{reason} is counted")
        assert dict(+refused) == {reason: count}

    async def still_serves(self) -> None:
        """A good request passes, over a new connection, and nothing has come to the application before."""
        before = len(self.app.requests)
        self.drop_idle()
        assert (await self.ask()).status == 200
        assert len(self.app.requests) == before + 1

    async def stranger(self) -> Client:
        """A connection to the callee of somebody with raw bytes."""
        client = Client(*await asyncio.open_connection(HOST, self.port))
        self.callee.clients.append(client)
        return client


def tls_of(proxy: Proxy) -> Tls:
    assert proxy.tls is not None
    return proxy.tls


@contextlib.asynccontextmanager
async def pair(
    *, caller: Credentials | None = None, callee: Credentials | None = None, mode: str = "strict",
    authority: Authority | None = None, app: Upstream | None = None, **scenario: Any,
) -> AsyncIterator[Pair]:  # fmt: skip
    """Both running, with good credentials where none are given; `mode` of Pair may be changed."""
    authority = authority or Authority()
    app = app or Upstream()
    written = Scenario.model_validate(
        {
            "duration": "1h",
            "services": {"cart": {}},
            "load": [{"to": "cart", "rate": "1/s"}],
            "mesh": {"dataplane": "sidecar", "mtls": {"mode": mode}},
            **scenario,
        }
    )
    with TemporaryDirectory() as folder:
        rigs = []
        for id in ("client/0", "cart/0"):
            log = Path(folder) / f"{id[:4]}.jsonl"
            rigs.append(Rig(Proxy(Spec("proxy", id, written, 7, HOST, True, log)), [], log))
        client, cart = rigs
        both = Pair(client, cart, app, authority)
        both.mode = mode
        tls_of(client.proxy).renew(caller or authority.leaf("client"))
        tls_of(cart.proxy).renew(callee or authority.leaf("cart"))
        try:
            for rig in rigs:
                rig.ports = await rig.proxy.listen()
            both.entrance.mode = lambda: both.mode
            cart.upstreams.append(app)
            await cart.proxy.connect(Addresses({}, (HOST, await app.open()), {}))
            await client.proxy.connect(Addresses({"cart/0": (HOST, both.port)}, None, {}))
            for rig in rigs:
                rig.proxy.start(time.monotonic())
            yield both
        finally:  # uvloop's `close` never ends where a server is left open, so nothing may keep one from it
            async with contextlib.AsyncExitStack() as ends:
                for rig in reversed(rigs):
                    ends.push_async_callback(rig.close)
