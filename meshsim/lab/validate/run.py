"""The verb `validate`: calibrates, solves, simulates, runs live, compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from meshsim.errors import MeshsimError
from meshsim.lab import engines, files
from meshsim.lab.engines import Engine, Progress
from meshsim.lab.jobs.interrupt import Interrupt, interruptible
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.run import Run, first_seed, provenance
from meshsim.lab.validate import calibration, lateness
from meshsim.lab.validate.live import Live, Observation, on_this_machine
from meshsim.lab.validate.spread import intervals
from meshsim.lab.validate.summary import summarise as sum_up
from meshsim.lab.validate.validation import Validation, records_of
from meshsim.measure.disturbance import Evidence
from meshsim.measure.luck import Luck, by_run
from meshsim.measure.records import Records
from meshsim.measure.summary import summarise
from meshsim.measure.window import measured
from meshsim.plain import converted
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides
from meshsim.scenario.topology import Topology

MESHSIM, ENVOY, BOTH = "meshsim", "envoy", "both"
PROXIES = {MESHSIM: (MESHSIM,), ENVOY: (ENVOY,), BOTH: (MESHSIM, ENVOY)}
REPLICATIONS = 10
"""Simulated runs, where nobody says: the first has the live run's draws."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a validation is doing.

    Attributes:
        scenario: its name.
        doing: in words.
        total: how long the stage takes, s of its own time.
    """

    scenario: str
    doing: str
    total: float


Watch = Callable[[Stage, float], None]
"""Is told the stage, and how much of it has passed, s."""


@converted
def validate(
    scenario: str | Path | Scenario,
    *,
    proxy: str = MESHSIM,
    seed: int | None = None,
    overrides: Overrides = (),
    replications: int = REPLICATIONS,
    out: str | Path | None = None,
    watch: Watch | None = None,
    live: Live | None = None,
    beside: Validation | None = None,
    interrupted: Callable[[], None] | None = None,
    **options: Unpack[OutputOptions],
) -> Validation:
    """Holds theory, simulation and the live mesh of this machine against each other.

    It takes the scenario's duration in real time, and about 25 s for the calibration before and after and the
    simulated runs.

    Args:
        scenario: a file's path (``-`` for standard input), or a scenario that is already loaded.
        proxy: whose sidecars: ``meshsim`` or ``envoy``.
        seed: instead of the scenario's.
        overrides: ``"policies.cart.retries.attempts=3"`` and such, or values by key.
        replications: simulated runs, at least 2, for the interval of each number.
        out: folder for the results, checked before the runs.
        watch: is told how far it is.
        live: what runs a scenario for real; None is this machine.
        beside: a validation of the same scenario behind the other proxy, to compare the live runs of both.
        interrupted: is called at the first Ctrl-C, to say that it was noticed.
        options: with `out`, as of `meshsim.run`.

    Raises:
        MeshsimError: the scenario or another argument can't be used, it can't run live, or the results could
            not be written.
        KeyboardInterrupt: Ctrl-C; half a live run can't be judged.
    """
    output(options, saved=out is not None)
    if proxy not in (MESHSIM, ENVOY):
        raise MeshsimError(f"no proxy {proxy!r}; choose {MESHSIM} or {ENVOY}")
    if replications < 2:
        raise MeshsimError(f"{replications} replications have no interval; ask for at least 2")
    chosen = _without_programs(load(scenario, overrides))
    start = first_seed(chosen.seed if seed is None else seed, replications)
    chosen = chosen.model_copy(update={"seed": start, "keep": "records"})
    if out is not None:
        files.prepare(out)
    with interruptible(interrupted) as stop:
        work = _Work(chosen, proxy, replications, live or on_this_machine, watch, stop)
        result = work.result(beside)
    if out is not None:
        result.save(out, **options)
    return result


@converted
def validate_each(
    scenarios: Sequence[str | Path | Scenario],
    *,
    proxy: str = MESHSIM,
    seed: int | None = None,
    overrides: Overrides = (),
    replications: int = REPLICATIONS,
    watch: Watch | None = None,
    live: Live | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Iterator[Validation]:
    """Validates scenarios one after the other, each behind one proxy or ``both``.

    All are read before the first one runs. The arguments are those of `validate`.

    Raises:
        MeshsimError: as there.
        KeyboardInterrupt: as there.
    """
    if proxy not in PROXIES:
        raise MeshsimError(f"no proxy {proxy!r}; choose one of {', '.join(PROXIES)}")
    loaded = [_without_programs(load(scenario, overrides)) for scenario in scenarios]
    for each in loaded:
        beside: Validation | None = None
        for kind in PROXIES[proxy]:
            beside = validate(
                each, proxy=kind, seed=seed, replications=replications, watch=watch, live=live,
                beside=beside, interrupted=interrupted,
            )  # fmt: skip
            yield beside


def _without_programs(scenario: Scenario) -> Scenario:
    """The scenario, all services of which are meshsim's own: they can take no time while it calibrates."""
    if own := Topology(scenario).programs():
        raise MeshsimError(
            f"{scenario.name or 'scenario'} can't be validated: service {own[0]} is a program of yours"
            " (live.command), whose own time can't be told from the overhead of a call; see it run with"
            " `meshsim live`, or leave `command` out"
        )
    return scenario


@dataclass(frozen=True, slots=True)
class _Work:
    """One validation under way; the attributes are the arguments of `validate`."""

    scenario: Scenario
    proxy: str
    replications: int
    live: Live
    watch: Watch | None
    stop: Interrupt

    def result(self, beside: Validation | None) -> Validation:
        """Everything, in order: what a hop costs, what should happen, what happens."""
        simulate = engines.engine(self.scenario.engine)
        real = self._settled(simulate)
        calm = calibration.still(real, self._rates(simulate))
        first = self._alive("calibrating", calm)
        seen = self._alive("running live", real)
        second = self._alive("calibrating again", calm)
        each = [calibration.overheads(records_of(found.run), calm) for found in (first, second)]
        overheads = calibration.pooled(each)
        deals = [calibration.with_overheads(real, overheads, deal) for deal in range(self.replications)]
        model = deals[0]
        runs = [self._simulated(simulate, model, number) for number in range(self.replications)]
        simulation = _run(model, runs[0])
        window = measured(runs[:1], model)
        # meshsim's proxy makes the simulator's draws: only the machine's milliseconds are another matter
        alike = runs if self.proxy == ENVOY else [self._simulated(simulate, deal, 0) for deal in deals]
        evidence = {
            "calibration": first.evidence,
            "live run": seen.evidence,
            "calibration after it": second.evidence,
        }
        noise = _noise(simulation, evidence, each)
        busy = []
        if noise:
            costs = lateness.possible(each, (first.evidence, second.evidence), seen.evidence)
            models = [calibration.with_overheads(real, cost) for cost in costs]
            busy = [runs[0], *(self._simulated(simulate, model, 0) for model in models)]
        summary = sum_up(
            simulation=simulation,
            live=seen.run,
            proxy=self.proxy,
            intervals=intervals(runs, window),
            luck=Luck(by_run(alike, window), len(alike)),
            overheads=calibration.described(overheads),
            evidence=evidence,
            noise=noise,
            busy={metric: (min(values), max(values)) for metric, values in by_run(busy, window).items()},
            window=window,
            beside=beside,
        )
        return Validation(real, simulation, seen.run, summary)

    def _settled(self, simulate: Engine) -> Scenario:
        """The scenario with its warm-up; an automatic one is found once, for all runs."""
        if self.scenario.warmup != "auto":
            return self.scenario
        records = simulate(self.scenario, self.scenario.seed)
        return self.scenario.model_copy(update={"warmup": measured([records], self.scenario).start})

    def _alive(self, doing: str, scenario: Scenario) -> Observation:
        done = self.live(scenario, proxy=self.proxy, progress=self._told(doing, scenario.duration))
        if self.stop.pressed:
            raise KeyboardInterrupt
        return done

    def _simulated(self, simulate: Engine, model: Scenario, number: int) -> Records:
        total = model.duration * self.replications
        told = self._told("simulating", total)  # equal stages are one
        behind = number * model.duration
        records = simulate(
            model, model.seed + number, progress=lambda now: told(behind + min(now, model.duration))
        )
        if self.stop.pressed:
            raise KeyboardInterrupt
        assert isinstance(records, Records)
        return records

    def _rates(self, simulate: Engine) -> dict[int, float]:
        """Requests per second of the closed loads, as the scenario has them by itself."""
        loads = calibration.closed(self.scenario)
        if not loads:
            return {}
        records = simulate(self.scenario, self.scenario.seed)
        assert isinstance(records, Records)
        sent = [int((records.requests.load == load).sum()) for load in loads]
        return {
            load: count / self.scenario.duration for load, count in zip(loads, sent, strict=True) if count
        }

    def _told(self, doing: str, total: float) -> Progress:
        """What a run reports to: passes it on, and lets Ctrl-C take effect."""
        stage = Stage(self.scenario.name or "scenario", doing, total)

        def report(now: float) -> None:
            if self.watch is not None:
                self.watch(stage, min(now, total))
            if self.stop.pressed:
                raise KeyboardInterrupt

        return report


def _run(scenario: Scenario, records: Records) -> Run:
    """Records as `meshsim run` would give them, so that both sides leave the same files."""
    return Run(scenario, [records], {**summarise([records], scenario), "provenance": provenance(scenario)})


def _noise(
    simulation: Run, evidence: Mapping[str, Evidence], calibrations: Sequence[calibration.Overheads]
) -> list[str]:
    """What says that the machine was busy, in words."""
    p50, p99 = (simulation.summary["latency"][key] for key in ("p50", "p99"))
    late = [
        f"{name}: {each}"
        for name, seen in evidence.items()
        for each in seen.complaints(p50 or math.inf, p99 or math.inf)
    ]
    before, after = calibrations
    return [*late, *calibration.drift(before, after, p50 or 0.0)]
