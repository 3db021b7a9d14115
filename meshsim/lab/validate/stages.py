"""What a validation does, one after the other: calibrates, runs live, simulates, compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from meshsim.lab import engines
from meshsim.lab.engines import Engine, Progress
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.run import Run, provenance
from meshsim.lab.validate import calibration, lateness
from meshsim.lab.validate.judgement import CONFIDENCE
from meshsim.lab.validate.numbers import validated
from meshsim.lab.validate.observation import Live, Observation
from meshsim.lab.validate.validation import Validation, records_of
from meshsim.measure.disturbance import Evidence
from meshsim.measure.records import Records
from meshsim.measure.request_pairs import agreement
from meshsim.measure.seed_variation import SeedVariation
from meshsim.measure.summary import summarise
from meshsim.measure.window import measured
from meshsim.scenario.model import Scenario

MESHSIM, ENVOY = "meshsim", "envoy"


@dataclass(frozen=True, slots=True)
class Stage:
    """The scenario's name, what a validation is doing, and how long that takes, s of its own time."""

    scenario: str
    doing: str
    total: float


Watch = Callable[[Stage, float], None]
"""Called with the stage, and how much of it has passed, s."""


@dataclass(frozen=True, slots=True)
class Stages:
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
        first = self._run_live("calibrating", calm)
        opening = calibration.opening(calm) if real.mesh.mtls is not None else None
        opened = None if opening is None else self._run_live("calibrating handshakes", opening)
        seen = self._run_live("running live", real)
        second = self._run_live("calibrating again", calm)
        each = [calibration.overheads(records_of(found.run), calm) for found in (first, second)]
        overheads = calibration.pooled(each)
        priced = real
        if opened is not None:
            shaken = calibration.overheads(records_of(opened.run), calm)
            priced = calibration.with_handshake(real, calibration.handshake(overheads, shaken, calm))
        deals = [calibration.with_overheads(priced, overheads, deal) for deal in range(self.replications)]
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
        late: list[Records] = []
        if noise:
            costs = lateness.possible(each, (first.evidence, second.evidence), seen.evidence)
            models = [calibration.with_overheads(priced, cost) for cost in costs]
            late = [runs[0], *(self._simulated(simulate, model, 0) for model in models)]
        loads = [index for index, load in enumerate(real.load) if load.users is None]
        pairs = agreement(runs[0], records_of(seen.run), loads, window.start, window.end)
        numbers = validated(
            simulation=simulation, live=seen.run, proxy=self.proxy, window=window, beside=beside,
            paired=pairs.numbers, overheads=calibration.described(overheads), evidence=evidence, noise=noise,
            intervals=SeedVariation.of(runs, window).intervals(CONFIDENCE),
            variation=SeedVariation.of(alike, window), busy=SeedVariation.of(late, window).ranges(),
        )  # fmt: skip
        return Validation(real, simulation, seen.run, pairs, numbers)

    def _settled(self, simulate: Engine) -> Scenario:
        """The scenario with its warm-up; an automatic one is found once, for all runs."""
        if self.scenario.warmup != "auto":
            return self.scenario
        records = simulate(self.scenario, self.scenario.seed)
        return self.scenario.model_copy(update={"warmup": measured([records], self.scenario).start})

    def _run_live(self, doing: str, scenario: Scenario) -> Observation:
        done = self.live(scenario, proxy=self.proxy, progress=self._report(doing, scenario.duration))
        self.stop.check()
        return done

    def _simulated(self, simulate: Engine, model: Scenario, number: int) -> Records:
        lasts = model.duration
        reported = self._report("simulating", lasts * self.replications)  # equal stages are one
        records = simulate(
            model, model.seed + number, progress=lambda now: reported(number * lasts + min(now, lasts))
        )
        self.stop.check()
        assert isinstance(records, Records)
        return records

    def _rates(self, simulate: Engine) -> dict[int, float]:
        """Requests per second of the closed loads, as the scenario has them by itself."""
        loads = [index for index, load in enumerate(self.scenario.load) if load.users is not None]
        if not loads:
            return {}
        records = simulate(self.scenario, self.scenario.seed)
        assert isinstance(records, Records)
        sent = {load: int((records.requests.load == load).sum()) for load in loads}
        return {load: count / self.scenario.duration for load, count in sent.items() if count}

    def _report(self, doing: str, total: float) -> Progress:
        """What a run reports to: passes it on, and lets Ctrl-C take effect."""
        stage = Stage(self.scenario.name or "scenario", doing, total)

        def report(now: float) -> None:
            if self.watch is not None:
                self.watch(stage, min(now, total))
            self.stop.check()

        return report


def _run(scenario: Scenario, records: Records) -> Run:
    """Records as `meshsim run` would give them, so that both sides leave the same files."""
    return Run(scenario, [records], replace(summarise([records], scenario), provenance=provenance(scenario)))


def _noise(
    simulation: Run, evidence: Mapping[str, Evidence], calibrations: Sequence[calibration.Overheads]
) -> list[str]:
    """What says that the machine was busy, in words."""
    p50, p99 = simulation.numbers.latency.p50, simulation.numbers.latency.p99
    late = [
        f"{name}: {each}"
        for name, seen in evidence.items()
        for each in seen.complaints(p50 or math.inf, p99 or math.inf)
    ]
    before, after = calibrations
    return [*late, *calibration.drift(before, after, p50 or 0.0)]
