"""The process of a replica: workers, queues, errors, and what it does with work that nobody waits for.

Service times are constant, so that what a client sees tells how it was served.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from scipy import stats

from meshsim.live.child import Addresses, Spec
from meshsim.live.roles.service import Service
from meshsim.random import derive
from meshsim.scenario.model import Scenario
from tests.live.proxy.ends import HOST, Client, Upstream, Watch, after, answers, settle
from tests.live.proxy.rig import live

SLACK = 0.015
"""How late a busy machine may be, s; what is told apart is told apart by more."""


class Bench:
    """A service and its clients."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.port = port
        self.clients: list[Client] = []

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection(HOST, self.port))
        self.clients.append(client)
        return client

    async def send(self, call: int = 1, *, priority: int = 0, attempt: int = 1) -> Client:
        """A request, of a call with this key, on a connection of its own."""
        client = await self.client()
        client.send(
            b"GET / HTTP/1.1\r\nhost: cart\r\nx-meshsim: %016x;0.0;0;0;%d\r\n"
            b"x-envoy-attempt-count: %d\r\n\r\n" % (call, priority, attempt)
        )
        return client

    @property
    def busy(self) -> int:
        return self.service.replica.busy_gauge.value

    @property
    def queued(self) -> int:
        return self.service.replica.queue_gauge.value

    def rows(self) -> dict[str, list[Any]]:
        """What it has written down of visits."""
        return {name.removeprefix("visits."): list(column) for name, column in self.service.rows().items()}


@contextlib.asynccontextmanager
async def serving(
    events: list[dict[str, Any]] | None = None,
    catalog: Upstream | None = None,
    start: float | None = 0.0,
    duration: str = "1h",
    called: dict[str, Any] | None = None,
    **cart: Any,
) -> AsyncIterator[Bench]:
    """A running replica of `cart`; `start` is scenario time 0, from now, or None to leave it to the test.

    `called` are the endpoints of `catalog`.
    """
    written = Scenario.model_validate(
        {
            "duration": duration,
            "services": {"cart": {"workers": 1, **cart}, "catalog": {"endpoints": called or {}}},
            "load": [{"to": "cart", "rate": "1/s"}],
            "events": events or [],
        }
    )
    service = Service(Spec("service", "cart/0", written, 7, HOST, True, None))
    bench = Bench(service, (await service.listen())["port"])
    try:
        urls = {} if catalog is None else {"catalog": f"http://{HOST}:{await catalog.open()}"}
        await service.connect(Addresses({}, None, urls))
        if start is not None:
            service.start(time.monotonic() + start)
        yield bench
    finally:
        for client in bench.clients:
            client.close()
        await settle(lambda: not service.connections, "it closes its clients' connections")
        service.transport.close()
        service.listening.close()
        if catalog is not None:
            await catalog.close()
        service.clock.close()


async def finished(clients: list[Client], watch: Watch | None = None) -> list[tuple[float, float]]:
    """When each of them was answered, s, by the clock and without interruptions, of a watch or from now."""
    watch = watch or Watch()

    async def one(client: Client) -> tuple[float, float]:
        assert (await client.response()).status == 200
        return watch.took, watch.ran

    return list(await asyncio.gather(*map(one, clients)))


@live
async def test_it_says_who_it_is() -> None:
    async with serving(time="1ms") as bench:
        client = await bench.send()
        answer = await client.response()
        assert (answer.status, answer.body) == (200, b"cart/0\n")
        for n in range(3):  # and goes on on the same connection
            assert (await client.ask("POST", body=b"%d" % n)).status == 200


@live
async def test_so_many_workers_at_a_time() -> None:
    async with serving(time="40ms", workers=2) as bench:
        watch = Watch()
        for turn, (took, ran) in enumerate(
            sorted(await finished([await bench.send(n) for n in range(6)], watch))
        ):
            meant = 0.04 * (turn // 2 + 1)
            assert took > meant - 0.002
            assert ran < meant + 2 * SLACK
        assert (bench.busy, bench.queued) == (0, 0)


@live
async def test_its_time_does_not_drift() -> None:
    """A worker begins the next job at the ideal end of the last: 50 jobs of 4 ms are 200 ms."""
    async with serving(time="4ms") as bench:
        watch = Watch()
        await finished([await bench.send(n) for n in range(50)])
        assert watch.took > 0.2 - 0.001
        assert watch.ran < 0.2 + 2 * SLACK


@pytest.mark.parametrize(
    ("discipline", "order"),
    [("fifo", [0, 1, 2, 3, 4]), ("lifo", [0, 4, 3, 2, 1]), ("priority", [0, 3, 4, 1, 2])],
)
@live
async def test_disciplines(discipline: str, order: list[int]) -> None:
    async with serving(time="250ms", discipline=discipline) as bench:
        clients = []
        for n in range(5):
            clients.append(await bench.send(n, priority=5 if n > 2 else 0))
            await settle(lambda sent=n: bench.busy + bench.queued == sent + 1, "it has arrived")
        answered = await finished(clients)
        assert sorted(range(5), key=answered.__getitem__) == order


@live
async def test_a_full_room_answers_503() -> None:
    async with serving(time="50ms", queue=2) as bench:
        clients = [await bench.send(n) for n in range(5)]
        statuses = sorted([(await client.response()).status for client in clients])
        assert statuses == [200, 200, 200, 503, 503]


@live
async def test_errors_have_their_share() -> None:
    async with serving(time="0s", errors="30%") as bench:
        statuses = []
        client = await bench.client()
        for n in range(200):
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\nx-meshsim: %016x;0.0;0;0;0\r\n\r\n" % n)
            statuses.append((await client.response()).status)
        assert set(statuses) == {200, 500}
        assert stats.binomtest(statuses.count(500), 200, 0.3).pvalue > 1e-6


@live
async def test_the_same_attempt_draws_the_same() -> None:
    async with serving(time="0s", errors="50%") as bench:
        told = {}
        for call in range(20):
            for attempt in (1, 2):
                twice = [
                    (await (await bench.send(call, attempt=attempt)).response()).status for _ in range(2)
                ]
                assert twice[0] == twice[1]
                told[call, attempt] = twice[0]
        assert any(told[call, 1] != told[call, 2] for call in range(20))
        rows = bench.rows()
        assert rows["key"][:4] == [derive(0, 0), derive(0, 0), derive(0, 1), derive(0, 1)]


@pytest.mark.parametrize(("holds", "at_once"), [(True, 1), (False, 3)])
@live
async def test_who_holds_a_worker_while_it_calls(holds: bool, at_once: int) -> None:
    """Three requests call another service at the same time, or one after the other."""
    catalog = Upstream(after(0.04, answers()))
    async with serving(
        catalog=catalog, time="1ms", holds_worker=holds, script=[{"call": "catalog"}]
    ) as bench:
        watch = Watch()
        await finished([await bench.send(n) for n in range(3)])
        assert len(catalog.requests) == 3
        meant = 0.04 * 3 if at_once == 1 else 0.04
        assert meant < watch.took
        assert watch.ran < meant + 3 * SLACK


@live
async def test_its_calls_say_whose_they_are() -> None:
    from meshsim.live.context import parse_context, parse_trace
    from meshsim.random import SCRIPT

    catalog = Upstream()
    async with serving(
        catalog=catalog, time="0s", script=[{"call": "catalog"}, {"call": "catalog"}]
    ) as bench:
        assert (await (await bench.send(9)).response()).status == 200
        keys = []
        for request in catalog.requests:
            context, trace = (
                parse_context(request.get("x-meshsim") or b""),
                parse_trace(request.get("traceparent") or b""),
            )
            assert context is not None
            assert trace is not None
            keys.append(context.key)
            assert request.get("host") == b"catalog"
        assert keys == [derive(derive(9, 0), SCRIPT + n) for n in range(2)]


@live
async def test_it_passes_on_what_a_service_of_a_mesh_must() -> None:
    kept = [
        (b"x-request-id", b"mine"),
        (b"tracestate", b"v=1"),
        (b"tracestate", b"w=2"),
        (b"baggage", b"k=v"),
    ]
    catalog = Upstream()
    script = [{"call": "catalog"}, {"call": "catalog", "repeat": 2}]
    async with serving(catalog=catalog, time="0s", script=script) as bench:
        client = await bench.client()
        lines = b"".join(b"%b: %b\r\n" % header for header in [*kept, (b"x-other", b"1")])
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n" + lines + b"\r\n")
        assert (await client.response()).status == 200
        assert len(catalog.requests) == 3
        for request in catalog.requests:
            assert [header for header in request.headers if header in kept] == kept
            assert request.get("x-other") is None


@live
async def test_spans_that_nobody_takes_do_not_stay() -> None:
    async with serving(catalog=Upstream(answers(200)), time="0s", script=[{"call": "catalog"}]) as bench:
        client = await bench.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\nx-meshsim: %016x;0.0;0;1;0\r\n\r\n" % 9)
        assert (await client.response()).status == 200
        tracer = bench.service.replica.proxy.tracer
        assert tracer.spans == 2, "the call, and its attempt: its proxy has both"
        bench.service.stats()
        assert tracer.spans == 0


@live
async def test_a_call_that_fails_fails_it() -> None:
    async with serving(catalog=Upstream(answers(503)), time="0s", script=[{"call": "catalog"}]) as bench:
        assert (await (await bench.send()).response()).status == 500


@live
async def test_a_call_that_fails_may_be_optional() -> None:
    script = [{"call": "catalog", "optional": True}]
    async with serving(catalog=Upstream(answers(503)), time="0s", script=script) as bench:
        assert (await (await bench.send()).response()).status == 200


@pytest.mark.parametrize(
    ("policy", "busy", "queued"), [("finish", 1, 2), ("leave_queue", 1, 0), ("stop", 0, 0)]
)
@live
async def test_what_becomes_of_work_that_nobody_waits_for(policy: str, busy: int, queued: int) -> None:
    async with serving(time="150ms", when_abandoned=policy) as bench:
        clients = [await bench.send(n) for n in range(3)]
        await settle(lambda: (bench.busy, bench.queued) == (1, 2), "one is served, two wait")
        for client in clients:
            client.close()
        await settle(lambda: not bench.service.connections, "it has noticed")
        assert (bench.busy, bench.queued) == (busy, queued)
        await settle(lambda: (bench.busy, bench.queued) == (0, 0), "it is idle")
        assert bench.rows()["status"] == [-1] * 3


@live
async def test_stopping_stops_its_calls() -> None:
    catalog = Upstream(after(5.0, answers()))
    script = [{"call": "catalog"}]
    async with serving(catalog=catalog, time="0s", when_abandoned="stop", script=script) as bench:
        client = await bench.send()
        await settle(lambda: len(catalog.requests) == 1, "it calls")
        client.close()
        await settle(lambda: bench.busy == 0, "it has stopped")
        cluster = next(iter(bench.service.replica.proxy.routes.values())).policy.clusters[0]
        assert (cluster.breaker.active, cluster.breaker.connections) == (0, 0)


@live
async def test_a_body_is_waited_for() -> None:
    async with serving(time="0s") as bench:
        client = await bench.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert bench.rows()["status"] == []
        client.send(b"body")
        assert (await client.response()).status == 200


@live
async def test_a_slow_spell() -> None:
    events = [{"at": "300ms", "for": "500ms", "service": "cart", "slow": 4}]
    async with serving(events, time="10ms") as bench:
        lasted = {}
        for at in (0.0, 0.45, 1.0):
            await asyncio.sleep(max(0.0, at - bench.service.clock.now()))
            (lasted[at],) = await finished([await bench.send()])
        assert lasted[0.0][1] < 0.01 + SLACK
        assert lasted[0.45][0] > 0.039
        assert lasted[0.45][1] < 0.04 + SLACK
        assert lasted[1.0][1] < 0.01 + SLACK


@live
async def test_a_replica_that_goes_down_and_comes_back() -> None:
    """Its connections are reset, nobody listens, and later it does again on the same port."""
    events = [{"at": "100ms", "for": "900ms", "replica": "cart/0", "down": True}]
    async with serving(events, time="2s", workers=2) as bench:
        watch = Watch()
        client = await bench.send()
        idle = await bench.client()
        assert isinstance(await client.ended(), ConnectionResetError)
        assert bench.service.clock.now() > 0.09
        assert watch.ran < 0.1 + 2 * SLACK
        assert isinstance(await idle.ended(), ConnectionResetError)
        with pytest.raises(ConnectionRefusedError):
            await bench.client()
        assert (bench.busy, bench.queued) == (0, 0)
        while bench.service.clock.now() < 1.0:
            await asyncio.sleep(0.01)
        await settle(lambda: bench.service.listening.server is not None, "it listens again")
        assert (await (await bench.send()).response()).status == 200
        assert bench.rows()["status"] == [503, 200]


@live
async def test_requests_from_outside_the_scenario_are_served() -> None:
    async with serving(time="0s") as bench:
        client = await bench.client()
        assert (await client.ask(x_meshsim="nonsense")).status == 200
        assert (await client.ask()).status == 200
        assert len(set(bench.rows()["key"])) == 2
