"""A validation in numbers: what `validation.json` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshsim import version
from meshsim.lab.run import Run
from meshsim.lab.validate.judgement import CONFIDENCE, NOISY, Row, Verdict, judge, predicted, rows
from meshsim.lab.validate.validation import Validation, records_of
from meshsim.measure.agreement import agreement
from meshsim.measure.disturbance import Evidence
from meshsim.measure.grid import Window
from meshsim.measure.latency import QUANTILES
from meshsim.measure.metrics import LEAST_BEYOND, enough
from meshsim.measure.readings import Readings, complete, readings
from meshsim.measure.seed_variation import SeedVariation
from meshsim.scenario.model import Scenario
from meshsim.theory import Solution, solve
from meshsim.units import ratio_text

Summary = dict[str, Any]
Busy = Mapping[str, tuple[float, float]]
VAGUE = 0.5
"""A number that may be off by more than this share is not judged by being within it."""


def summarise(
    *,
    simulation: Run,
    live: Run,
    proxy: str,
    intervals: Mapping[str, tuple[float, float]],
    luck: SeedVariation,
    overheads: Mapping[str, Mapping[str, float]],
    evidence: Mapping[str, Evidence],
    noise: Sequence[str],
    busy: Busy,
    window: Window,
    beside: Validation | None,
) -> Summary:
    """The numbers of a validation; only plain values, ready for `json`.

    Args:
        simulation: the run with the live run's draws, overheads included.
        live: the live run.
        proxy: behind whose sidecars.
        intervals: of simulated runs with other seeds, by metric.
        luck: what sets simulated runs apart that share with `simulation` what `live` shares with it.
        overheads: in a few numbers, by edge.
        evidence: what each live run saw of the machine, by what it is called.
        noise: what says that the machine was busy, in words.
        busy: from what to what it can have brought each number, by metric; empty where it was quiet.
        window: that is measured.
        beside: the same scenario behind the other proxy.
    """
    scenario = live.scenario
    one, other = _shared(simulation, live, window)
    solution = solve(simulation.scenario)
    theory = predicted(solution, simulation.summary["requests"]["completed"])
    strict = proxy == "meshsim"
    found = rows(one, other, strict=strict, luck=luck, theory=theory, intervals=intervals, busy=busy)
    proxies = [] if beside is None else _proxies(beside, live, luck, window, busy)
    verdict = _judged(found, proxies, [*noise, *_disturbed(beside)], evidence)
    loads = [index for index, load in enumerate(scenario.load) if load.users is None]
    pairs = agreement(records_of(simulation), records_of(live), loads, window)
    summary: Summary = {
        "verdict": verdict.word,
        "proxy": proxy,
        "metrics": [row.as_dict() for row in found],
        "paired": pairs.as_dict(),
        "reasons": verdict.reasons,
        "scenario": scenario.name,
        "seed": scenario.seed,
        "version": version.VERSION,
        "measured": window.length,
        "confidence": CONFIDENCE,
        "overhead": {edge: dict(numbers) for edge, numbers in overheads.items()},
        "machine": {name: seen.as_dict() for name, seen in evidence.items()},
        "theory": [
            {"metric": each.metric, "value": each.value, "kind": each.kind} for each in solution.predictions
        ],
    }
    if beside is not None:
        summary["proxies"] = [row.as_contrast() for row in proxies]
    summary["notes"] = [*_notes(scenario, simulation, live, one), *vague(found), *_told(solution)]
    return summary


def _judged(
    found: Sequence[Row], proxies: Sequence[Row], noise: Sequence[str], evidence: Mapping[str, Evidence]
) -> Verdict:
    """The verdict on all numbers, with what every live run says of itself."""
    runs = evidence.items()
    troubles = [f"{name}: {each}" for name, seen in runs for each in seen.troubles]
    errors = [f"{name}: {each}" for name, seen in runs for each in seen.errors]
    return judge(found, noise, proxies=proxies, troubles=troubles, errors=errors)


def _shared(simulation: Run, live: Run, window: Window) -> tuple[Readings, Readings]:
    """The numbers of both runs, without percentiles that they are too short for."""
    one, other = readings(records_of(simulation), window), readings(records_of(live), window)
    complete(one, other)
    fewest = min(simulation.summary["requests"]["completed"], live.summary["requests"]["completed"])
    weak = [f"latency.{key}" for key, q in QUANTILES.items() if not enough(fewest, q)]
    return (
        {metric: each for metric, each in one.items() if metric not in weak},
        {metric: each for metric, each in other.items() if metric not in weak},
    )


def _proxies(beside: Validation, live: Run, luck: SeedVariation, window: Window, busy: Busy) -> list[Row]:
    """What the mechanisms did behind one proxy and behind the other, both live."""
    one, other = readings(records_of(beside.live), window), readings(records_of(live), window)
    complete(one, other)
    own = {metric: each for metric, each in one.items() if not metric.startswith("latency.")}
    return rows(own, other, strict=False, luck=luck, theory={}, intervals={}, busy=_either(beside, busy))


def _either(beside: Validation, busy: Busy) -> Busy:
    """From what to what a busy machine, in either run, can bring the numbers behind the other proxy."""
    then = {row["metric"]: row["busy"] for row in beside.summary["metrics"] if row["busy"]}
    found = {}
    for row in beside.summary["metrics"]:
        metric = row["metric"]
        ranges = [each[metric] for each in (then, busy) if metric in each]
        if ranges:
            width = sum(high - low for low, high in ranges)
            found[metric] = (row["live"] - width, row["live"] + width)
    return found


def _disturbed(beside: Validation | None) -> list[str]:
    """Why the live run behind the other proxy is no guide."""
    if beside is None or beside.verdict != NOISY:
        return []
    return [f"behind {beside.summary['proxy']}: {beside.summary['reasons'][0]}"]


def vague(found: Sequence[Row]) -> list[str]:
    """What was too rare to be judged, in words, whether or not it is within what is allowed."""
    rare = [row.metric for row in found if row.allowed > VAGUE * abs(row.simulation) and row.allowed > 0.0]
    if not rare:
        return []
    note = (
        f"{', '.join(rare)}: too rare to be judged in so short a run, chance alone could change it by more"
        f" than {ratio_text(VAGUE)}; the verdict rests on the other numbers."
    )
    return [note]


def _told(solution: Solution) -> list[str]:
    """Why theory does not say more, or not exactly."""
    return [f"Theory: {reason}." for reason in solution.reasons]


def _notes(scenario: Scenario, simulation: Run, live: Run, kept: Readings) -> list[str]:
    """What a reader must know to read the numbers right."""
    notes = []
    planned, sent = (run.summary["requests"]["offered"] for run in (simulation, live))
    closed = [f"load[{index}]" for index, load in enumerate(scenario.load) if load.users is not None]
    if closed:
        notes.append(
            f"{', '.join(closed)}: closed, so its users send when they have their answers, which is at other"
            " times in each run; its requests are compared in sum, and not one by one."
        )
    elif sent != planned:
        notes.append(f"The live run sent {sent} of {planned} requests.")
    unfinished = live.summary["requests"]["unfinished"]
    if unfinished:
        notes.append(f"{unfinished} live requests had no answer when the run ended.")
    weak = [key for key in QUANTILES if key != "p999" and f"latency.{key}" not in kept]
    if weak:
        notes.append(
            f"{', '.join(weak)}: fewer than {LEAST_BEYOND} requests lie beyond, so not compared; the verdict"
            " says nothing of such tails. A longer run would."
        )
    if any(event.latency_factor is not None for event in scenario.events):
        notes.append("latency_factor multiplies the machine's overhead too in the simulated run.")
    return notes
