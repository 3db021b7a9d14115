"""How much a mesh carries: the verb ``capacity``.

`study` asks for the largest load and the least replicas that meet the objectives, the knee, and the load
below which the mesh recovers from its events. A candidate is a load (`scaling`) or replicas (`pools`);
`objectives` and `recovery` say what one run shows; `largest_load`, `least_replicas` and `recovery_map` choose
the next by `meshsim.lab.search`; the numbers are those of `meshsim.measure.capacity`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from meshsim.errors import MeshsimError, Problem, ScenarioError, shown
from meshsim.lab import engines, files
from meshsim.lab.capacity.objectives import objective
from meshsim.lab.capacity.runs import Runner, table
from meshsim.lab.capacity.study import LOAD, RECOVERY, REPLICAS, Say, Study
from meshsim.lab.jobs.interrupt import interruptible
from meshsim.lab.jobs.pool import Pool, simulate
from meshsim.lab.output import OutputOptions, output
from meshsim.lab.run import first_seed
from meshsim.lab.search.inquiry import Plan
from meshsim.lab.show import sheets
from meshsim.lab.show.capacity import sections
from meshsim.measure.capacity import CapacityNumbers
from meshsim.measure.table import Table
from meshsim.plain import converted
from meshsim.scenario import config, load
from meshsim.scenario.findings import VARY
from meshsim.scenario.grid import Grid
from meshsim.scenario.load import load_grid
from meshsim.scenario.model import Scenario
from meshsim.scenario.names import suggestion
from meshsim.scenario.overrides import SET, Overrides, with_override

if TYPE_CHECKING:
    from meshsim.plot import Picture

QUESTIONS = (LOAD, REPLICAS, RECOVERY)


@dataclass(frozen=True, repr=False)
class Capacity:
    """What a mesh carries; `columns` has one row a run, see `meshsim.lab.capacity.runs`."""

    scenario: Scenario
    numbers: CapacityNumbers
    columns: Table

    @property
    def answer(self) -> dict[str, Any]:
        """The numbers as `capacity.json` has them."""
        return self.numbers.as_dict()

    def __repr__(self) -> str:
        first = [sentences[0] for _, sentences, _ in sections(self.numbers) if sentences]
        return sheets.line("Capacity", self.scenario.name, f"{self.numbers.runs} runs", *first)

    def _repr_html_(self) -> str:
        return "".join(sheets.html(sheet, sentences) for _, sentences, sheet in sections(self.numbers))

    def plot(self) -> Picture | None:
        """The load-latency curve with objectives, bracket and knee; None if no load was looked at."""
        if self.numbers.load is None or not self.numbers.load.curve:
            return None
        from meshsim.plot.capacity import curve_figure  # noqa: PLC0415 - matplotlib is slow to import

        return curve_figure(self.numbers, self.numbers.load)

    def plot_map(self) -> Picture | None:
        """The map of recovery; None if there is none."""
        if self.numbers.map is None or not self.numbers.map.cells:
            return None
        from meshsim.plot.capacity import map_figure  # noqa: PLC0415

        return map_figure(self.numbers, self.numbers.map)

    def save(self, folder: str | Path, **options: Unpack[OutputOptions]) -> list[Path]:
        """Saves capacity.json, the table of runs and the pictures, or none of them (MeshsimError)."""
        form = output(options)
        return files.write(
            files.prepare(folder),
            {
                "capacity.json": files.json_text(self.answer),
                **form.tables(capacity=self.columns),
                **form.pictures(capacity=self.plot(), map=self.plot_map()),
                **config.files(self.scenario),
            },
        )


@converted
def capacity(
    scenario: str | Path | Scenario,
    *,
    find: Sequence[str] = (),
    objectives: Sequence[str] = (),
    costs: Mapping[str, float] | None = None,
    vary: Mapping[str, object] | None = None,
    window: float | None = None,
    confidence: float = 0.95,
    resolution: float = 0.02,
    at_most: int = 32,
    engine: str | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    jobs: int | None = None,
    out: str | Path | None = None,
    say: Say | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Capacity:
    """Finds what a mesh carries.

    Ctrl-C ends the search and keeps what is known so far (``numbers.partial``); a second one aborts.

    Args (all others as of `meshsim.run`):
        find: ``load``, ``replicas``, ``recovery``; by default the first two, or only the map if there is one.
        objectives: such as ``"frontend: p99 <= 250ms, success >= 99.9%"``, instead of the scenario's.
        costs: of a replica, by service or ``service/version``; 1 where not given.
        vary: two keys with their values, as a sweep has them: the map of recovery.
        window: how long before the end of arrivals recovery is judged, s.
        confidence: that each verdict is right, 0-1.
        resolution: how near the load that meets and the load that misses are to be, 0.02 for 2 %.
        at_most: replications of one candidate, at most.
        jobs: processes; None takes all cores.
        out: a folder for `Capacity.save`, which is made ready once all else is checked, before the runs.
        say: called with a line after each look.

    Raises:
        ScenarioError: the scenario can't be used.
        MeshsimError: another argument can't, or does not apply; there are no objectives, or no trigger.
    """
    asked = _asked(find, vary, objectives, costs, window)
    base, grid = _loaded(scenario, overrides, objectives, vary)
    engines.engine(engine or base.engine)  # refuses a wrong name now, not in the first run
    plan = Plan(confidence, at_most, base.seed if seed is None else seed)
    first_seed(plan.seed, 2 * at_most)  # as many again are fresh
    base = base.model_copy(update={"seed": plan.seed})
    with interruptible(interrupted) as stop, Pool(jobs, simulate) as pool:
        runner = Runner(pool, stop, engine)
        study = Study(base, asked, plan, resolution, runner, costs, grid, window, say)
        if out is not None:
            files.prepare(out)
        study.run()
    return Capacity(base, study.numbers(), table(study.rows))


def _asked(
    find: Sequence[str],
    vary: Mapping[str, object] | None,
    objectives: Sequence[str],
    costs: Mapping[str, float] | None,
    window: float | None,
) -> tuple[str, ...]:
    """What is asked; arguments that do not apply to it are refused, since their effect would be missed."""
    for name in find:
        if name not in QUESTIONS:
            raise MeshsimError(f"can't find {shown(name)}; {suggestion(name, QUESTIONS)}")
    asked = tuple(find) if find or vary else (LOAD, REPLICAS)
    if costs and REPLICAS not in asked:
        raise MeshsimError("--cost applies to replicas only; add --find replicas")
    if objectives and not {LOAD, REPLICAS} & set(asked):
        raise MeshsimError("--objective does not apply to recovery; add --find load or --find replicas")
    if window is not None and RECOVERY not in asked and not vary:
        raise MeshsimError("--window applies to recovery only; add --find recovery, or a --map")
    return asked


def _loaded(
    source: str | Path | Scenario,
    overrides: Overrides,
    objectives: Sequence[str],
    vary: Mapping[str, object] | None,
) -> tuple[Scenario, Grid | None]:
    """The scenario as it is asked about, with the objectives given, and the points of a map."""
    if objectives:
        overrides = with_override(overrides, "objectives", [objective(text) for text in objectives])
    try:
        if not vary:
            return load(source, overrides), None
        grid = load_grid(source, overrides, vary)
        return grid.scenario, grid
    except ScenarioError as error:
        named = [_named(problem, given=bool(objectives)) for problem in error.problems]
        raise ScenarioError(named) from None


def _named(problem: Problem, *, given: bool) -> Problem:
    """A problem with given objectives or the map, with the option that brought it in."""
    if problem.file == SET and problem.key.startswith("objectives") and given:
        return replace(problem, file="--objective", key=problem.key.partition(".")[2])
    if problem.file == VARY:
        return replace(problem, file="--map", key=problem.key.removeprefix("sweep."))
    return problem
