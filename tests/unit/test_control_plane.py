"""The control plane on its own, against times worked out by hand; all in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from meshsim.engine.heap import HeapClock
from meshsim.mesh.clock import Event
from meshsim.mesh.control_plane import CLUSTERS, ROUTES, WHOLE, ControlPlane, Subscriber, Subscription
from meshsim.random import Constant, Distribution, Key


class InTurn(Distribution):
    """The given times, one after the other."""

    def __init__(self, *milliseconds: float) -> None:
        self.mean = self.scv = 1.0
        self.times = iter(milliseconds)

    def draw(self, key: Key, purpose: int) -> float:
        return next(self.times) / 1000


class Alarm(Event):
    """Does something when it is fired, and notes when."""

    def __init__(self, act: Callable[[float], None] = lambda now: None) -> None:
        self.act = act
        self.fired: list[float] = []

    def fire(self, step: int, now: float) -> None:
        self.fired.append(round(now * 1000, 6))
        self.act(now)


class Proxy(Subscriber):
    """Notes (version, part, when), and answers as proxies do; it refuses some versions."""

    def __init__(self, stage: Stage, refuses: Iterable[int]) -> None:
        self.stage = stage
        self.refuses = set(refuses)
        self.had: list[tuple[int, int, float]] = []

    def deliver(self, to: Subscription, version: int, content: str, part: int, now: float) -> None:
        assert content == f"version {version}"
        self.had.append((version, part, round(now * 1000, 6)))
        whole, clusters, routes = to.parts
        acked = max(whole, routes) not in self.refuses
        self.stage.plane.answered(to, max(whole, min(clusters, routes)), acked, now)


class Stage:
    """A control plane with some proxies, connected but for the last few."""

    def __init__(
        self, *delays: float, proxies: int = 1, later: int = 0, refuses: Iterable[int] = (), **options: Any
    ) -> None:
        self.clock = HeapClock()
        self.published: list[int] = []
        delay = InTurn(*delays) if delays else Constant(0.0)
        self.plane = ControlPlane(self.clock, self.publish, delay, **options)
        self.proxies = [Proxy(self, refuses) for _ in range(proxies + later)]
        self.subscriptions = [
            self.plane.subscribe(proxy, number, connected=number < proxies)
            for number, proxy in enumerate(self.proxies)
        ]

    def publish(self, version: int) -> str:
        self.published.append(version)
        return f"version {version}"

    def at(self, milliseconds: float, act: Callable[[float], None]) -> None:
        self.clock.at(milliseconds / 1000, Alarm(act), 0)

    def change(self, *milliseconds: float) -> None:
        for each in milliseconds:
            self.at(each, self.plane.changed)

    def run(self) -> Stage:
        self.clock.run(10.0, 10_000)
        return self

    def rows(self) -> list[tuple[float, float, list[float]]]:
        """(changed, begun, arrivals) of each push."""
        return [
            (
                round(push.changed * 1000, 6),
                round(push.begun * 1000, 6),
                [round(time * 1000, 6) for time in push.arrivals],
            )
            for push in self.plane.pushes[1:]
        ]


def test_a_burst_of_changes_is_one_push_once_it_is_quiet() -> None:
    stage = Stage(5, debounce=(0.1, 10.0))
    stage.change(0, 60, 120)
    assert stage.run().rows() == [(0, 220, [225])]
    assert stage.published == [0, 1]


def test_a_push_waits_no_longer_than_it_may_and_the_next_change_begins_anew() -> None:
    stage = Stage(5, 5, debounce=(0.1, 0.2))
    stage.change(0, 80, 160, 240)
    assert stage.run().rows() == [(0, 200, [205]), (240, 340, [345])]


def test_without_debounce_and_generation_each_change_is_a_push() -> None:
    stage = Stage(proxies=2)
    stage.change(10, 10, 20)
    assert stage.run().rows() == [(10, 10, [10, 10]), (10, 10, [10, 10]), (20, 20, [20, 20])]


def test_who_waits_keeps_its_place_and_gets_the_newest() -> None:
    """One worker, 10 ms each. At 12 ms proxy 1 is being made, and 2 waits: 2 is next, then 0 and 1 again."""
    stage = Stage(proxies=3, time=Constant(0.01), workers=1, debounce=(0.0, 0.0))
    stage.change(0, 12)
    assert stage.run().rows() == [(0, 0, [10, 20, 30]), (12, 12, [30, 40, 50])]
    assert [proxy.had for proxy in stage.proxies] == [
        [(1, WHOLE, 10), (2, WHOLE, 40)],
        [(1, WHOLE, 20), (2, WHOLE, 50)],
        [(2, WHOLE, 30)],
    ]


def test_workers_make_configurations_beside_each_other() -> None:
    stage = Stage(proxies=5, time=Constant(0.01), workers=2)
    stage.change(0)
    assert stage.run().rows() == [(0, 0, [10, 10, 20, 20, 30])]


def test_a_version_that_was_overtaken_does_not_arrive_and_the_newer_stands_for_it() -> None:
    stage = Stage(50, 10)
    stage.change(0, 20)
    assert stage.run().rows() == [(0, 0, [30]), (20, 20, [30])]
    assert stage.proxies[0].had == [(2, WHOLE, 30)]


def test_a_refusal_counts_until_a_version_is_taken() -> None:
    stage = Stage(proxies=2, refuses=[1, 2])
    stage.change(0, 10, 20)
    assert [push.nacked for push in stage.run().plane.pushes] == [0, 2, 2, 0]
    assert [subscription.version for subscription in stage.subscriptions] == [3, 3]


def test_a_configuration_in_two_parts_is_there_with_the_second() -> None:
    stage = Stage(10, 30, ordered=False)
    stage.change(0)
    assert stage.run().rows() == [(0, 0, [30])]
    assert stage.proxies[0].had == [(1, CLUSTERS, 10), (1, ROUTES, 30)]


def test_each_part_is_overtaken_by_its_own_kind_alone() -> None:
    """Version 1: clusters at 40, routes at 10. Version 2, at 20: clusters at 25, routes at 50."""
    stage = Stage(40, 10, 5, 30, ordered=False)
    stage.change(0, 20)
    assert stage.run().rows() == [(0, 0, [25]), (20, 20, [50])]
    assert stage.proxies[0].had == [(1, ROUTES, 10), (2, CLUSTERS, 25), (2, ROUTES, 50)]


def test_an_outage_ends_what_is_due_and_what_waits_but_not_what_is_on_its_way() -> None:
    """Proxy 0's is on its way from 10 to 30; proxy 1's is made from 10 to 20, and lost at 15."""
    stage = Stage(20, 1, 1, proxies=2, time=Constant(0.01), workers=1, debounce=(0.0, 0.0))
    stage.change(0)
    stage.at(15, stage.plane.go_down)
    stage.change(18, 19)
    stage.at(100, stage.plane.come_up)
    assert stage.run().rows() == [(0, 0, [30, 121]), (18, 100, [111, 121])]


def test_a_push_that_is_due_in_an_outage_is_made_up_for_at_once_after_it() -> None:
    stage = Stage(debounce=(0.1, 10.0))
    stage.change(0)
    stage.at(50, stage.plane.go_down)
    stage.at(60, stage.plane.go_down)
    stage.at(200, stage.plane.come_up)
    stage.at(300, stage.plane.come_up)
    assert stage.run().rows() == [(0, 300, [300])]


def test_a_proxy_that_connects_gets_what_was_pushed_last() -> None:
    stage = Stage(1, 7, later=1)
    waiting = Alarm()
    stage.change(0)
    stage.at(10, lambda now: stage.plane.connect(stage.subscriptions[1], waiting, now))
    assert stage.run().rows() == [(0, 0, [1])]
    assert stage.proxies[1].had == [(1, WHOLE, 17)]
    assert waiting.fired == [17]


def test_a_proxy_that_connects_in_an_outage_waits_for_its_end() -> None:
    stage = Stage(proxies=0, later=1)
    waiting = Alarm()
    stage.at(10, stage.plane.go_down)
    stage.at(20, lambda now: stage.plane.connect(stage.subscriptions[0], waiting, now))
    stage.at(90, stage.plane.come_up)
    stage.run()
    assert waiting.fired == [90]
    assert stage.plane.pushes[1].proxies == 1


def test_one_that_starts_is_there_with_both_parts_only() -> None:
    stage = Stage(10, 30, proxies=0, later=1, ordered=False)
    waiting = Alarm()
    stage.at(0, lambda now: stage.plane.connect(stage.subscriptions[0], waiting, now))
    stage.run()
    assert waiting.fired == [30]


def test_who_has_gone_is_sent_nothing_and_counts_no_more() -> None:
    stage = Stage(20, 20, proxies=2)
    stage.change(0)
    stage.at(10, lambda _: stage.plane.disconnect(stage.subscriptions[1]))
    assert stage.run().rows() == [(0, 0, [20])]
    assert stage.plane.pushes[1].proxies == 1
    assert stage.proxies[1].had == []


def test_a_worker_passes_over_who_has_gone() -> None:
    stage = Stage(proxies=3, time=Constant(0.01), workers=1)
    stage.change(0)
    stage.at(5, lambda _: stage.plane.disconnect(stage.subscriptions[1]))
    assert stage.run().rows() == [(0, 0, [10, 20])]
