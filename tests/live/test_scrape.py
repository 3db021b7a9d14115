"""The pages of many proxies as one, of which some are down, hang, or speak garbage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from meshsim.live import Address, scrape
from meshsim.live.scrape import merged_page
from tests.live.proxy.ends import free_port
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
        targets["down"] = "127.0.0.1", await free_port()
        found = values(await merged_page(targets, b"own 1\n", limit=0.5))
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
