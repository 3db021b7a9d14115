"""Whether the mesh recovers from its trigger: from what the scenario's events do to it.

Each run has a twin: the same draws without the events. Over the last part of the run the two are compared.
*Recovered* is a run whose goodput and latency, and with these (Little) the requests in flight, are as good as
its twin's; with the same draws they often become identical, so tolerances can be narrow. Where the twin
itself is overloaded there is nothing to return to: not recovered, and distinguished. If the trigger has gone
and the state keeps itself going, it is *metastable*.

Source: Bronson et al., Metastable failures in distributed systems, HotOS (2021). Huang et al., Metastable
failures in the wild, OSDI (2022).
"""

from __future__ import annotations

from meshsim.errors import MeshsimError
from meshsim.lab.search.verdict import Observation, Score
from meshsim.measure.capacity import Limit, Trial
from meshsim.measure.summary import Summary
from meshsim.scenario.model import Scenario

GOODPUT_LEAST = 0.95
LATENCY_MOST = 1.25
LAST_PART = 1.0 / 3.0
"""Of the time after the trigger."""

RECOVERED = (Limit("the mesh", "recovered", 0.5),)
"""What is asked of a load: that it recovers more often than not."""


def trial(scenario: Scenario, window: float | None = None) -> Trial:
    """When a scenario's events hit it, and from when on it is judged: the last `window` s of arrivals.

    By default that is the last third of what is left after the trigger. MeshsimError: there is no trigger, it
    does not end, or nothing of the run is left after it.
    """
    if not scenario.events:
        raise MeshsimError(
            f"{scenario.name or 'the scenario'} has no events, so there is nothing to recover from; add"
            " the trigger to the file (events: [{at: 30s, for: 10s, service: ..., slow: 5}])"
        )
    over = max(_end(scenario, place) for place in range(len(scenario.events)))
    left = scenario.duration - over
    length = LAST_PART * left if window is None else window
    if not 0.0 < length <= left:
        raise MeshsimError(
            f"the trigger ends at {over:g} s and arrivals at {scenario.duration:g} s: no {length:g} s are"
            " left to look at; make the scenario's duration longer, or the window shorter"
        )
    return Trial(min(event.at for event in scenario.events), over, scenario.duration - length)


def twins(scenario: Scenario, when: Trial) -> tuple[Scenario, Scenario]:
    """The scenario and its twin without the events, both measured only where recovery is judged."""
    judged = scenario.model_copy(update={"warmup": when.looked})
    return judged, judged.model_copy(update={"events": ()})


def _end(scenario: Scenario, place: int) -> float:
    """When an event is over; a push is when it has arrived."""
    event = scenario.events[place]
    if event.set:
        return event.at + scenario.mesh.push_delay.build().mean
    if event.lasts is None:
        raise MeshsimError(
            f"events[{place}] never ends, so there is no recovery from it; say how long it lasts (for: 10s)"
        )
    return event.at + event.lasts


def compare(hit: Summary, twin: Summary, seed: int) -> Observation:
    """Whether a run recovered, from its summary and its twin's."""
    healthy = not twin.unstable and bool(twin.requests.goodput)
    recovered = float(healthy and _as_good(hit, twin))
    numbers = {
        "recovered": recovered,
        "overloaded": float(not healthy),
        "goodput": hit.requests.goodput or 0.0,
        "goodput_without": twin.requests.goodput or 0.0,
        "work": _work(hit),  # no sign by itself: a last-in-first-out queue may keep its dead for ever
        "work_without": _work(twin),
        "rate": hit.requests.rate or 0.0,
        "latency.mean": hit.latency.mean,
        "latency.mean_without": twin.latency.mean,
        **{f"utilisation.{name}": each.utilisation for name, each in twin.services.items()},
    }
    known = {name: value for name, value in numbers.items() if value is not None}
    return Observation(seed, (Score(recovered, recovered, 1),), False, known)


def _as_good(hit: Summary, twin: Summary) -> bool:
    latency, other = hit.latency.mean, twin.latency.mean
    if latency is None or other is None:
        return False
    enough = (hit.requests.goodput or 0.0) >= GOODPUT_LEAST * (twin.requests.goodput or 0.0)
    return enough and latency <= LATENCY_MOST * other


def _work(summary: Summary) -> float:
    """Attempts at all services, in service or waiting, also those that nobody waits for, on average."""
    return sum((part.busy_mean or 0.0) + (part.queue_mean or 0.0) for part in summary.services.values())
