"""Loops and alarms: nothing comes too early, nothing twice, and nothing that was cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from meshsim.live.loops import Alarm, LoopAlarm, TimerAlarm, new_alarm, new_loop

NewLoop = Callable[[], asyncio.AbstractEventLoop]
LOOPS: list[NewLoop] = [new_loop, asyncio.new_event_loop]
MAKERS: list[Callable[..., Alarm]] = [new_alarm, LoopAlarm]


def run(make_loop: NewLoop, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = make_loop()
    try:
        loop.run_until_complete(test())
    finally:
        loop.close()


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("make", MAKERS)
def test_an_alarm_rings_once_and_not_before_its_time(make_loop: NewLoop, make: Callable[..., Alarm]) -> None:
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

    run(make_loop, test)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("make", MAKERS)
def test_an_alarm_has_one_time_and_none_once_it_is_cancelled(
    make_loop: NewLoop, make: Callable[..., Alarm]
) -> None:
    async def test() -> None:
        rung: list[float] = []
        alarm = make(asyncio.get_running_loop(), lambda: rung.append(time.monotonic()))
        alarm.set((now := time.monotonic()) + 0.01)
        alarm.set(later := now + 0.05)
        while not rung:
            await asyncio.sleep(0.01)
        assert rung[0] >= later - 0.002
        await asyncio.sleep(0.03)
        assert len(rung) == 1
        alarm.set(time.monotonic() + 0.01)
        alarm.cancel()
        await asyncio.sleep(0.03)
        assert len(rung) == 1
        alarm.set(time.monotonic() + 0.01)
        alarm.close()
        await asyncio.sleep(0.03)
        assert len(rung) == 1

    run(make_loop, test)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_an_alarm_may_be_set_again_while_it_rings(make_loop: NewLoop) -> None:
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
        await asyncio.wait_for(over.wait(), 60.0)
        alarm.close()
        assert rung == 20

    run(make_loop, test)


def test_on_linux_alarms_are_timers_of_the_kernel() -> None:
    async def test() -> None:
        alarm = new_alarm(asyncio.get_running_loop(), lambda: None)
        assert isinstance(alarm, TimerAlarm)
        alarm.close()

    run(new_loop, test)
