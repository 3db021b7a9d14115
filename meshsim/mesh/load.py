"""Load: where requests come from.

An open load does not care how the mesh fares: its requests come at their times, and pile up if they must. A
closed load is made by users who wait for their answer before they think of the next request, so a slow mesh
gets less load; a closed load hides exactly the trouble that an open one shows.
"""

from __future__ import annotations

from math import inf, log1p, sqrt
from typing import final

from meshsim.errors import MeshsimError
from meshsim.mesh.call import Call, Owner
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.proxy import Route
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.request import Request
from meshsim.policies.split import WeightedSplit
from meshsim.random import ENDPOINT, GAP, SAMPLE, STATE, THINK, Distribution, Key, derive, u01
from meshsim.units import RESOLUTION

PIECES = 1 << 16
"""So many pieces of an intensity are looked at within one event: between events, a run may be interrupted."""


@final
class Client:
    """Who sends requests: one caller, without a sidecar.

    Attributes:
        until: when arrivals stop, s; the end less the clock's resolution, so that rounding lets none slip in.
        sampling: share of requests whose spans are kept.
        unfinished: requests under way.
        sources: loads and users that may still send.
        watch: fired when there is nothing under way and nothing to come.
    """

    until: float
    watch: Event | None

    def __init__(self, clock: Clock, recorder: Recorder, duration: float, sampling: float) -> None:
        self.clock = clock
        self.recorder = recorder
        self.until = duration - RESOLUTION
        self.sampling = sampling
        self.unfinished = 0
        self.sources = 0
        self.watch = None

    def settled(self, now: float) -> None:
        """Says so if there is nothing under way and nothing to come."""
        if self.unfinished == 0 and self.sources == 0 and self.watch is not None:
            self.watch.fire(0, now)


@final
class ClientRequest(Owner):
    """A request of the client, waiting for its answer.

    Attributes:
        user: who waits for it; None for an open load.
        row: its number in the recorder.
        load: its load's number.
    """

    def __init__(self, client: Client, user: User | None, row: int, load: int) -> None:
        self.client = client
        self.user = user
        self.row = row
        self.load = load
        self.span = 0

    def answered(self, call: Call, now: float) -> None:
        client = self.client
        host = -1 if call.host is None else call.host.replica
        client.recorder.request_ended(
            self.row, self.load, call.start, call.status, call.flags, call.sent, host, now
        )
        client.unfinished -= 1
        if self.user is not None:
            self.user.wait(now)
        client.settled(now)


def send(
    client: Client, user: User | None, load: int, route: Route, key: Key, priority: int, now: float
) -> None:
    """Sends one request."""
    row = client.recorder.request(load, now)
    request = Request(row, key, now, priority, client.sampling > 0.0 and u01(key, SAMPLE) < client.sampling)
    client.unfinished += 1
    Call(route, ClientRequest(client, user, row, load), request, key, False, now).begin(now)


class Intensity:
    """The rate of an open load over time, in pieces that are straight lines.

    NOTE: times are found from the integral since the beginning, not from one arrival to the next: a sum of
    many steps rounds as often, and evenly spaced arrivals would drift off the times at which they are due.

    Attributes:
        starts: when each piece begins, s, the first at 0.
        rates: at its beginning, per second.
        slopes: per second and second.
        piece: the one that the last arrival was in.
        passed: the integral of the rate up to its beginning.
        searching: whether the last time that was found is no arrival, but where to go on looking for it.
        until: arrivals later than this are of no interest, s.
    """

    def __init__(self, starts: list[float], rates: list[float], slopes: list[float], until: float) -> None:
        self.starts = starts
        self.rates = rates
        self.slopes = slopes
        self.piece = 0
        self.passed = 0.0
        self.searching = False
        self.until = until

    def extend(self) -> bool:
        """Adds pieces beyond the last one, if there are any to come."""
        return False

    def reaches(self, units: float) -> float:
        """The time at which the integral is `units`, which never falls; infinite if not before `until`."""
        looked = 0
        self.searching = False
        while self.starts[self.piece] < self.until:
            if looked == PIECES:
                self.searching = True
                return self.starts[self.piece]
            looked += 1
            if self.piece + 1 >= len(self.starts) and not self.extend():
                return self.within(units - self.passed)
            lasts = self.starts[self.piece + 1] - self.starts[self.piece]
            gained = lasts * (self.rates[self.piece] + 0.5 * self.slopes[self.piece] * lasts)
            if self.passed + gained >= units:
                return self.within(units - self.passed)
            self.passed += gained
            self.piece += 1
        return inf

    def within(self, units: float) -> float:
        """The time at which the integral has grown by `units` since the current piece began."""
        rate = self.rates[self.piece]
        slope = self.slopes[self.piece]
        if rate <= 0.0 and slope <= 0.0:
            return inf
        # the root of slope/2 · t² + rate · t = units, without cancellation
        root = sqrt(max(0.0, rate * rate + 2.0 * slope * units))
        return self.starts[self.piece] + 2.0 * units / (rate + root)


@final
class Modulated(Intensity):
    """A rate that jumps between states, staying in each for an exponential time.

    Attributes:
        key: of the load.
        state_rates, means: of each state, per second and s.
        stays: drawn so far.
        changes: when the last of them ends, s.
    """

    def __init__(self, key: Key, state_rates: list[float], means: list[float], until: float) -> None:
        super().__init__([], [], [], until)
        self.key = key
        self.state_rates = state_rates
        self.means = means
        self.stays = 0
        self.changes = 0.0
        self.extend()

    def extend(self) -> bool:
        state = self.stays % len(self.means)
        if self.piece > 0:  # what time has passed is not needed any more
            self.starts.pop(0)
            self.rates.pop(0)
            self.slopes.pop(0)
            self.piece -= 1
        self.starts.append(self.changes)
        self.rates.append(self.state_rates[state])
        self.slopes.append(0.0)
        self.changes -= self.means[state] * log1p(-u01(derive(self.key, self.stays), STATE))
        self.stays += 1
        return True


@final
class Mix:
    """What the requests of a load ask for: endpoints of a service, each with its share of them.

    Attributes:
        only: their route, where there is but one.
    """

    only: Route | None

    def __init__(self, routes: list[Route], split: WeightedSplit) -> None:
        self.routes = routes
        self.split = split
        self.only = routes[0] if len(routes) == 1 else None

    def route(self, key: Key) -> Route:
        """The route of the request with this key."""
        if self.only is not None:
            return self.only
        return self.routes[self.split.choose(u01(key, ENDPOINT))]


class Source(Event):
    """A load, or one user of it: what sends requests, one after the other.

    Attributes:
        number: of the load.
        key: of the load, or of the user.
        priority: of the requests.
        count: requests so far.
    """

    def __init__(self, client: Client, mix: Mix, number: int, key: Key, priority: int) -> None:
        self.client = client
        self.mix = mix
        self.number = number
        self.key = key
        self.priority = priority
        self.count = 0

    def next_time(self, now: float) -> float:
        """When request number `count` is due, s; infinite if it never is."""
        raise NotImplementedError

    def begin(self) -> None:
        """Waits for the first request."""
        self.client.sources += 1
        self.wait(0.0)

    def wait(self, now: float) -> None:
        """Waits for the next request, if there is one before the end."""
        time = self.next_time(now)
        if time < self.client.until:
            self.client.clock.at(time, self, 0)
        else:
            self.client.sources -= 1

    def next_key(self) -> Key:
        """The key of the request that is due."""
        key = derive(self.key, self.count)
        self.count += 1
        return key


class OpenLoad(Source):
    """Requests whose times do not depend on the mesh."""

    def fire(self, step: int, now: float) -> None:
        key = self.next_key()
        self.wait(now)
        send(self.client, None, self.number, self.mix.route(key), key, self.priority, now)


@final
class RateLoad(OpenLoad):
    """Arrivals of a given intensity: random or evenly spaced in units of its integral.

    Attributes:
        due: the integral at the next arrival.
    """

    def __init__(
        self,
        client: Client,
        mix: Mix,
        number: int,
        key: Key,
        priority: int,
        intensity: Intensity,
        random: bool,
    ) -> None:
        super().__init__(client, mix, number, key, priority)
        self.intensity = intensity
        self.random = random
        self.due = 0.0

    def fire(self, step: int, now: float) -> None:
        if self.intensity.searching:
            self.wait(now)
        else:
            OpenLoad.fire(self, step, now)

    def next_time(self, now: float) -> float:
        if not self.intensity.searching:
            self.due += -log1p(-u01(derive(self.key, self.count), GAP)) if self.random else 1.0
        return self.intensity.reaches(self.due)


@final
class TraceLoad(OpenLoad):
    """Arrivals at given times."""

    def __init__(
        self, client: Client, mix: Mix, number: int, key: Key, priority: int, times: list[float]
    ) -> None:
        super().__init__(client, mix, number, key, priority)
        self.times = times

    def next_time(self, now: float) -> float:
        return self.times[self.count] if self.count < len(self.times) else inf


REQUESTS_AT_ONCE = 10_000
"""So many requests of one user at one instant are a scenario in which time does not pass."""


@final
class User(Source):
    """One user of a closed load: thinks, sends, waits for the answer, thinks again.

    Attributes:
        pause: to think.
        last: when the last request was sent, s.
        repeated: requests sent at that instant.
    """

    def __init__(
        self, client: Client, mix: Mix, number: int, key: Key, priority: int, pause: Distribution
    ) -> None:
        super().__init__(client, mix, number, key, priority)
        self.pause = pause
        self.last = -1.0
        self.repeated = 0

    def next_time(self, now: float) -> float:
        return now + self.pause.draw(derive(self.key, self.count), THINK)

    def fire(self, step: int, now: float) -> None:
        key = self.next_key()
        self.repeated = self.repeated + 1 if now == self.last else 0
        self.last = now
        if self.repeated >= REQUESTS_AT_ONCE:
            raise MeshsimError(
                f"load[{self.number}]: one user was answered {REQUESTS_AT_ONCE} times at the same instant "
                f"({now} s), so time would never pass; give its users a `think` time"
            )
        send(self.client, self, self.number, self.mix.route(key), key, self.priority, now)
