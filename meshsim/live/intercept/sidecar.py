"""A sidecar's end of its pod: sockets made in the pod's network, and what comes of redirected connections.

| a connection to | its first bytes | becomes |
|---|---|---|
| a service that the program may call | like HTTP | a connection of that service's listener |
| any other address | like HTTP | requests by their Host, and an answer that names the address (502) |
| any | nothing for `SILENCE` s, or not like HTTP | an answer in words, and the end |

The address decides, then the Host: so a program that finds addresses by itself is understood too. An address
that is no service is refused, as with Istio's REGISTRY_ONLY: a scenario says all that there is to call.

Source: Linux, SO_ORIGINAL_DST (netfilter_ipv4.h); Istio, outboundTrafficPolicy.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from meshsim.live import Address
from meshsim.live.intercept import namespaces
from meshsim.live.intercept.addresses import POD_HOST
from meshsim.live.intercept.network import OUTBOUND_PORT
from meshsim.live.intercept.pods import NETWORK_FD
from meshsim.live.proxy.listener import Listener
from meshsim.live.proxy.local_replies import PLAIN
from meshsim.live.servers import BACKLOG
from meshsim.live.troubles import trouble
from meshsim.live.wire import Handler, Limits, RequestHead, ServerConnection, ServerStream
from meshsim.live.wire.answering import NOBODY
from meshsim.live.wire.write import response_head
from meshsim.policies.outcome import NR

SO_ORIGINAL_DST = 80
SILENCE = 10.0
"""How long a redirected connection may say nothing before its first byte, s."""
CLOSE = b"connection: close\r\n"
TLS_HANDSHAKE = b"\x16"


class PodNetwork:
    """Makes sockets in the network of the pod, by a thread that is in it."""

    def __init__(self) -> None:
        self._inside = ThreadPoolExecutor(1, "pod", namespaces.enter, (NETWORK_FD, namespaces.NEW_NETWORK))

    async def socket(self) -> socket.socket:
        """A new one for TCP, which does not block."""
        found = await asyncio.get_running_loop().run_in_executor(self._inside, socket.socket)
        found.setblocking(False)
        return found

    async def connect(self, protocol: asyncio.Protocol, address: Address) -> None:
        """Connects a protocol to an address in the pod; raises `OSError`."""
        loop = asyncio.get_running_loop()
        made = await self.socket()
        try:
            await loop.sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        await loop.create_connection(lambda: protocol, sock=made)


class Interception:
    """What comes from the program of a pod, which is a `caller` of `services`: their listeners, by name.

    `names` are those of all services, by address; `others` finds requests by their Host.
    """

    def __init__(
        self, caller: str, names: Mapping[str, str], services: Mapping[str, Listener], others: Listener
    ) -> None:
        self.caller = caller
        self.names = names
        self.services = services
        self.others = others
        self.limits = Limits()

    async def listen(self, pod: PodNetwork) -> None:
        """Listens where the pod's calls are redirected to; raises `OSError`."""
        loop = asyncio.get_running_loop()
        listening = await pod.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((POD_HOST, OUTBOUND_PORT))
        await loop.create_server(lambda: Redirected(self), sock=listening, backlog=BACKLOG)

    def handler(self, host: str, port: int) -> Handler:
        """Who serves a connection that was meant for an address."""
        service = self.names.get(host, "")
        if service in self.services:
            return self.services[service]
        if not service:
            trouble(f"the program of {self.caller} called an address that is no service: see its access log")
            words = f"{host}:{port} is no service of the scenario, and a mesh with --intercept calls no other"
        else:
            words = f"the scenario has no call from {self.caller} to {service}: write it into its script"
        return Elsewhere(self.others, words.encode() + b"\n")


class Elsewhere(Handler):
    """Serves a connection whose address leads nowhere: by the Host of each request, or in words."""

    def __init__(self, others: Listener, words: bytes) -> None:
        self.others = others
        self.words = words

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        if head.host.partition(b":")[0] in self.others.routes:
            return self.others.begin(connection, head, body, whole)
        self.others.reply(connection, head, 502, NR, PLAIN, self.words)
        return NOBODY

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        self.others.refused(connection, status, why)

    def opened(self, connection: ServerConnection) -> None:
        self.others.opened(connection)

    def closed(self, connection: ServerConnection) -> None:
        self.others.closed(connection)


class Redirected(asyncio.Protocol):
    """A redirected connection until its first byte."""

    transport: asyncio.Transport

    def __init__(self, interception: Interception) -> None:
        self.interception = interception
        self.ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.timer = asyncio.get_running_loop().call_later(
            SILENCE, self._refuse, 408, f"a sidecar carries HTTP/1.1 only; nothing was asked in {SILENCE:g} s"
        )

    def data_received(self, data: bytes) -> None:
        self.timer.cancel()
        if self.ending:
            return
        if foreign := other_protocol(data):
            self._refuse(400, f"a sidecar carries HTTP/1.1 only, and this is {foreign}")
            return
        handler = self.interception.handler(*meant(self.transport))
        connection = ServerConnection(handler, self.interception.limits)
        self.transport.set_protocol(cast(asyncio.BaseProtocol, connection))
        connection.connection_made(self.transport)
        connection.data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.timer.cancel()

    def _refuse(self, status: int, words: str) -> None:
        body = f"{words}\n".encode()
        self.transport.write(response_head(status, PLAIN, len(body), CLOSE) + body)
        self.transport.write_eof()  # a close now could lose what was written
        self.ending = True
        self.timer = asyncio.get_running_loop().call_later(
            self.interception.limits.linger, self.transport.abort
        )


def other_protocol(data: bytes) -> str:
    """What a connection that begins so speaks, where that can't be HTTP/1.1; else nothing."""
    line, whole, _ = data.lstrip(b"\r\n").partition(b"\n")
    if line.startswith(TLS_HANDSHAKE):
        return "TLS"
    if line.startswith(b"PRI * HTTP/2"):
        return "HTTP/2"
    printable = all(0x20 <= byte < 0x7F for byte in line.rstrip(b"\r"))
    return "" if printable and (b" HTTP/1." in line or not whole) else "another protocol"


def meant(transport: asyncio.Transport) -> tuple[str, int]:
    """The address that a redirected connection was meant for."""
    found = transport.get_extra_info("socket").getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    _, port, packed = struct.unpack("!HH4s8x", found)
    return socket.inet_ntoa(packed), port
