"""The pages of many proxies as one, of which some are down, hang, or speak garbage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from meshsim.live import Address, scrape, servers
from meshsim.live.control.orders import Orders
from meshsim.live.control.pages import Pages
from meshsim.live.scrape import merged_page
from meshsim.live.servers import Listening
from meshsim.live.wire import Limits
from tests.live.processes import closed_port
from tests.live.proxy.rig import live, proxied

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ncalls 3\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ncall\r\n4\r\ns 4\n\r\n0\r\n\r\n"
BAD = {
    "silent": b"",
    "garbage": b"\x16\x03\x01",
    "half": OK[:-3],
    "404": OK.replace(b"200 OK", b"404 No"),
    "none": OK.replace(b"calls 3", b"calls !"),
}


@contextlib.asynccontextmanager
async def said(answer: bytes) -> AsyncIterator[Address]:
    """Listens, and says something to whoever comes; then nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()


def values(page: bytes) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(page.decode())
    return {
        (each.name, each.labels.get("pod", "")): each.value for family in families for each in family.samples
    }


@live
async def test_what_does_not_answer_is_left_out_and_counted() -> None:
    async with contextlib.AsyncExitStack() as stack:
        answers = {**BAD, "ours/0": OK, "envoy/0": CHUNKED}
        targets = {name: await stack.enter_async_context(said(answer)) for name, answer in answers.items()}
        targets["down"] = "127.0.0.1", stack.enter_context(closed_port())
        found = values(await merged_page(targets, b"own 1\n", limit=1.5))
        failed = {pod for (name, pod), value in found.items() if name == "meshsim_scrape_failed" and value}
        assert failed == {*BAD, "down"}
        assert {key: value for key, value in found.items() if not key[0].startswith("meshsim")} == {
            ("own", ""): 1, ("calls", "ours/0"): 3, ("calls", "envoy/0"): 4,
        }  # fmt: skip


@live
async def test_all_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of many that hang holds up the page."""
    monkeypatch.setattr(scrape, "AT_ONCE", 2)
    monkeypatch.setattr(scrape, "TOTAL", 0.1)
    async with said(b"") as address:
        found = values(await merged_page({str(number): address for number in range(200)}, limit=60.0))
        assert sum(found.values()) == 200


@live
async def test_a_page_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "LARGEST", 1000)
    async with said(OK.replace(b": 8", b": 9999") + b"x" * 9000) as address:
        assert sum(values(await merged_page({"a": address})).values()) == 1


@live
async def test_our_proxies_answer() -> None:
    async with proxied() as rig:
        await rig.ask()
        page = await merged_page({"frontend/0": ("127.0.0.1", rig.ports["admin"])})
        assert b'istio_requests_total{pod="frontend/0",app="frontend",' in page


class Reports:
    """Pages of a control plane that has nothing to say."""

    def __init__(self, admins: dict[str, Address]) -> None:
        orders = Orders("secret", lambda order, message: None, list)
        self.pages = Pages(lambda: {"scenario": "quiet"}, orders, admins, lambda: b"own 1\n")
        self.listening = Listening(self.pages)

    async def __aenter__(self) -> Address:
        return "127.0.0.1", await self.listening.open("127.0.0.1")

    async def __aexit__(self, *_: object) -> None:
        self.listening.close()
        await asyncio.sleep(0.01)


async def ask(address: Address, page: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {page} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    return reader, writer


@live
async def test_many_who_ask_at_once_share_one_scrape() -> None:
    asked, all_ask = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await all_ask.wait()
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with Reports({"cart/0": server.sockets[0].getsockname()[:2]}) as address:
        lines = [await ask(address, "/stats/prometheus") for _ in range(20)]
        await asyncio.sleep(0.2)
        all_ask.set()
        for reader, writer in lines:
            assert b"200 OK" in await reader.readline()
            assert await reader.readuntil(b'calls{pod="cart/0",app="cart"} 3')
            writer.close()
    server.close()
    assert asked < 5


@live
async def test_who_keeps_connections_to_pages_loses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "READERS", 3)
    monkeypatch.setattr(servers, "PAGE_LIMITS", Limits(header_timeout=600.0))
    async with Reports({}) as address:
        kept = [await asyncio.open_connection(*address) for _ in range(5)]
        for reader, _ in kept[:2]:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 60.0) == b""
        reader, writer = await ask(address, "/ready")
        assert b"200 OK" in await reader.readline()
        for _, each in [*kept, (reader, writer)]:
            each.close()
