"""Spans as a tracer keeps them, and on their way to the launcher: unchanged, and no object for each."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest

from meshsim.live.spans import HELD, SpanFeed, kept_spans
from meshsim.measure.spans import ROW_BYTES, Spans
from meshsim.mesh.request import Request
from meshsim.mesh.spans import ATTEMPT_SPAN, CALL_SPAN, SPANS, Tracer

KEY = (1 << 64) - 1
"""The largest: no number of 64 bits with a sign."""


def add(tracer: Tracer, numbers: Iterable[int], kind: int = ATTEMPT_SPAN) -> None:
    """Spans that differ in their numbers."""
    request = Request(-1, KEY, 0.5, 0, True)
    request.half = KEY - 1
    for number in numbers:
        tracer.add(
            kind, request, KEY - number, number, 1, -1, number, 2, True, 0.25, float(number), -1, 1 << 40,
        )  # fmt: skip


def row(number: int) -> tuple[float, ...]:
    """What `add` added."""
    keys = KEY - 1, KEY, KEY - number, number
    return *keys, 0.25, float(number), ATTEMPT_SPAN, 1, -1, number, 2, 1, -1, 1 << 40


def rows(numbers: Iterable[int]) -> list[tuple[float, ...]]:
    return [row(number) for number in numbers]


def kept(spans: Spans) -> list[tuple[float, ...]]:
    """The numbers of each."""
    parts = zip(spans.keys.tolist(), spans.times.tolist(), spans.numbers.tolist(), strict=True)
    return [(*keys, *times, *numbers) for keys, times, numbers in parts]


@pytest.mark.parametrize("count", [0, 1, SPANS, SPANS + 1, 5 * SPANS])
def test_a_tracer_has_all_that_was_added(count: int) -> None:
    tracer = Tracer()
    add(tracer, range(count))
    spans = Spans.of(tracer)
    packed = spans.packed()
    assert kept(spans) == rows(range(count))
    assert len(packed) == count * ROW_BYTES
    assert kept(Spans.read(packed)) == rows(range(count))


@pytest.mark.parametrize("forgotten", [0, 1, SPANS, 2 * SPANS + 1, 3 * SPANS])
def test_what_is_forgotten_is_the_oldest(forgotten: int) -> None:
    tracer = Tracer()
    add(tracer, range(3 * SPANS))
    tracer.forget(forgotten)
    add(tracer, [7])
    assert kept(Spans.of(tracer)) == rows([*range(forgotten, 3 * SPANS), 7])


def test_a_span_makes_no_object() -> None:
    """It is what made tracing dear: a dozen objects a span, and as many again to pack it."""
    tracer = Tracer()
    add(tracer, range(4 * SPANS))
    tracer.forget(4 * SPANS)
    before = sys.getallocatedblocks()
    add(tracer, range(4 * SPANS))
    assert sys.getallocatedblocks() - before < SPANS


@pytest.mark.parametrize("all_kept", [False, True])
def test_what_is_taken_is_new(all_kept: bool) -> None:
    feed = SpanFeed(kept=all_kept, wanted=True)
    for begin in (0, 5, 5):
        add(feed.tracer, range(begin, begin + 5))
        assert kept(Spans.read(feed.take())) == rows(range(begin, begin + 5))
    assert feed.take() == b""
    kept_ones = [*range(10), *range(5, 10)] if all_kept else []
    assert kept(kept_spans(feed.rows())) == rows(kept_ones)


@pytest.mark.parametrize("all_kept", [False, True])
def test_what_nobody_takes_is_dropped_and_counted(all_kept: bool) -> None:
    feed = SpanFeed(kept=all_kept, wanted=True)
    add(feed.tracer, range(HELD + 3))
    feed.hold()
    assert feed.lost == 3
    assert kept(Spans.read(feed.take()))[:2] == rows([3, 4])


def test_of_those_that_are_dropped_only_one_kind_counts_where_only_that_is_wanted() -> None:
    feed = SpanFeed(kept=False, wanted=True, kind=ATTEMPT_SPAN)
    for number in range(0, HELD + 6, 2):
        add(feed.tracer, [number], CALL_SPAN)
        add(feed.tracer, [number + 1])
    feed.hold()
    assert feed.lost == 3
    assert kept(Spans.read(feed.take())) == rows(range(7, HELD + 6, 2))


def test_what_nobody_wants_is_forgotten() -> None:
    feed = SpanFeed(kept=False, wanted=False)
    add(feed.tracer, range(5))
    feed.hold()
    assert (feed.tracer.spans, feed.take(), feed.lost) == (0, b"", 0)


def test_spans_of_several_are_pooled() -> None:
    tracers = [Tracer(), Tracer(), Tracer()]
    add(tracers[0], range(3))
    add(tracers[2], range(3, 5))
    assert kept(Spans.pooled(map(Spans.of, tracers))) == rows(range(5))
    assert kept(Spans.pooled([])) == []
