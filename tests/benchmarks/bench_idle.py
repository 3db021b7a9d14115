"""Ten thousand idle connections: what each costs a proxy, and what they do to those who work.

    python tests/benchmarks/bench_idle.py [--connections N] [--requests N]

Each connection makes one request, so that it is a kept-alive one, and then stays. Told are the proxy's memory
before and with them, and the median time of a request over one more connection, before and beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from meshsim.live.loops import new_loop
from tests.live.proxy.children import HOST, Child

REQUEST = b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
AT_ONCE = 100
"""Connections that are opened at the same time."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The upstream."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def ask(connection: Connection) -> None:
    """One request and its response."""
    reader, writer = connection
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the proxy answered {head[:40]!r}")
    await reader.readexactly(5)


async def opened(port: int) -> Connection:
    """A connection that has served."""
    connection = await asyncio.open_connection(HOST, port)
    await ask(connection)
    return connection


async def median(connection: Connection, requests: int) -> float:
    """Of a request's time, s."""
    took = []
    for _ in range(requests):
        began = time.monotonic()
        await ask(connection)
        took.append(time.monotonic() - began)
    return statistics.median(took)


async def measure(connections: int, requests: int) -> None:
    """Measures, and prints."""
    server = await asyncio.start_server(answer, HOST, 0, backlog=4096)
    with Child(server.sockets[0].getsockname()[1]) as proxy:
        one = await opened(proxy.port)
        alone, empty = await median(one, requests), proxy.memory()
        began = time.monotonic()
        idle: list[Connection] = []
        while len(idle) < connections:
            count = min(AT_ONCE, connections - len(idle))
            idle += await asyncio.gather(*(opened(proxy.port) for _ in range(count)))
        lasted, full = time.monotonic() - began, proxy.memory()
        beside = await median(one, requests)
        for connection in idle:  # all of them still serve
            await ask(connection)
        print(f"{connections} idle connections, opened and used once in {lasted:.1f} s; each still serves")
        print(f"memory: {empty / 1e6:.1f} MB without, {full / 1e6:.1f} MB with them:", end=" ")
        print(f"{(full - empty) / connections / 1e3:.1f} kB each")
        print(f"median of a request: {alone * 1e6:.0f} us alone, {beside * 1e6:.0f} us beside them:", end=" ")
        print(f"ratio {beside / alone:.2f}")
        for _, writer in [*idle, one]:
            writer.transport.abort()
        await asyncio.sleep(0.5)
        print(f"descriptors when they are gone: {proxy.descriptors()}")
    server.close()


def main() -> None:
    """Reads the arguments, and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000, help="idle ones (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=500, help="to time (default: %(default)s)")
    wanted = parser.parse_args()
    needed = wanted.connections + 200  # in each of the two processes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(f"a process may open {hard} files here; ask for fewer --connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    new_loop().run_until_complete(measure(wanted.connections, wanted.requests))


if __name__ == "__main__":
    main()
