"""Small roles in place of the real ones: they serve, forward and load just enough to be started and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live import Message
from meshsim.live.child import Addresses, Role, Spec

HERE = "tests.live.fakes"
ROLES = {"proxy": f"{HERE}:Proxy", "service": f"{HERE}:Service", "load": f"{HERE}:Load"}


async def serve(host: str, answer: bytes) -> tuple[asyncio.Server, int]:
    """A server that answers every request alike."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(quietly, host, 0)
    return server, server.sockets[0].getsockname()[1]


class Service(Role):
    """Says its name."""

    served = 0

    async def listen(self) -> dict[str, Any]:
        self.server, port = await serve(self.spec.host, self.spec.id.encode())
        return {"port": port}

    def stats(self) -> Message:
        return {"active": 0}

    def rows(self) -> Mapping[str, NDArray[Any]]:
        return {"served": np.arange(3)}


class Proxy(Role):
    """Listens everywhere, and pipes what comes inbound to its application."""

    async def listen(self) -> dict[str, Any]:
        spec = self.spec
        caller = spec.id.partition("/")[0]
        self.urls = {}
        self.targets: dict[str, tuple[str, int]] = {}
        for edge, service in spec.scenario.edges():
            if edge == caller:
                server = await asyncio.start_server(self.piping(service), spec.host, 0)
                self.urls[service] = server.sockets[0].getsockname()[1]
        inbound = None
        if caller != "client":
            server = await asyncio.start_server(self.piping("app"), spec.host, 0)
            inbound = server.sockets[0].getsockname()[1]
        _, outbound = await serve(spec.host, b"outbound")
        _, admin = await serve(spec.host, b"ready")
        return {"inbound": inbound, "outbound": outbound, "admin": admin, "urls": self.urls}

    def piping(self, service: str) -> Any:
        async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(*self.targets[service])
            copies = [copy(reader, back), copy(there, writer)]
            await asyncio.gather(*copies)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        return pipe

    async def connect(self, addresses: Addresses) -> None:
        for id_, address in addresses.replicas.items():
            self.targets.setdefault(id_.partition("/")[0], address)
        if addresses.app is not None:
            self.targets["app"] = addresses.app


class Load(Role):
    """Asks each entry ten times, then is done."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.done = asyncio.Event()
        self.answers: list[bytes] = []
        self.began: list[float] = []

    async def connect(self, addresses: Addresses) -> None:
        self.urls = addresses.urls

    def start(self, base: float) -> None:
        self.base = base
        self.task = asyncio.ensure_future(self.run())

    async def run(self) -> None:
        await asyncio.sleep(self.base - time.monotonic())
        for service, url in self.urls.items():
            host, _, port = url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            for _ in range(10):
                self.began.append(time.monotonic() - self.base)
                writer.write(f"GET / HTTP/1.1\r\nhost: {service}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"content-length:")[2].split()[0])
                self.answers.append(await reader.readexactly(length))
            writer.close()
        assert self.done is not None
        self.done.set()

    def rows(self) -> Mapping[str, NDArray[Any]]:
        return {"start": np.array(self.began), "answer": np.array(self.answers)}
