"""What goes wrong in a process, and who hears of it."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sys
from collections.abc import Iterator

import pytest

from meshsim.lab.live import troubles as told
from meshsim.live.troubles import KINDS_AT_MOST, look_for_descriptors, no_connection, trouble, troubles, watch


@pytest.fixture(autouse=True)
def none_before() -> Iterator[None]:
    troubles.clear()
    yield
    troubles.clear()


def test_a_host_that_refuses_is_no_trouble_of_ours() -> None:
    for number in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT):
        no_connection(OSError(number, "it"))
    no_connection(TimeoutError())
    assert not troubles


def test_running_out_of_descriptors_is_with_its_remedy() -> None:
    for _ in range(3):
        no_connection(OSError(errno.EMFILE, "Too many open files"))
    ((what, times),) = troubles.items()
    assert times == 3
    assert "Too many open files" in what
    assert "ulimit -n" in what


def test_descriptors_are_looked_for_before_connections_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    look_for_descriptors()
    assert not troubles

    def none_left(descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", none_left)
    look_for_descriptors()
    assert "ulimit -n" in next(iter(troubles))


def test_each_is_said_once_and_kinds_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2 * KINDS_AT_MOST):
        trouble(f"trouble {number}")
        trouble(f"trouble {number}")
    assert len(troubles) == KINDS_AT_MOST
    assert capsys.readouterr().err.splitlines() == [f"trouble {number}" for number in range(KINDS_AT_MOST)]


def test_an_error_that_nobody_catches_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    async def fail() -> None:
        loop = asyncio.get_running_loop()
        watch(loop)
        loop.call_soon(lambda: {}["nothing"])
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(fail())
    ((what, times),) = troubles.items()
    assert times == 1
    assert "KeyError('nothing')" in what


def test_they_are_told_by_process() -> None:
    assert told({"the proxy of cart/0": {"the disk is full": 1200, "it is late": 1}}) == [
        "Not the scenario's doing, in the proxy of cart/0, 1,200 times: the disk is full.",
        "Not the scenario's doing, in the proxy of cart/0, once: it is late.",
    ]


def test_a_log_that_takes_nothing_is_no_error_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    trouble("the disk is full")
    assert troubles == {"the disk is full": 1}
