from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from meshsim.mesh.queue import Lifo, Priority, Queue, Waiting


def waiting(priority: int) -> Waiting:
    one = Waiting()
    one.ahead = one.behind = None
    one.priority = priority
    return one


actions = st.lists(
    st.tuples(st.sampled_from(["push", "push", "pop", "remove"]), st.integers(0, 3)), max_size=80
)


def play(queue: Queue, history: list[tuple[str, int]], order: object) -> None:
    """Plays a history on the queue and on a sorted list of what waits."""
    model: list[tuple[object, int, Waiting]] = []
    for number, (action, value) in enumerate(history):
        if action == "push":
            one = waiting(value)
            queue.push(one)
            heapq.heappush(model, (order(value, number), number, one))  # type: ignore[operator]
        elif model and action == "pop":
            assert queue.pop() is heapq.heappop(model)[2]
        elif model:
            entry = model.pop(value % len(model))
            heapq.heapify(model)
            queue.remove(entry[2])
        assert queue.length == len(model)
    while model:
        assert queue.pop() is heapq.heappop(model)[2]


@given(actions)
def test_fifo_serves_the_oldest(history: list[tuple[str, int]]) -> None:
    play(Queue(), history, lambda priority, number: number)


@given(actions)
def test_lifo_serves_the_youngest(history: list[tuple[str, int]]) -> None:
    play(Lifo(), history, lambda priority, number: -number)


@given(actions)
def test_priority_serves_the_most_urgent_and_among_those_the_oldest(history: list[tuple[str, int]]) -> None:
    play(Priority(), history, lambda priority, number: (-priority, number))
