"""The control plane: who learns of a change, and when. Proxies disagree meanwhile.

    changed ──debounce──► push n: what is wanted now is version n; connected proxies join the queue, once
                            └─► a worker makes the newest version for one ──push_delay──► it acks, or nacks

Without debounce and generation a push begins with each change. What a version holds is its owner's business,
who `publish`es it; it is kept while it is the newest, or on its way. A proxy that is not told works on with
the last version it has.

Source: Istio, pilot/pkg/bootstrap (debounce) and pilot/pkg/xds/pushqueue.go, which merges what waits for one
proxy. There, a proxy that is being served joins the queue when that is done; here, at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any, final

from meshsim.mesh.clock import Clock, Event
from meshsim.random import GENERATE, PUSH, PUSH_ROUTES, PUSHES, Distribution, Key, derive

# Parts of a configuration that may travel apart
WHOLE = 0
CLUSTERS = 1
ROUTES = 2


@dataclass
class Push:
    """What became of a push: of the proxies that were connected when it began.

    Attributes:
        version: its number, from 1.
        changed: when the first change was made that it brings, s.
        begun: when it began, s.
        proxies: that were connected, and have not gone.
        nacked: of them, those that refused a part of it, or of a newer one that came instead.
        arrivals: when each of them had it, or a newer one, s.
    """

    version: int
    changed: float
    begun: float
    proxies: int = 0
    nacked: int = 0
    arrivals: list[float] = field(default_factory=list)


class Subscriber:
    """A proxy, as the control plane sends to it."""

    def deliver(self, to: Subscription, version: int, content: Any, part: int, now: float) -> None:
        """A version arrives, or one part of it; ends in the control plane's `answered`, now or later."""
        raise NotImplementedError


class Subscription:
    """A proxy's connection to the control plane.

    Attributes:
        key: of the proxy.
        connected: whether it is sent anything.
        queued: whether it waits for its configuration to be made.
        generations: how many have been made for it.
        joined: the newest version when it was connected.
        version: the newest that it has taken or refused.
        parts: the newest of each part that has arrived.
        waiting: fired once, when its first version is there.
    """

    def __init__(self, subscriber: Subscriber, key: Key) -> None:
        self.subscriber = subscriber
        self.key = derive(key, PUSHES)
        self.connected = False
        self.queued = False
        self.generations = 0
        self.joined = 0
        self.version = 0
        self.parts = [-1, -1, -1]
        self.waiting: Event | None = None

    def takes(self, version: int, part: int) -> bool:
        """Whether what arrives is wanted: not where a newer one was there before, or the proxy has gone."""
        if not self.connected or version < self.parts[part]:
            return False
        self.parts[part] = version
        return True


@final
class ControlPlane(Event):
    """The control plane of a mesh; as an event, the end of a debounce.

    Args:
        publish: makes the content of a version, which has this number, when its push begins.
        delay: of what travels to a proxy, s.
        time: to make one proxy's configuration, s; None if that takes none, whoever else waits.
        debounce, debounce_max: how long a push waits for quiet, and at most, s; None: it does not.
        ordered: whether a configuration travels whole.

    Attributes:
        version: of the last push; 0 is what everybody has at first; `content` is what it holds.
        life: how often it has gone down; what is being made then is lost.
        pushes: what became of each; the first entry stands for version 0.
    """

    def __init__(
        self, clock: Clock, publish: Callable[[int], Any], delay: Distribution,
        time: Distribution | None = None, workers: int = 1,
        debounce: tuple[float, float] | None = None, ordered: bool = True,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.publish = publish
        self.delay = delay
        self.time = time
        self.workers = workers
        self.debounce = debounce
        self.ordered = ordered
        self.version = 0
        self.content = publish(0)
        self.pushes = [Push(0, 0.0, 0.0)]
        self.subscriptions: list[Subscription] = []  # in the order of the proxies' numbers
        self.downs = 0
        self._changed = inf  # when the first change was made that waits; inf: none does
        self._turn = 0
        self._queue: deque[Subscription] = deque()
        self._working = 0
        self.life = 0

    # ---- who is told --------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber, key: Key, *, connected: bool) -> Subscription:
        """Takes note of a proxy, which has version 0 if it is connected."""
        subscription = Subscription(subscriber, key)
        subscription.connected = connected
        self.subscriptions.append(subscription)
        return subscription

    def connect(self, subscription: Subscription, waiting: Event | None, now: float) -> None:
        """A proxy starts and asks for its configuration: `waiting` is fired when that is there."""
        subscription.connected = True
        subscription.joined = self.version
        subscription.version = -1
        subscription.waiting = waiting
        if self.downs == 0:
            self._enqueue(subscription, now)

    def repeat(self, subscription: Subscription, now: float) -> None:
        """A proxy may have missed what was sent to it: it gets the newest version once more."""
        if self.downs == 0 and subscription.connected:
            self._enqueue(subscription, now)

    def disconnect(self, subscription: Subscription) -> None:
        """A proxy has gone; nothing that is on its way to it arrives."""
        if subscription.connected:
            for push in self._missing(subscription, self.version):
                push.proxies -= 1
        subscription.connected = False
        subscription.waiting = None

    def _missing(self, subscription: Subscription, version: int) -> list[Push]:
        """The pushes up to a version that have not arrived at a proxy that is counted among theirs."""
        return self.pushes[max(subscription.version, subscription.joined) + 1 : version + 1]

    # ---- pushes -------------------------------------------------------------------------------------

    def changed(self, now: float) -> None:
        """What is wanted has changed: a push follows."""
        self._changed = min(self._changed, now)
        if self.downs > 0:
            return
        if self.debounce is None:
            self.push(now)
        else:
            quiet, most = self.debounce
            self._turn += 1
            self.clock.at(min(now + quiet, self._changed + most), self, self._turn)

    def fire(self, step: int, now: float) -> None:
        if step == self._turn and self._changed < inf:
            self.push(now)

    def push(self, now: float) -> None:
        """What is wanted now becomes a version, and is on its way to all who are connected."""
        self._turn += 1
        self.version += 1
        push = Push(self.version, min(self._changed, now), now)
        self._changed = inf
        self.pushes.append(push)
        self.content = self.publish(self.version)
        connected = [each for each in self.subscriptions if each.connected]
        push.proxies = sum(each.joined < self.version for each in connected)
        for subscription in connected:
            self._enqueue(subscription, now)

    def _enqueue(self, subscription: Subscription, now: float) -> None:
        if self.time is None:
            self._send(self._generation(subscription), now)
        elif not subscription.queued:
            subscription.queued = True
            self._queue.append(subscription)
            self._begin(now)

    def _begin(self, now: float) -> None:
        """Free workers begin with whoever waits."""
        while self._working < self.workers and self._queue:
            subscription = self._queue.popleft()
            subscription.queued = False
            if subscription.connected:
                assert self.time is not None, "else nobody waits"
                self._working += 1
                made = self._generation(subscription)
                self.clock.at(now + self.time.draw(made.key, GENERATE), made, 0)

    def _generation(self, subscription: Subscription) -> Generation:
        subscription.generations += 1
        return Generation(self, subscription, derive(subscription.key, subscription.generations - 1))

    def made(self, generation: Generation, now: float) -> None:
        """A proxy's configuration is made: it is sent, and the worker takes the next."""
        if generation.life == self.life:
            self._working -= 1
            self._send(generation, now)
            self._begin(now)

    def _send(self, generation: Generation, now: float) -> None:
        ways = [(WHOLE, PUSH)] if self.ordered else [(CLUSTERS, PUSH), (ROUTES, PUSH_ROUTES)]
        for part, purpose in ways:
            arrival = Arrival(generation, part)
            lasts = self.delay.draw(generation.key, purpose)
            if lasts > 0.0:
                self.clock.at(now + lasts, arrival, 0)
            else:
                arrival.fire(0, now)

    def answered(self, subscription: Subscription, version: int, acked: bool, now: float) -> None:
        """A proxy has all of a version, and has acked it, or refused a part of it."""
        if version < max(0, subscription.version) or not subscription.connected:
            return
        for push in self._missing(subscription, version):
            push.nacked += not acked
            push.arrivals.append(now)
        subscription.version = version
        waiting, subscription.waiting = subscription.waiting, None
        if waiting is not None:
            waiting.fire(0, now)

    # ---- outages ------------------------------------------------------------------------------------

    def go_down(self, now: float) -> None:
        """Nothing is pushed until every cause is over; what is on its way arrives."""
        self.downs += 1
        if self.downs == 1:
            self.life += 1
            self._turn += 1
            self._working = 0
            for subscription in self._queue:
                subscription.queued = False
            self._queue.clear()

    def come_up(self, now: float) -> None:
        """One cause less to be down; after the last, all are sent what is wanted by now."""
        self.downs -= 1
        if self.downs == 0:
            self.push(now)


@final
class Generation(Event):
    """The newest version as it is made for one proxy; as an event, a worker has made it."""

    def __init__(self, control_plane: ControlPlane, subscription: Subscription, key: Key) -> None:
        self.control_plane = control_plane
        self.subscription = subscription
        self.key = key
        self.version = control_plane.version
        self.content = control_plane.content
        self.life = control_plane.life

    def fire(self, step: int, now: float) -> None:
        self.control_plane.made(self, now)


@final
class Arrival(Event):
    """What was made for a proxy, or a part of it, on its way there."""

    def __init__(self, made: Generation, part: int) -> None:
        self.made = made
        self.part = part

    def fire(self, step: int, now: float) -> None:
        made, to = self.made, self.made.subscription
        if to.takes(made.version, self.part):
            to.subscriber.deliver(to, made.version, made.content, self.part, now)
