"""A proxy's memory over a million requests: flat, or it leaks.

    python tests/benchmarks/bench_memory_live.py [--requests N] [--connections N]

Every kind of end takes part: answers, answers that stream, retries, broken connections, clients that go,
heads that are no heads. Told is the proxy's memory after each tenth; the first tenth is what it takes to warm
up. The proxy keeps no rows, as on a long run, and writes its access log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parents[2]))

from meshsim.live.loops import new_loop
from tests.live.proxy.children import HOST, Child

SMALL = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
PARTS = 10


class Upstream(asyncio.Protocol):
    """Does by turns what upstreams do."""

    served = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while b"\r\n\r\n" in self.data:
            _, _, self.data = self.data.partition(b"\r\n\r\n")
            Upstream.served += 1
            self.answer(Upstream.served)

    def answer(self, number: int) -> None:
        """One request's."""
        if number % 50 == 0:
            self.transport.write(BUSY)
        elif number % 101 == 0:
            self.transport.abort()
        elif number % 10 == 0:
            self.transport.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(3):
                self.transport.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            self.transport.write(b"0\r\n\r\n")
        else:
            self.transport.write(SMALL)


async def client(port: int, requests: int, told: Counter[bytes]) -> None:
    """So many requests over one connection, and another where that has ended."""
    number = 0
    while number < requests:
        reader, writer = await asyncio.open_connection(HOST, port)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while number < requests:
                number += 1
                if number % 203 == 0:
                    writer.write(b"no head\r\n\r\n")
                    await reader.read()
                    break
                writer.write(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
                if number % 307 == 0:
                    break
                head = await reader.readuntil(b"\r\n\r\n")
                told[head[9:12]] += 1
                if b"chunked" in head:
                    await reader.readuntil(b"\r\n0\r\n\r\n")
                else:
                    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(length))
        writer.transport.abort()


async def measure(requests: int, connections: int) -> None:
    """Measures, and prints."""
    server = await asyncio.get_running_loop().create_server(Upstream, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, Child(port, log=Path(folder) / "log") as proxy:
        print(f"start: {proxy.memory() / 1e6:.1f} MB", flush=True)
        reached = []
        told: Counter[bytes] = Counter()
        each = requests // PARTS // connections
        for part in range(1, PARTS + 1):
            began = time.monotonic()
            await asyncio.gather(*(client(proxy.port, each, told) for _ in range(connections)))
            reached.append(proxy.memory())
            rate = each * connections / (time.monotonic() - began)
            print(
                f"{part * each * connections:>9} requests: {reached[-1] / 1e6:.1f} MB, {rate:.0f}/s",
                flush=True,
            )
        print("answers: " + ", ".join(f"{status.decode()} {count}" for status, count in told.most_common()))
        grown = reached[-1] - reached[0]
        measured = each * connections * (PARTS - 1)
        print(
            f"grown since the first tenth: {grown / 1e3:.0f} kB, {grown / measured:.3f} bytes a request;",
            end=" ",
        )
        print(f"ratio {reached[-1] / reached[0]:.3f}")
    server.close()


def main() -> None:
    """Reads the arguments, and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000, help="in all (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=20, help="at a time (default: %(default)s)")
    wanted = parser.parse_args()
    new_loop().run_until_complete(measure(wanted.requests, wanted.connections))


if __name__ == "__main__":
    main()
