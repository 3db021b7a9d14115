"""Before scenario time 0, and across the word of when that is: whoever asks is served as at any time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.live.proxy.ends import Upstream, after, answers, in_turn, silence
from tests.live.proxy.rig import Rig, live, proxied
from tests.live.proxy.test_service import serving

WAIT = "100ms"
SECOND = "1s"
CASES: dict[str, tuple[dict[str, Any], Any, int, str, float]] = {
    "nothing": ({}, answers(), 200, "-", 0.0),
    "a slow answer": ({}, after(0.1, answers()), 200, "-", 0.1),
    "a time-out": ({"timeout": WAIT}, silence, 504, "UT", 0.1),
    "a per-try time-out": (
        {"retries": {"attempts": 1, "per_try_timeout": WAIT, "backoff": {"base": "0s"}}},
        in_turn(silence, answers()),
        200,
        "-",
        0.1,
    ),
    "a fault": ({"fault": {"delay": {"time": WAIT}}}, answers(), 200, "DI", 0.1),
    "a hedge": ({"hedge": {"after": WAIT, "max": 1}}, in_turn(silence, answers()), 200, "-", 0.1),
    "a rate limit": ({"rate_limit": {"burst": 1, "rate": "1/s"}}, answers(), 200, "-", 0.0),
}
"""Policy, upstream, and what is to come: status, flags, and after what time, s."""
EARLY = 0.005
"""How much before its time a loop that counts milliseconds may be, s."""


async def ask(rig: Rig) -> float:
    """How long a request takes, s."""
    began = time.monotonic()
    await rig.ask()
    return time.monotonic() - began


def logged(rig: Rig) -> tuple[Any, ...]:
    (line,) = rig.log()
    return line["response_code"], line["response_flags"], line["duration"], line["upstream_service_time"]


@pytest.mark.parametrize("case", CASES)
@live
async def test_before_the_start(case: str) -> None:
    policy, upstream, status, flags, least = CASES[case]
    async with proxied(Upstream(upstream), policy=policy, start=10.0) as rig:
        assert least - EARLY <= await ask(rig) < least + 8.0
        code, flag, duration, served = logged(rig)
        assert (code, flag) == (status, flags)
        assert 1e3 * (least - EARLY) <= duration < 1e3 * (least + 8.0)
        assert (served is None) == (status == 504)


@pytest.mark.parametrize("case", CASES)
@live
async def test_across_the_word_of_the_start(case: str) -> None:
    """A request that is under way then ends when it would have, and lasted as long as it did."""
    policy, upstream, status, flags, least = CASES[case]
    async with proxied(Upstream(upstream), policy=policy, start=None) as rig:
        asking = asyncio.ensure_future(ask(rig))
        await asyncio.sleep(0.05)
        rig.proxy.start(time.monotonic() + 0.25)
        assert least - EARLY <= await asking < least + 8.0
        code, flag, duration, _ = logged(rig)
        assert (code, flag) == (status, flags)
        assert 1e3 * (least - EARLY) <= duration < 1e3 * (least + 8.0)


@live
async def test_time_outs_behind_one_that_crosses_the_start_keep_their_times() -> None:
    """They stand in one list, of which only the first is on the clock."""
    async with proxied(Upstream(silence), policy={"timeout": "300ms"}, start=None) as rig:
        asking = [asyncio.ensure_future(ask(rig))]
        for _ in range(2):
            await asyncio.sleep(0.1)
            asking.append(asyncio.ensure_future(ask(rig)))
        await asyncio.sleep(0.02)
        rig.proxy.start(time.monotonic() + 0.25)
        asking.append(asyncio.ensure_future(ask(rig)))
        for lasted in await asyncio.gather(*asking):
            assert 0.3 - EARLY <= lasted < 8.0


@live
async def test_what_was_before_the_start_is_before_0() -> None:
    """So that no part of a scenario is taken for it."""
    async with proxied(start=None) as rig:
        await rig.ask()
        rig.proxy.start(time.monotonic() + 0.25)
        rows = rig.proxy.rows()
        assert rows["calls.end"][0] < 0.0
        (request,) = rig.seen
        start = float((request.get("x-meshsim") or b"").split(b";")[1])
        assert start == pytest.approx(rows["calls.start"][0], abs=2e-6)


@live
async def test_a_context_of_before_0_says_its_start() -> None:
    async with proxied(start=10.0) as rig:
        await rig.ask()
        (request,) = rig.seen
        start = float((request.get("x-meshsim") or b"").split(b";")[1])
        assert start == pytest.approx(rig.proxy.rows()["calls.start"][0], abs=2e-6)


@live
async def test_a_host_that_was_ejected_before_the_start_comes_back() -> None:
    rule = {
        "consecutive_5xx": 1,
        "interval": "300ms",
        "base_ejection_time": "300ms",
        "max_ejection_percent": "100%",
    }
    upstream = Upstream(in_turn(answers(503), answers()))
    async with proxied(upstream, policy={"outlier_detection": rule}, start=10.0) as rig:
        assert [(await rig.ask()).status for _ in range(2)] == [503, 503]
        await asyncio.sleep(0.8)
        assert (await rig.ask()).status == 200
        assert [line["response_flags"] for line in rig.log()] == ["-", "UH", "-"]


@pytest.mark.parametrize("start", [None, 10.0, 0.2])
@live
async def test_a_service_serves_before_its_time(start: float | None) -> None:
    """The bins of its gauges begin at 0: what was before is in none of them."""
    async with serving(start=start, duration="3s", time="50ms") as bench:
        clients = [await bench.send(call) for call in (1, 2)]
        await asyncio.sleep(0.02)
        if start is None:
            bench.service.start(time.monotonic() + 0.05)
        for client in clients:
            assert (await asyncio.wait_for(client.response(), 60.0)).status == 200
        bins = bench.service.rows()["busy"]
        assert sum(bins) <= 0.1
        if start == 10.0:
            assert sum(bins) == 0.0
