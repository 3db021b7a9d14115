"""The metrics of a whole mesh on one page: every proxy's admin listener is asked, ours and Envoy's alike.

The work is bounded: so many are asked at once, each for so long, and a page is so large at most. A proxy that
does not answer is left out, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from httptools import HttpParserError, HttpResponseParser

from meshsim.live import Address
from meshsim.measure.exposition import LARGEST, merged, of_proxy

AT_ONCE = 64
LIMIT, TOTAL = 1.0, 10.0
"""For one proxy, and for all, s."""
REQUEST = b"GET /stats/prometheus HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


async def merged_page(targets: Mapping[str, Address], own: bytes = b"", limit: float = LIMIT) -> bytes:
    """The pages of proxies, by their ids, as one, after `own`, whose series get no labels.

    Each gets at most `limit` s.
    """
    turn, time = asyncio.Semaphore(AT_ONCE), asyncio.get_running_loop().time
    end = time() + TOTAL

    async def one(address: Address) -> bytes | None:
        async with turn:
            try:
                async with asyncio.timeout_at(min(time() + limit, end)):
                    return await fetch(address)
            except (OSError, TimeoutError, HttpParserError):
                return None

    names = sorted(targets)
    pages = await asyncio.gather(*(one(targets[name]) for name in names))
    found = [(of_proxy(name), page) for name, page in zip(names, pages, strict=True)]
    return await asyncio.to_thread(merged, [({}, own), *found])


async def fetch(address: Address) -> bytes | None:
    """The page of one proxy; None where it answers something else, or it is too large.

    Raises:
        OSError: there is no connection.
        HttpParserError: what came is no HTTP.
    """
    answer = _Answer()
    parser = HttpResponseParser(answer)
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(REQUEST)
        while not answer.whole and answer.size <= LARGEST:
            data = await reader.read(1 << 16)
            if not data:
                break
            parser.feed_data(data)
    finally:
        writer.transport.abort()
    fine = answer.whole and parser.get_status_code() == 200 and answer.size <= LARGEST
    return b"".join(answer.pieces) if fine else None


class _Answer:
    """What the parser tells of one answer."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.whole = False

    def on_body(self, data: bytes) -> None:
        """More of its body."""
        self.pieces.append(data)
        self.size += len(data)

    def on_message_complete(self) -> None:
        """It is whole."""
        self.whole = True
