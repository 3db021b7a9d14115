"""Which numbers agree, and what that says of all of them.

A number's tolerance is a share of the simulated one or, if wider, the interval of what chance does to the
difference: as it is spread over the run (`meshsim.measure.jackknife`), and at most as much as simulated runs
lie apart (`meshsim.measure.seed_variation`). Latencies behind meshsim's own proxy, which makes the same
draws, must be as close as asked; if not, but chance could have done it, the run is too short to judge. A busy
machine excuses what it can have done (`meshsim.lab.validate.lateness`). The intervals hold jointly
(Bonferroni): a mesh that agrees in everything fails one validation in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from meshsim.lab.show.sheets import of_metric
from meshsim.measure.jackknife import gap
from meshsim.measure.readings import Readings
from meshsim.measure.seed_variation import Ranges, SeedVariation
from meshsim.measure.validation import SLACK, Metric, Predicted
from meshsim.theory import Solution

PASS, FAIL, NOISY = "pass", "fail", "noisy"
CONFIDENCE = 0.95
TAIL, USUAL, COUNTED = 0.05, 0.03, 0.01
ASKED = {
    **dict.fromkeys(("latency.mean", "latency.p50", "latency.p90"), USUAL),
    **dict.fromkeys(("latency.p95", "latency.p99"), TAIL),
}
"""How close a latency must be, as a share of the simulated one; all else `COUNTED`, or its interval."""
OF_ENDPOINT = ".latency.mean"
"""How the only latency of an endpoint ends."""
NEVER = "requests.unfinished"
"""What chance is no excuse for: a mesh answers."""


def metrics(
    simulated: Readings,
    live: Readings,
    *,
    strict: bool,
    variation: SeedVariation,
    theory: Mapping[str, Predicted],
    intervals: Ranges,
    busy: Ranges,
) -> list[Metric]:
    """Holds a live run's numbers against the simulated ones of the same draws.

    `strict` is whether latencies must be as close as asked, whatever chance does; `variation` is of simulated
    runs that share with the first what the live one shares with it, `intervals` of runs with other seeds;
    `busy` is as `Metric` has it, empty where the machine was quiet.
    """
    shared = {
        metric: (own, its)
        for metric, statistic in simulated.items()
        if (own := statistic.value()) is not None and (its := live[metric].value()) is not None
    }
    confidence = 1.0 - (1.0 - CONFIDENCE) / max(len(shared), 1)
    found = []
    for metric, (own, its) in shared.items():
        between = gap(simulated[metric], live[metric], confidence)
        assert between is not None
        chance = between.half_width if math.isfinite(between.half_width) else abs(own)
        step = max(simulated[metric].step, live[metric].step)
        chance = 0.0 if metric == NEVER else min(chance, variation.bound(metric, step, confidence))
        asked = ASKED.get("latency.mean" if metric.endswith(OF_ENDPOINT) else metric, COUNTED) * abs(own)
        allowed = asked if strict and metric in ASKED else max(asked, chance)
        said = theory.get(metric)
        found.append(
            Metric(
                metric=metric,
                theory=said.value if said else None,
                theory_kind=said.kind if said else None,
                simulation=own,
                interval=intervals.get(metric),
                live=its,
                error=between.difference / own if own else None,
                tolerance=allowed / own if own else None,
                ok=abs(between.difference) <= allowed * SLACK,
                difference=between.difference,
                allowed=allowed,
                chance=chance,
                busy=busy.get(metric),
            )
        )
    return found


def is_latency(metric: str) -> bool:
    """Whether it is a latency, of all requests or of an endpoint."""
    return metric.startswith("latency.") or metric.endswith(OF_ENDPOINT)


def judge(
    found: Sequence[Metric],
    noise: Sequence[str] = (),
    *,
    proxies: Sequence[Metric] = (),
    troubles: Sequence[str] = (),
    errors: Sequence[str] = (),
) -> tuple[str, list[str]]:
    """The verdict and its reasons; `proxies` are numbers of this live run and, as simulated, of the other's.

    A noisy machine keeps numbers apart and brings none together, so what agrees on it agrees. `noise`,
    `troubles` (what the machine could not do) and `errors` (meshsim's own) are in words.
    """
    off = [(each, sentence(each)) for each in found if not each.ok]
    off += [(each, sentence(each, "live", "behind the other proxy")) for each in proxies if not each.ok]
    if not off:
        return PASS, []
    if errors:
        return FAIL, [*errors, *(words for _, words in off)]
    wrong = [f"{words}{_at_most(each)}" for each, words in off if each.significant and not each.excused]
    if wrong and not troubles:
        return FAIL, wrong
    if noise or troubles:
        return NOISY, [*troubles, *noise, *(f"inconclusive: {words}" for _, words in off)]
    reasons = [f"{words}; chance alone explains {_shown(each, each.chance)}" for each, words in off]
    return NOISY, [*reasons, "the run is too short for a verdict: make its duration longer"]


def _at_most(found: Metric) -> str:
    """That a busy machine is no excuse, where it was busy."""
    if found.busy is None:
        return ""
    low, high = (_shown(found, value) for value in found.busy)
    return f"; the lateness of this machine explains {low} to {high}"


def sentence(found: Metric, one: str = "live", other: str = "simulated") -> str:
    """What is wrong with a number."""
    return (
        f"{found.metric} is {_shown(found, found.live)} {one} and {_shown(found, found.simulation)} {other}:"
        f" difference {_shown(found, abs(found.difference))}, tolerance {_shown(found, found.allowed)}"
    )


def _shown(found: Metric, value: float) -> str:
    return of_metric(found.metric)(value)


# ---- theory -----------------------------------------------------------------------------------------


def predicted(solution: Solution, completed: float) -> dict[str, Predicted]:
    """What theory says, under the names of the metrics; failures are shares of the requests `completed`."""
    found = {}
    for each in solution.predictions:
        metric, value = each.metric.removeprefix("derived."), each.value
        if each.kind == "bound":
            continue
        if metric.startswith("failures.") and metric.endswith("_ratio"):
            metric, value = metric.removesuffix("_ratio"), value * completed
        elif metric == "requests.rate":
            metric = "requests.throughput"
        found[metric] = Predicted(metric, value, each.kind)
    return found
