"""Every policy over sockets, on the routes of a client's proxy. What they decide is tested with the engines;
here, that a proxy does what they decide."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from itertools import pairwise

import pytest
from scipy import stats

from meshsim.live.proxy.local_replies import local_reply
from meshsim.policies.outcome import UC, UO
from tests.live.proxy.ends import (
    HOST,
    Message,
    Upstream,
    Watch,
    after,
    answers,
    dies,
    in_turn,
    settle,
    silence,
    waits,
)  # fmt: skip
from tests.live.proxy.rig import Rig, live, proxied

BUSY = answers(503, b"busy")
SURE = 1e-6
"""How improbable a deviation must be before it is a failure: one run in a million."""


# ---- where to ------------------------------------------------------------------------------------------


@live
async def test_a_split_has_its_shares() -> None:
    count = 400
    upstreams = [Upstream(), Upstream()]
    async with proxied(*upstreams, versions=("v1", "v2"), policy={"split": {"v1": 80, "v2": 20}}) as rig:
        client = await rig.client()
        for _ in range(count):
            await client.ask()
        assert stats.binomtest(len(upstreams[1].requests), count, 0.2).pvalue > SURE
        assert len(rig.seen) == count


@live
async def test_a_version_without_weight_gets_nothing() -> None:
    upstreams = [Upstream(), Upstream()]
    async with proxied(*upstreams, versions=("v1", "v2"), policy={"split": {"v1": 1, "v2": 0}}) as rig:
        for _ in range(20):
            await rig.ask()
        assert not upstreams[1].requests


@live
async def test_round_robin_is_exact() -> None:
    upstreams = [Upstream() for _ in range(3)]
    async with proxied(*upstreams) as rig:
        for _ in range(30):
            await rig.ask()
        assert [len(one.requests) for one in upstreams] == [10, 10, 10]


@live
async def test_random_is_even() -> None:
    upstreams = [Upstream() for _ in range(3)]
    async with proxied(*upstreams, policy={"balance": "random"}) as rig:
        client = await rig.client()
        for _ in range(300):
            await client.ask()
        assert stats.chisquare([len(one.requests) for one in upstreams]).pvalue > SURE


@live
async def test_least_request_shuns_the_busy() -> None:
    upstreams = [Upstream(silence), Upstream()]
    policy = {"balance": {"least_request": {"selection": "full_scan"}}}
    async with proxied(*upstreams, policy=policy) as rig:
        clients = [await rig.client() for _ in range(2)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
            await asyncio.sleep(0.02)
        await settle(lambda: len(upstreams[0].requests) == 1, "one hangs")
        for _ in range(20):
            assert (await rig.ask()).status == 200
        assert len(upstreams[0].requests) == 1


@live
async def test_peak_ewma_shuns_the_slow() -> None:
    upstreams = [Upstream(after(0.5, answers())), Upstream()]
    async with proxied(*upstreams, policy={"balance": "peak_ewma"}) as rig:
        for _ in range(20):
            assert (await rig.ask()).status == 200
        assert len(upstreams[0].requests) <= 1


# ---- how often and how long ------------------------------------------------------------------------------


@live
async def test_jitter_is_added_to_the_back_off() -> None:
    policy = {"retries": {"attempts": 1, "backoff": {"base": "40ms", "max": "50ms", "jitter": "100%"}}}
    async with proxied(Upstream(BUSY), policy=policy) as rig:
        for _ in range(10):
            await rig.ask()
        gaps = [again.at - first.at for first, again in pairwise(rig.seen)][::2]
        assert len(gaps) == 10
        assert min(gaps) > 0.038


@live
async def test_retries_wait_out_their_back_off() -> None:
    policy = {"retries": {"attempts": 2, "backoff": {"base": "40ms", "max": "40ms"}}}
    async with proxied(Upstream(BUSY), policy=policy) as rig:
        for _ in range(20):
            await rig.ask()
        seen = rig.seen
        gaps = [b.at - a.at for a, b in pairwise(seen) if b.get("x-envoy-attempt-count") != b"1"]
        assert len(gaps) == 40
        assert min(gaps) < 0.02 < max(gaps) < 2.0  # uniform on [0, 40 ms): each but once in 2^39
        assert {line["response_flags"] for line in await rig.logged(20)} == {"URX"}


@live
async def test_a_timeout_covers_all_tries() -> None:
    policy = {
        "timeout": "1200ms",
        "retries": {"attempts": 9, "per_try_timeout": "320ms", "backoff": {"base": "0s"}},
    }
    async with proxied(Upstream(silence), policy=policy) as rig:
        watch = Watch()
        assert (await rig.ask()).status == 504
        assert watch.took > 1.195
        assert watch.ran < 2.4
        status, flags, attempts, seen = await rig.outcome()
        assert (status, flags) == (504, "UT")
        assert attempts == seen == 4


@live
async def test_a_slow_try_is_replaced() -> None:
    slow = after(1.0, answers(body=b"late"))
    policy = {"retries": {"attempts": 1, "per_try_timeout": "200ms", "backoff": {"base": "0s"}}}
    async with proxied(Upstream(in_turn(slow, answers())), policy=policy) as rig:
        assert (await rig.ask()).body == b"hello"
        assert await rig.outcome() == (200, "-", 2, 2)


@pytest.mark.parametrize(
    ("budget", "spent"),
    [
        ({"ratio": "0%", "min_concurrency": 2}, 2),  # Envoy: two at once, however many fail
        ({"ratio": "50%", "min_concurrency": 0}, 5),  # Envoy: half of those in flight, the failing ones too
    ],
)
@live
async def test_envoys_budget(budget: dict[str, object], spent: int) -> None:
    """Ten fail at the same time; retries are held back long enough to hold their slots."""
    gate = asyncio.Event()

    async def together(request: Message, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await BUSY(request, writer)

    policy = {"retries": {"attempts": 1, "backoff": {"base": "1h", "max": "1h"}, "budget": budget}}
    async with proxied(Upstream(together), policy=policy) as rig:
        clients = [await rig.client() for _ in range(10)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await settle(lambda: len(rig.seen) == 10, "all are upstream")
        gate.set()
        # as tries fail, fewer are in flight: with a share, the limit falls while slots are taken
        await settle(lambda: len(rig.log()) + rig.busy().get("retries", 0) == 10, "all have failed")
        granted = rig.busy()["retries"]
        assert granted == spent if budget["min_concurrency"] else 1 <= granted <= spent
        refused = rig.log()
        assert {(line["response_code"], line["response_flags"]) for line in refused} == {(503, "UO")}
        for client in clients:
            client.close()


@live
async def test_linkerds_budget() -> None:
    """Every fifth request that ends pays for a retry; the reserve is none."""
    policy = {
        "retries": {
            "attempts": 1,
            "backoff": {"base": "0s"},
            "budget": {"ratio": "20%", "min_per_second": 0, "ttl": "10s"},
        }
    }
    upstream = Upstream(answers())
    async with proxied(upstream, policy=policy) as rig:
        client = await rig.client()
        for _ in range(25):
            await client.ask()
        upstream.behaviour = BUSY
        for _ in range(20):
            await client.ask()
        lines = await rig.logged(45)
        retried = sum(line["attempt_count"] - 1 for line in lines)
        assert retried == 5  # what failed and would have been tried again pays nothing in, as in Linkerd
        assert Counter(line["response_flags"] for line in lines[25:]) == {"URX": 5, "UO": 15}


@live
async def test_a_response_that_needs_no_retry_is_passed_on() -> None:
    policy = {"retries": {"attempts": 2, "on": ["gateway-error"]}}
    async with proxied(Upstream(answers(500, b"mine")), policy=policy) as rig:
        assert (await rig.ask()).body == b"mine"
        assert await rig.outcome() == (500, "-", 1, 1)


@live
async def test_the_last_response_is_passed_on_when_retries_are_used_up() -> None:
    policy = {"retries": {"attempts": 2, "backoff": {"base": "0s"}}}
    async with proxied(Upstream(answers(503, b"x" * 300_000, x_mine="1")), policy=policy) as rig:
        answer = await rig.ask()
        assert (answer.status, len(answer.body), answer.get("x-mine")) == (503, 300_000, b"1")
        assert await rig.outcome() == (503, "URX", 3, 3)


# ---- the circuit breaker ---------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [True, False])
@live
async def test_overflow_is_as_real_envoys(warm: bool) -> None:
    """Of k at once, max(0, k - c - p) fail with c warm connections, max(0, k - p) with none."""
    k, c, p = 12, 3, 4
    policy = {"circuit_breaker": {"max_connections": c, "max_pending": p}}
    async with proxied(Upstream(after(0.05, answers())), policy=policy) as rig:
        if warm:
            assert {answer.status for answer in await rig.burst(c)} == {200}
            assert len(rig.idle()) == c
        told = await rig.burst(k)
        failed = [answer for answer in told if answer.status == 503]
        assert len(failed) == (k - c - p if warm else k - p)
        assert {answer.get("x-envoy-overloaded") for answer in failed} == {b"true"}
        assert {answer.body for answer in failed} == {local_reply(UO, "", False, True)[0]}
        over = [line for line in rig.log() if line["response_code"] == 503]
        assert {(line["response_flags"], line["attempt_count"]) for line in over} == {("UO", 0)}
        assert rig.upstream.accepted == c


@live
async def test_max_requests() -> None:
    policy = {"circuit_breaker": {"max_requests": 5}}
    async with proxied(Upstream(after(0.05, answers())), policy=policy) as rig:
        statuses = Counter(answer.status for answer in await rig.burst(12))
        assert statuses == {200: 5, 503: 7}


@live
async def test_those_who_wait_are_served_in_turn() -> None:
    policy = {"circuit_breaker": {"max_connections": 1}}
    async with proxied(Upstream(after(0.002, answers())), policy=policy) as rig:
        assert {answer.status for answer in await rig.burst(20)} == {200}
        assert rig.upstream.accepted == 1


@live
async def test_a_per_try_timeout_does_not_run_while_a_try_waits() -> None:
    policy = {
        "circuit_breaker": {"max_connections": 1},
        "retries": {"attempts": 1, "per_try_timeout": "400ms"},
    }
    async with proxied(Upstream(after(0.1, answers())), policy=policy) as rig:
        assert {answer.status for answer in await rig.burst(5)} == {200}
        assert {line["attempt_count"] for line in rig.log()} == {1}


@live
async def test_who_waits_and_goes_leaves_the_queue() -> None:
    policy = {"circuit_breaker": {"max_connections": 1}}
    async with proxied(Upstream(silence), policy=policy) as rig:
        clients = [await rig.client() for _ in range(5)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await settle(lambda: rig.busy().get("pending") == 4, "four wait")
        for client in clients[1:]:
            client.close()
        await settle(lambda: "pending" not in rig.busy(), "nobody waits")
        clients[0].close()
        await rig.at_rest()
        assert Counter(line["response_flags"] for line in rig.log()) == {"DC": 5}


@live
async def test_a_retry_that_the_breaker_refuses_leaves_the_last_answer() -> None:
    policy = {"retries": {"attempts": 3}, "circuit_breaker": {"max_retries": 0}}
    async with proxied(Upstream(answers(502, b"mine")), policy=policy) as rig:
        answer = await rig.ask()
        assert (answer.status, answer.body, answer.get("x-envoy-overloaded")) == (502, b"mine", None)
        assert await rig.outcome() == (502, "UO", 1, 1)


@live
async def test_a_retry_that_the_breaker_refuses_leaves_the_last_failure() -> None:
    policy = {"retries": {"attempts": 3, "on": ["reset"]}, "circuit_breaker": {"max_retries": 0}}
    async with proxied(Upstream(dies), policy=policy) as rig:
        answer = await rig.ask()
        assert (answer.status, answer.get("x-envoy-overloaded")) == (503, None)
        assert answer.body == local_reply(UC, "", False, True)[0]
        assert await rig.outcome() == (503, "UO,UC", 1, 1)


# ---- outlier detection -----------------------------------------------------------------------------------


@live
async def test_an_outlier_is_ejected_and_comes_back() -> None:
    policy = {
        "outlier_detection": {
            "consecutive_5xx": 3,
            "interval": "100ms",
            "base_ejection_time": "200ms",
            "max_ejection_percent": "50%",
        }
    }
    bad, good = Upstream(BUSY), Upstream()
    async with proxied(bad, good, policy=policy) as rig:
        client = await rig.client()
        while not rig.proxy.stats()["edges"]["client -> cart"]["ejected"]:
            await client.ask()
        ejected = Watch()
        assert len(bad.requests) == 3
        bad.behaviour = answers()
        while len(bad.requests) == 3:
            assert (await client.ask()).status == 200
            await asyncio.sleep(0.002)
        assert ejected.took > 0.19
        assert ejected.ran < 0.2 + 0.1 + 0.2  # on the grid of ticks
        assert rig.proxy.stats()["edges"]["client -> cart"]["ejections"] == 1


@live
async def test_a_shut_host_is_probed_by_one_request_at_a_time_and_returns() -> None:
    penalties = {"max_failures": 3, "min_penalty": "200ms", "jitter": "0%"}
    probed = asyncio.Event()

    async def fails_when_told(request: Message, writer: asyncio.StreamWriter) -> None:
        await probed.wait()
        await BUSY(request, writer)

    bad, good = Upstream(in_turn(BUSY, BUSY, BUSY, fails_when_told, answers())), Upstream()
    async with proxied(bad, good, policy={"failure_accrual": penalties}) as rig:
        client = await rig.client()
        counts = rig.proxy.stats()["edges"]["client -> cart"]
        while not counts["ejected"]:
            await client.ask()
            counts = rig.proxy.stats()["edges"]["client -> cart"]
        assert (len(bad.requests), len(bad.connections)) == (3, 1), "it is shut, and not drained"
        probe = await hanging(rig, bad, 4)
        assert 0.19 < bad.requests[3].at - bad.requests[2].at < 0.2 + 1.0
        assert [(await client.ask()).status for _ in range(10)] == [200] * 10, "no other request goes there"
        probed.set()
        assert (await probe).status == 503
        while len(bad.requests) == 4:
            assert (await client.ask()).status == 200
            await asyncio.sleep(0.002)
        assert 0.39 < bad.requests[4].at - bad.requests[3].at < 0.4 + 1.0
        assert rig.proxy.stats()["edges"]["client -> cart"]["ejections"] == 2
        before = len(good.requests)
        for _ in range(10):
            await client.ask()
        assert (len(bad.requests) - 5, len(good.requests) - before) == (5, 5), "it has its share again"


async def hanging(rig: Rig, upstream: Upstream, number: int) -> asyncio.Task[Message]:
    """Asks until a request, which is that upstream's n-th, is not answered."""
    while True:
        asked = asyncio.create_task(rig.ask())
        await settle(lambda asked=asked: asked.done() or len(upstream.requests) == number, "it goes on")
        if len(upstream.requests) == number:
            return asked


@live
async def test_a_probe_that_is_given_up_makes_room_for_another() -> None:
    policy = {"failure_accrual": {"max_failures": 1, "min_penalty": "400ms"}}
    only = Upstream(in_turn(BUSY, silence, answers()))
    async with proxied(only, policy=policy) as rig:
        client = await rig.client()
        assert [(await client.ask()).status for _ in range(2)] == [503, 503]
        assert len(only.requests) == 1, "all hosts are shut"
        await asyncio.sleep(0.6)
        gone = await rig.client()
        gone.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await settle(lambda: len(only.requests) == 2, "the probe is there")
        assert (await client.ask()).status == 503
        gone.close()
        await settle(lambda: rig.proxy.stats()["edges"]["client -> cart"]["ejected"] == 0, "it is given up")
        assert (await client.ask()).status == 200
        assert {line["response_flags"] for line in await rig.logged(5)} == {"-", "UH", "DC"}


@live
async def test_a_host_that_refuses_connections_is_shut() -> None:
    policy = {"failure_accrual": {"max_failures": 2, "min_penalty": "5s"}}
    async with proxied(Upstream(), refusing=1, policy=policy) as rig:
        client = await rig.client()
        answers_ = Counter([(await client.ask()).status for _ in range(20)])
        assert answers_ == {503: 2, 200: 18}


@live
async def test_an_outliers_connections_close_when_they_are_free() -> None:
    policy = {
        "outlier_detection": {
            "consecutive_5xx": 1, "max_ejection_percent": "100%", "min_health_percent": "100%"
        }
    }  # fmt: skip
    all_there, freed = asyncio.Event(), asyncio.Event()
    first, last = waits(all_there, answers()), waits(all_there, after(0.1, BUSY))
    bad = Upstream(in_turn(first, waits(freed, answers()), last, answers()))
    async with proxied(bad, policy=policy) as rig:
        clients = [await rig.client() for _ in range(3)]
        asked = []
        for number, client in enumerate(clients, 1):
            asked.append(asyncio.create_task(client.ask()))
            await settle(lambda number=number: len(bad.requests) == number, "the request is there")
        all_there.set()
        assert [(await asked[0]).status, (await asked[2]).status] == [200, 503]
        await settle(lambda: len(bad.connections) == 1, "only the busy one is left")
        freed.set()
        assert (await asked[1]).status == 200
        await settle(lambda: not bad.connections, "the busy one is closed")
        cluster = rig.proxy.routes["cart"].mesh_route.policy.clusters[0]
        assert cluster.breaker.connections == cluster.hosts[0].idle == 0
        assert [(await rig.ask()).status for _ in range(2)] == [200, 200]
        assert bad.accepted == 4, "who comes later gets a connection that stays"


@live
async def test_no_connection_is_opened_to_an_outlier_for_nobody() -> None:
    """The second request begins to open one, and is served on the first's; then the host is ejected."""
    policy = {"outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": "100%"}}
    loop = asyncio.get_running_loop()
    with socket.socket() as listening, socket.socket() as filling:
        listening.bind((HOST, 0))
        listening.listen(0)  # with one that is not accepted its queue is full: others have to wait
        listening.setblocking(False)
        async with proxied(refusing=1, policy=policy) as rig:
            rig.proxy.addresses["cart/0"] = listening.getsockname()
            cluster = rig.proxy.routes["cart"].mesh_route.policy.clusters[0]
            first = asyncio.create_task(rig.ask())
            served, _ = await loop.sock_accept(listening)
            with served:
                await loop.sock_recv(served, 4096)
                filling.connect(listening.getsockname())
                second = asyncio.create_task(rig.ask())
                await settle(lambda: cluster.hosts[0].opening == 1, "a second connection is being opened")
                await loop.sock_sendall(served, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                assert (await first).status == 200
                await loop.sock_recv(served, 4096)
                await loop.sock_sendall(served, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
                assert (await second).status == 503
            assert cluster.hosts[0].ejected
            assert cluster.breaker.connections == cluster.hosts[0].opening == 0


@live
async def test_with_all_hosts_out_there_is_no_healthy_upstream() -> None:
    policy = {"outlier_detection": {"consecutive_5xx": 2, "max_ejection_percent": "100%"}}
    async with proxied(Upstream(BUSY), policy=policy) as rig:
        client = await rig.client()
        told = [await client.ask() for _ in range(4)]
        assert [answer.body for answer in told] == [b"busy"] * 2 + [b"no healthy upstream"] * 2
        lines = await rig.logged(4)
        assert [line["response_flags"] for line in lines] == ["-", "-", "UH", "UH"]
        assert [line["attempt_count"] for line in lines] == [1, 1, 0, 0]
        assert lines[-1]["upstream_host"] is None


@live
async def test_a_host_that_is_not_there_is_an_outlier() -> None:
    policy = {"outlier_detection": {"consecutive_5xx": 2, "max_ejection_percent": "50%"}}
    async with proxied(Upstream(), refusing=1, policy=policy) as rig:
        statuses = [(await rig.ask()).status for _ in range(20)]
        assert Counter(statuses) == {200: 18, 503: 2}
