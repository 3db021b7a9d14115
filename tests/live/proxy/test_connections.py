"""Tracked connections of the proxy: how long they take to open, what ends them, and who fails with them."""

from __future__ import annotations

import asyncio
import socket

from tests.live.proxy.ends import HOST, Message, Upstream, Watch, answers, settle
from tests.live.proxy.rig import Rig, live, proxied

SLACK = 0.08
"""How late something may be, s."""


class Full(Upstream):
    """Its backlog is full, so nobody who connects hears anything."""

    async def open(self) -> int:
        self.sockets = [socket.socket()]
        self.sockets[0].bind((HOST, 0))
        self.sockets[0].listen(0)
        self.port = self.sockets[0].getsockname()[1]
        self.sockets.append(socket.create_connection((HOST, self.port)))
        return self.port

    async def close(self) -> None:
        for each in self.sockets:
            each.close()


async def lasts(rig: Rig, least: float, status: int = 200, slack: float = SLACK) -> None:
    """Asks once, and looks that the answer comes after at least so long, s, and not much later."""
    watch = Watch()
    assert (await rig.ask()).status == status
    assert least <= watch.took
    assert watch.ran < least + slack


def link(**keys: str) -> dict[str, dict[str, str]]:
    return {"default": keys}


# ---- opening ------------------------------------------------------------------------------------------


@live
async def test_a_connection_takes_its_time_to_open_and_is_used_again() -> None:
    async with proxied(links=link(connect="60ms")) as rig:
        await lasts(rig, 0.06)
        await lasts(rig, 0.0, slack=0.05)
        assert rig.upstream.accepted == 1


@live
async def test_an_opening_that_takes_too_long_fails_all_who_wait() -> None:
    policy = {"connection": {"connect_timeout": "50ms"}, "circuit_breaker": {"max_connections": 1}}
    async with proxied(links=link(connect="80ms"), policy=policy) as rig:
        watch = Watch()
        assert [answer.status for answer in await rig.burst(5)] == [503] * 5
        assert watch.took >= 0.05
        assert watch.ran < 0.05 + SLACK
        assert {line["response_flags"] for line in await rig.logged(5)} == {"UF"}
        assert rig.upstream.accepted == 0


@live
async def test_a_host_that_does_not_answer_is_given_up() -> None:
    async with proxied(Full(), policy={"connection": {"connect_timeout": "60ms"}}) as rig:
        await lasts(rig, 0.055, 503)
        assert await rig.outcome() == (503, "UF", 1, 0)


@live
async def test_the_oldest_fails_first() -> None:
    policy = {
        "connection": {"connect_timeout": "80ms"},
        "circuit_breaker": {"max_connections": 1, "max_retries": 1},
        "retries": {"attempts": 1, "on": ["connect-failure"], "backoff": {"base": "0s"}},
    }
    async with proxied(Full(), policy=policy) as rig:
        asked = []
        for _ in range(3):
            asked.append(asyncio.create_task(rig.ask()))
            await asyncio.sleep(0.01)
        await asyncio.gather(*asked)
        lines = sorted(await rig.logged(3), key=lambda line: line["start_time"])
        assert [line["response_flags"] for line in lines] == ["URX,UF", "UO,UF", "UO,UF"]


@live
async def test_an_opening_of_a_host_that_refuses_takes_its_time() -> None:
    async with proxied(refusing=1, links=link(connect="60ms")) as rig:
        await lasts(rig, 0.06, 503)
        assert await rig.outcome() == (503, "UF", 1, 0)


@live
async def test_an_opening_goes_on_without_who_began_it() -> None:
    async with proxied(links=link(connect="80ms"), policy={"timeout": "30ms"}) as rig:
        assert (await rig.ask()).status == 504
        await settle(lambda: len(rig.idle()) == 1, "the connection is open and idle")
        await lasts(rig, 0.0, slack=0.05)


# ---- the caller's end ---------------------------------------------------------------------------------


@live
async def test_idle_for_too_long() -> None:
    async with proxied(policy={"connection": {"idle_timeout": "80ms"}}) as rig:
        await rig.ask()
        await asyncio.sleep(0.05)
        await rig.ask()
        watch = Watch()
        await settle(lambda: not rig.upstream.connections, "it is closed")
        assert watch.took >= 0.07
        assert watch.ran < 0.07 + SLACK
        assert rig.upstream.accepted == 1


@live
async def test_only_so_many_requests() -> None:
    async with proxied(policy={"connection": {"max_requests": 3}}) as rig:
        client = await rig.client()
        for _ in range(7):
            assert (await client.ask()).status == 200
        assert rig.upstream.accepted == 3
        await settle(lambda: len(rig.upstream.connections) == 1, "those that are spent are closed")


@live
async def test_too_old() -> None:
    async with proxied(policy={"connection": {"max_age": "80ms"}}) as rig:
        watch = Watch()
        await rig.ask()
        await asyncio.sleep(0.05)
        await rig.ask()
        await settle(lambda: not rig.upstream.connections, "it is closed")
        assert watch.took >= 0.08
        assert watch.ran < 0.08 + SLACK


@live
async def test_too_old_while_it_is_busy() -> None:
    async def slow(request: Message, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await answers()(request, writer)

    async with proxied(Upstream(slow), policy={"connection": {"max_age": "50ms"}}) as rig:
        await lasts(rig, 0.1)
        await settle(lambda: not rig.upstream.connections, "it is closed after its response")


# ---- the server's end ---------------------------------------------------------------------------------


async def hangs_up(request: Message, writer: asyncio.StreamWriter, after: float) -> None:
    """Answers, and closes after a while."""
    await answers()(request, writer)
    asyncio.get_running_loop().call_later(after, writer.close)


@live
async def test_the_sidecar_closes_what_is_idle() -> None:
    services = {"cart": {"keep_alive": "80ms"}}
    async with proxied(
        id="cart/0", app=Upstream(), services=services, load=[{"to": "cart", "rate": "1/s"}]
    ) as rig:
        client = await rig.client("inbound")
        for _ in range(2):
            assert (await client.ask()).get("connection") is None
            watch = Watch()
            await asyncio.sleep(0.05)
        assert await client.rest() == b""
        assert watch.took >= 0.075  # timers count whole ms
        assert watch.ran < 0.08 + SLACK


@live
async def test_an_end_between_requests_does_no_harm() -> None:
    closing = Upstream(lambda request, writer: hangs_up(request, writer, 0.03))
    async with proxied(closing, links=link(latency="20ms"), policy={"connection": {}}) as rig:
        for _ in range(3):
            assert (await rig.ask()).status == 200
            await asyncio.sleep(0.08)
            assert not rig.idle()
        assert rig.upstream.accepted == 3


@live
async def test_a_request_on_its_way_meets_the_end() -> None:
    """The upstream closes 20 ms after its answer, which is there at 20 ms; what is sent at 30 ms is lost."""
    closing = Upstream(lambda request, writer: hangs_up(request, writer, 0.02))
    async with proxied(closing, links=link(latency="40ms"), policy={"connection": {}}) as rig:
        client = await rig.client()
        assert (await client.ask()).status == 200  # the upstream has closed it 20 ms ago, and nobody knows
        watch = Watch()
        assert (await client.ask()).status == 503
        assert watch.ran < 0.04  # when the word comes, before the request arrives
        lines = await rig.logged(2)
        assert [line["response_flags"] for line in lines] == ["-", "UC"]
        assert len(rig.seen) == 1


@live
async def test_a_request_that_arrives_behind_the_end_waits_for_the_word_of_it() -> None:
    closing = Upstream(lambda request, writer: hangs_up(request, writer, 0.11))
    async with proxied(closing, links=link(latency="50ms"), policy={"connection": {}}) as rig:
        client = await rig.client()
        watch = Watch()
        assert (await client.ask()).status == 200  # sent at 0, at the upstream at 50, here at 100 ms
        await asyncio.sleep(0.13 - watch.took)
        assert (
            await client.ask()
        ).status == 503  # there at 180; closed at 160; the word of it is here at 210 ms
        assert watch.took >= 0.21
        assert watch.ran < 0.21 + SLACK
        assert len(rig.seen) == 1


@live
async def test_a_race_is_tried_again_where_resets_are() -> None:
    closing = Upstream(lambda request, writer: hangs_up(request, writer, 0.02))
    policy = {"connection": {}, "retries": {"attempts": 1, "on": ["reset"], "backoff": {"base": "0s"}}}
    async with proxied(closing, links=link(latency="40ms"), policy=policy) as rig:
        client = await rig.client()
        assert [(await client.ask()).status for _ in range(2)] == [200, 200]
        assert [line["attempt_count"] for line in await rig.logged(2)] == [1, 2]
        assert len(rig.seen) == 2


@live
async def test_an_end_behind_an_answer_that_is_on_its_way() -> None:
    closing = Upstream(lambda request, writer: hangs_up(request, writer, 0.0))
    async with proxied(closing, links=link(latency="30ms"), policy={"connection": {}}) as rig:
        client = await rig.client()
        for _ in range(3):
            assert (await client.ask()).status == 200
            await asyncio.sleep(0.02)  # the end is a moment behind the answer, longer on a busy machine
        assert rig.upstream.accepted == 3
