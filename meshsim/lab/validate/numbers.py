"""A validation in numbers, and what a reader must know to read them right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshsim import version
from meshsim.lab.run import Run
from meshsim.lab.validate.judgement import CONFIDENCE, NOISY, is_latency, judge, metrics, predicted
from meshsim.lab.validate.validation import Validation, records_of
from meshsim.measure.disturbance import Evidence
from meshsim.measure.grid import Window
from meshsim.measure.latency import LEAST_BEYOND, QUANTILES, enough
from meshsim.measure.readings import Readings, complete, readings
from meshsim.measure.request_pairs import AgreementNumbers
from meshsim.measure.seed_variation import Ranges, SeedVariation
from meshsim.measure.validation import Metric, Overhead, Predicted, ProxyContrast, ValidationNumbers
from meshsim.scenario.model import Scenario
from meshsim.theory import solve
from meshsim.units import ratio_text

VAGUE = 0.5
"""A number that may be off by more than this share is not judged by being within it."""


def validated(
    *,
    simulation: Run,
    live: Run,
    proxy: str,
    paired: AgreementNumbers,
    intervals: Ranges,
    variation: SeedVariation,
    overheads: Mapping[str, Overhead],
    evidence: Mapping[str, Evidence],
    noise: Sequence[str],
    busy: Ranges,
    window: Window,
    beside: Validation | None,
) -> ValidationNumbers:
    """The numbers of a validation.

    `intervals` are those of simulated runs with other seeds; `variation` is that of simulated runs which
    share with `simulation` what `live` shares with it; `busy` is empty where the machine was quiet; `beside`
    is the same scenario behind the other proxy.
    """
    scenario = live.scenario
    one, other = _shared(simulation, live, window)
    solution = solve(simulation.scenario)
    theory = predicted(solution, simulation.numbers.requests.completed)
    found = metrics(
        one, other, strict=proxy == "meshsim", variation=variation, theory=theory, intervals=intervals,
        busy=busy,
    )  # fmt: skip
    proxies = [] if beside is None else _proxies(beside, live, variation, window, busy)
    verdict, reasons = judge(
        found,
        [*noise, *_disturbed(beside)],
        proxies=proxies,
        troubles=[f"{name}: {each}" for name, seen in evidence.items() for each in seen.troubles],
        errors=[f"{name}: {each}" for name, seen in evidence.items() for each in seen.errors],
    )
    return ValidationNumbers(
        verdict=verdict,
        proxy=proxy,
        metrics=found,
        paired=paired,
        reasons=reasons,
        scenario=scenario.name,
        seed=scenario.seed,
        version=version.VERSION,
        measured=window.length,
        confidence=CONFIDENCE,
        overhead=overheads,
        machine=evidence,
        theory=[Predicted(each.metric, each.value, each.kind) for each in solution.predictions],
        proxies=None if beside is None else [_contrast(each) for each in proxies],
        notes=[
            *_notes(scenario, simulation, live, one),
            *vague(found),
            *(f"Theory: {reason}." for reason in solution.reasons),
        ],
    )


def _shared(simulation: Run, live: Run, window: Window) -> tuple[Readings, Readings]:
    """The numbers of both runs, without percentiles that they are too short for."""
    one, other = readings(records_of(simulation), window), readings(records_of(live), window)
    complete(one, other)
    fewest = min(simulation.numbers.requests.completed, live.numbers.requests.completed)
    for key, q in QUANTILES.items():
        if not enough(fewest, q):
            one.pop(f"latency.{key}", None)
    return one, other


def _proxies(
    beside: Validation, live: Run, variation: SeedVariation, window: Window, busy: Ranges
) -> list[Metric]:
    """What the mechanisms did behind the other proxy, in place of the simulated numbers, and behind this."""
    one, other = readings(records_of(beside.live), window), readings(records_of(live), window)
    complete(one, other)
    own = {metric: each for metric, each in one.items() if not is_latency(metric)}
    return metrics(
        own, other, strict=False, variation=variation, theory={}, intervals={}, busy=_either(beside, busy)
    )


def _contrast(each: Metric) -> ProxyContrast:
    return ProxyContrast(each.metric, each.simulation, each.live, each.difference, each.allowed, each.ok)


def _either(beside: Validation, busy: Ranges) -> Ranges:
    """From what to what a busy machine, in either run, can bring the numbers behind the other proxy."""
    found = {}
    for each in beside.numbers.metrics:
        ranges = [one for one in (each.busy, busy.get(each.metric)) if one is not None]
        if ranges:
            width = sum(high - low for low, high in ranges)
            found[each.metric] = (each.live - width, each.live + width)
    return found


def _disturbed(beside: Validation | None) -> list[str]:
    """Why the live run behind the other proxy is no guide."""
    if beside is None or beside.verdict != NOISY:
        return []
    return [f"behind {beside.numbers.proxy}: {beside.numbers.reasons[0]}"]


def vague(found: Sequence[Metric]) -> list[str]:
    """What was too rare to be judged, in words, whether or not it is within what is allowed."""
    rare = [row.metric for row in found if row.allowed > VAGUE * abs(row.simulation) and row.allowed > 0.0]
    note = (
        f"{', '.join(rare)}: too rare to be judged in so short a run, chance alone could change it by more"
        f" than {ratio_text(VAGUE)}; the verdict rests on the other numbers."
    )
    return [note] if rare else []


def _notes(scenario: Scenario, simulation: Run, live: Run, kept: Readings) -> list[str]:
    """What a reader must know to read the numbers right."""
    notes = []
    planned, sent = (run.numbers.requests.offered for run in (simulation, live))
    closed = [f"load[{index}]" for index, load in enumerate(scenario.load) if load.users is not None]
    if closed:
        notes.append(
            f"{', '.join(closed)}: closed, so its users send when they have their answers, which is at other"
            " times in each run; its requests are compared in sum, and not one by one."
        )
    elif sent != planned:
        notes.append(f"The live run sent {sent} of {planned} requests.")
    unfinished = live.numbers.requests.unfinished
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
