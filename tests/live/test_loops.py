"""Loops and alarms: nothing comes too early, nothing twice, and nothing that was cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from meshsim.live.loops import Alarm, Kind, LoopAlarm, TimerAlarm, new_alarm, new_loop

KINDS: list[Kind] = ["fast", "precise"]
MAKERS: list[Callable[..., Alarm]] = [new_alarm, LoopAlarm]


def run(kind: Kind, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = new_loop(kind)
    try:
        loop.run_until_complete(test())
    finally:
        loop.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", MAKERS)
def test_an_alarm_rings_once_and_not_before_its_time(kind: Kind, make: Callable[..., Alarm]) -> None:
    async def test() -> None:
        rung: list[float] = []
        alarm = make(asyncio.get_running_loop(), lambda: rung.append(time.monotonic()))
        for delay in (0.02, 0.003, 0.0, -1.0):  # the last is past, which is at once
            when = time.monotonic() + delay
            alarm.set(when)
            await asyncio.sleep(max(delay, 0.0) + 0.03)
            assert len(rung) == 1
            # libuv's own timers count whole milliseconds, and so may be one early
            assert rung.pop() >= when - (0.002 if make is LoopAlarm else 0.0)
        alarm.close()

    run(kind, test)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", MAKERS)
def test_an_alarm_has_one_time_and_none_once_it_is_cancelled(kind: Kind, make: Callable[..., Alarm]) -> None:
    async def test() -> None:
        rung: list[float] = []
        alarm = make(asyncio.get_running_loop(), lambda: rung.append(time.monotonic()))
        now = time.monotonic()
        alarm.set(now + 0.01)
        alarm.set(now + 0.05)
        await asyncio.sleep(0.03)
        assert not rung
        await asyncio.sleep(0.05)
        assert len(rung) == 1
        alarm.set(time.monotonic() + 0.01)
        alarm.cancel()
        await asyncio.sleep(0.03)
        assert len(rung) == 1
        alarm.set(time.monotonic() + 0.01)
        alarm.close()
        await asyncio.sleep(0.03)
        assert len(rung) == 1

    run(kind, test)


@pytest.mark.parametrize("kind", KINDS)
def test_an_alarm_may_be_set_again_while_it_rings(kind: Kind) -> None:
    async def test() -> None:
        rung = 0
        over = asyncio.Event()

        def ring() -> None:
            nonlocal rung
            rung += 1
            if rung < 20:
                alarm.set(time.monotonic() + 0.001)
            else:
                over.set()

        alarm = new_alarm(asyncio.get_running_loop(), ring)
        alarm.set(time.monotonic())
        await asyncio.wait_for(over.wait(), 10.0)
        alarm.close()
        assert rung == 20

    run(kind, test)


def test_the_precise_loop_wakes_for_timers_descriptors_and_nothing_else() -> None:
    """After a timer was due, its descriptor is not ready any more: the loop must not spin."""

    async def test() -> None:
        await asyncio.sleep(0.001)
        began = time.process_time()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, time.sleep, 0.2)  # waits for a descriptor, without a timer
        assert time.process_time() - began < 0.1

    run("precise", test)


def test_the_precise_loop_is_not_early() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(50):
            due = loop.time() + 0.0007
            await asyncio.sleep(0.0007)
            assert loop.time() >= due

    run("precise", test)


def test_on_linux_alarms_are_timers_of_the_kernel() -> None:
    async def test() -> None:
        alarm = new_alarm(asyncio.get_running_loop(), lambda: None)
        assert isinstance(alarm, TimerAlarm)
        alarm.close()

    run("precise", test)
