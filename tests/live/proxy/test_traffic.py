"""Hedging, rate limits, faults, pushes and links over sockets, on the routes of a client's proxy."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from scipy import stats

from tests.live.proxy.ends import Message, Upstream, Watch, after, answers, in_turn, settle, silence
from tests.live.proxy.rig import live, proxied

SURE = 1e-6
"""How improbable a deviation must be before it is a failure: one run in a million."""


# ---- hedging, limits, faults -----------------------------------------------------------------------------


@live
async def test_a_hedge_wins_and_the_loser_is_stopped() -> None:
    slow, quick = Upstream(silence), Upstream(answers(body=b"quick"))
    async with proxied(slow, quick, policy={"hedge": {"after": "100ms"}}) as rig:
        for _ in range(6):
            assert (await rig.ask()).body == b"quick"
        lines = await rig.logged(6)
        hedged = [line for line in lines if line["attempt_count"] == 2]
        assert len(hedged) == len(slow.requests) > 0
        assert all(98 <= line["duration"] < 3000 for line in hedged)
        await settle(lambda: not slow.connections, "the losers' connections are closed")
        assert rig.proxy.stats()["edges"]["client -> cart"]["hedges"] == len(hedged)


@live
async def test_a_hedge_that_loses_leaves_no_trace() -> None:
    async with proxied(
        Upstream(in_turn(after(0.3, answers()), silence)), policy={"hedge": {"after": "50ms"}}
    ) as rig:
        assert (await rig.ask()).status == 200
        assert await rig.outcome() == (200, "-", 2, 2)


@live
async def test_a_hedge_while_a_response_streams() -> None:
    """The head decides; a hedge does not begin after it."""

    async def drip(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        for byte in b"drip":
            await asyncio.sleep(0.1)
            writer.write(bytes([byte]))

    async with proxied(Upstream(drip), policy={"hedge": {"after": "300ms", "max": 3}}) as rig:
        assert (await rig.ask()).body == b"drip"
        assert await rig.outcome() == (200, "-", 1, 1)


@live
async def test_a_rate_limit() -> None:
    async with proxied(policy={"rate_limit": {"burst": 5, "rate": "1/s"}}) as rig:
        client = await rig.client()
        told = [await client.ask() for _ in range(8)]
        assert [answer.status for answer in told] == [200] * 5 + [429] * 3
        assert told[-1].body == b"local_rate_limited"
        lines = await rig.logged(8)
        assert [(line["response_flags"], line["attempt_count"]) for line in lines[5:]] == [("RL", 0)] * 3
        assert len(rig.seen) == 5


@live
async def test_an_injected_delay_is_no_part_of_the_timeout() -> None:
    async with proxied(policy={"timeout": "50ms", "fault": {"delay": {"time": "100ms"}}}) as rig:
        assert (await rig.ask()).status == 200
        (line,) = await rig.logged()
        assert line["response_flags"] == "DI"
        assert 99 <= line["duration"] < 6000


@live
async def test_an_injected_abort_is_not_retried() -> None:
    policy = {"fault": {"abort": {"status": 418}}, "retries": {"attempts": 3}}
    async with proxied(policy=policy) as rig:
        answer = await rig.ask()
        assert (answer.status, answer.body) == (418, b"fault filter abort")
        assert await rig.outcome() == (418, "FI", 0, 0)


@live
async def test_faults_come_in_their_shares() -> None:
    count = 300
    async with proxied(policy={"fault": {"abort": {"percent": "30%", "status": 500}}}) as rig:
        client = await rig.client()
        told = Counter([(await client.ask()).status for _ in range(count)])
        assert stats.binomtest(told[500], count, 0.3).pvalue > SURE


# ---- pushes ----------------------------------------------------------------------------------------------


@live
async def test_a_push_changes_a_live_route() -> None:
    upstreams = [Upstream(), Upstream()]
    events = [{"at": "150ms", "set": {"policies.cart.split": {"v1": 0, "v2": 1}}}]
    policy = {"split": {"v1": 1, "v2": 0}}
    async with proxied(*upstreams, versions=("v1", "v2"), policy=policy, events=events) as rig:
        client = await rig.client()
        before, later = upstreams
        while not later.requests:
            assert (await client.ask()).status == 200
            await asyncio.sleep(0.002)
        for _ in range(20):
            assert (await client.ask()).status == 200
        assert before.requests
        assert before.requests[-1].at < later.requests[0].at
        assert later.requests[0].at - rig.proxy.clock.base > 0.149


@live
async def test_a_push_leaves_what_is_under_way_alone() -> None:
    """A call keeps the policy that it met; the next one meets the new one."""
    events = [{"at": "300ms", "set": {"policies.cart.timeout": "10ms"}}]
    async with proxied(Upstream(after(0.4, answers())), policy={"timeout": "9s"}, events=events) as rig:
        client = await rig.client()
        assert (await client.ask()).status == 200
        assert (await client.ask()).status == 504


@live
async def test_a_push_keeps_connections() -> None:
    events = [{"at": "50ms", "set": {"policies.cart.retries": {"attempts": 2}}}]
    async with proxied(events=events) as rig:
        client = await rig.client()
        await client.ask()
        await asyncio.sleep(0.1)
        await client.ask()
        assert rig.upstream.accepted == 1


# ---- links -----------------------------------------------------------------------------------------------


@live
async def test_a_links_latency_is_emulated_both_ways() -> None:
    async with proxied(links={"client -> cart": {"latency": "20ms"}}) as rig:
        client = await rig.client()
        for body in (b"", b"x" * 300_000):
            rig.upstream.behaviour = answers(body=body)
            began, watch = time.monotonic(), Watch()
            assert (await client.ask()).body == body
            assert watch.took > 0.0395
            assert watch.ran < 0.4
            assert rig.seen[-1].at - began > 0.0195
        assert rig.upstream.accepted == 1


@live
async def test_a_message_that_is_lost_is_sent_again() -> None:
    """A fifth of them, on average, each way; each loss costs a retransmission."""
    links = {"client -> cart": {"latency": "1ms", "loss": "20%"}}
    async with proxied(links=links, policy={"timeout": "350ms"}) as rig:
        clients = [await rig.client() for _ in range(30)]

        async def timed(client: object) -> float:
            watch = Watch()
            assert (await client.ask()).status in (200, 504)  # type: ignore[attr-defined]
            return watch.ran

        ran = await asyncio.gather(*map(timed, clients))
        quick = sum(each < 0.15 for each in ran)  # 200 ms is the first time-out of a retransmission
        assert stats.binomtest(quick, 30, 0.8**2).pvalue > SURE


@live
async def test_a_client_that_goes_while_its_request_is_on_the_link() -> None:
    async with proxied(links={"client -> cart": {"latency": "200ms"}}) as rig:
        for pause in (0.0, 0.1, 0.3):
            client = await rig.client()
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
            await asyncio.sleep(pause)
            client.close()
            await rig.at_rest()
        assert {line["response_flags"] for line in rig.log()} <= {"DC"}


@live
async def test_a_request_arrives_although_its_call_has_timed_out() -> None:
    """It was on its way; the word that nobody waits for it comes behind it."""
    links = {"client -> cart": {"latency": "40ms"}}
    async with proxied(links=links, policy={"timeout": "20ms"}) as rig:
        assert (await rig.ask("POST", body=b"abc")).status == 504
        await settle(lambda: len(rig.seen) == 1, "it has arrived")
        await settle(lambda: rig.seen[0].body == b"abc", "it is whole")
        await settle(lambda: not rig.upstream.connections, "the connection is closed")


@live
async def test_a_per_try_timeout_over_a_link() -> None:
    policy = {"retries": {"attempts": 2, "per_try_timeout": "25ms", "backoff": {"base": "0s"}}}
    async with proxied(links={"client -> cart": {"latency": "20ms"}}, policy=policy) as rig:
        assert (await rig.ask("POST", body=b"abc")).status == 504
        assert (await rig.logged())[0]["attempt_count"] == 3
        await asyncio.sleep(0.1)
        assert [request.body for request in rig.seen] == [b"abc"] * 3  # each still arrived
        await settle(lambda: not rig.upstream.connections, "connections of tries given up are closed")
