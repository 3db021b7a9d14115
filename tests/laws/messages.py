"""Law (i): messages on which RFC 9110 and 9112 have a word: which are passed on, and as what.

Measured are the status of the answer, and the first line and the Max-Forwards that the host got. Where Envoy
does not do what the RFCs say, the case leaves it open (``?``), and docs/background/laws.md has the story.
"""

from __future__ import annotations

import asyncio
import contextlib

from findings import Finding
from subjects import Service, Subject
from traffic import LOOPBACK, Host

LAW = "messages"
CHUNKED = "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
CASES = [
    ("OPTIONS, Max-Forwards: 0", "OPTIONS / HTTP/1.1", "max-forwards: 0\r\n\r\n", "200, ?"),
    ("OPTIONS, Max-Forwards: 1", "OPTIONS / HTTP/1.1", "max-forwards: 1\r\n\r\n", "200, ?"),
    ("TRACE, Max-Forwards: 0", "TRACE / HTTP/1.1", "max-forwards: 0\r\n\r\n", "200, ?"),
    ("TRACE, Max-Forwards: 1", "TRACE / HTTP/1.1", "max-forwards: 1\r\n\r\n", "200, ?"),
    ("GET, Max-Forwards: 0", "GET / HTTP/1.1", "max-forwards: 0\r\n\r\n", "200, GET / 0"),
    ("OPTIONS *", "OPTIONS * HTTP/1.1", "\r\n", "?, ?"),
    ("OPTIONS http://laws", "OPTIONS http://laws HTTP/1.1", "\r\n", "200, ?"),
    ("100 trailers", "POST / HTTP/1.1", CHUNKED + "a: b\r\n" * 100 + "\r\n", "200, POST /"),
    ("1000 trailers", "POST / HTTP/1.1", CHUNKED + "a: b\r\n" * 1000 + "\r\n", "?, ?"),
]  # fmt: skip
PATIENCE = 5.0


class Noting(Host):
    """A host that notes what it gets, and answers."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.address = self._server.sockets[0].getsockname()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            left = [line.partition(": ")[2] for line in lines if line.lower().startswith("max-forwards:")]
            self.got.append(" ".join([*first.split()[:2], *left]))
            if "chunked" in head:
                await reader.readuntil(b"0\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


async def measure(subject: Subject) -> list[Finding]:
    """Sends each message on a connection of its own."""
    host = Noting()
    findings = []
    async with subject.run({"laws": Service.of({}, host)}) as running:
        for name, first, rest, expected in CASES:
            host.got.clear()
            reader, writer = await asyncio.open_connection(LOOPBACK, running.urls["laws"])
            writer.write(f"{first}\r\nhost: laws\r\n{rest}".encode())
            async with asyncio.timeout(PATIENCE):
                status = int((await reader.readuntil(b"\r\n")).split()[1])
            writer.close()
            measured = str(status), ", ".join(host.got) or "not passed on"
            pairs = zip(expected.split(", "), measured, strict=True)
            agrees = all(meant in ("?", found) for meant, found in pairs)
            findings.append(Finding(LAW, name, expected, ", ".join(measured), agrees))
    return findings
