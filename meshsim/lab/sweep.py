"""Runs a scenario at many points: the verb behind ``meshsim sweep`` and ``meshsim.sweep``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from meshsim import version
from meshsim.errors import MeshsimError
from meshsim.lab import engines, files, tidy
from meshsim.lab.digest import Digest, digests
from meshsim.lab.jobs import journal
from meshsim.lab.jobs.interrupt import interruptible
from meshsim.lab.jobs.journal import Header, Journal, Memory
from meshsim.lab.jobs.pool import Pool, Task, cores, simulate
from meshsim.lab.output import Output, OutputOptions, Written, output
from meshsim.lab.run import first_seed
from meshsim.lab.show import sheets
from meshsim.measure.summary import Summary
from meshsim.measure.table import Table, frame
from meshsim.plain import converted
from meshsim.scenario import config
from meshsim.scenario.grid import Grid
from meshsim.scenario.load import load_grid
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides

if TYPE_CHECKING:
    import pandas as pd

    from meshsim.lab.jobs.cluster import Cluster
    from meshsim.plot import Picture


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """The result of a sweep.

    `header` is seed, replications, engine and version; `columns` is the tidy table (`meshsim.lab.tidy.table`)
    as numpy columns; `computed` runs were made this time, `resumed` were in the folder already.
    """

    grid: Grid
    header: Header
    columns: Table
    computed: int
    resumed: int

    @property
    def scenario(self) -> Scenario:
        """As it is without the sweep."""
        return self.grid.scenario

    @property
    def keys(self) -> dict[str, tuple[object, ...]]:
        """What was varied: each key's values, as written."""
        return self.grid.keys

    @property
    def engine(self) -> str:
        """Which engine made the runs, or several by comma."""
        return ", ".join(sorted(set(self.columns["engine"].tolist())))

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.computed + self.resumed

    @property
    def wanted(self) -> int:
        """How many there are to be."""
        return len(self.grid.points) * self.header.replications

    @property
    def partial(self) -> bool:
        """Whether Ctrl-C kept some runs from being made."""
        return self.runs < self.wanted

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a point, replication and service, and one for the client (`meshsim.lab.tidy.COLUMNS`)."""
        return frame(self.columns)

    @cached_property
    def digests(self) -> list[Digest]:
        """Each finished point's medians over the replications."""
        return digests(self.columns)

    def plot(self) -> Picture:
        """The picture: goodput, latency and the busiest services against what was varied."""
        from meshsim.plot import sweep_figure  # noqa: PLC0415 - matplotlib is slow to import

        made = self.header
        return sweep_figure(
            self.grid, self.digests, version=made.version, engine=self.engine, seed=made.seed,
            replications=made.replications, partial=self.partial,
        )  # fmt: skip

    def save(self, folder: str | Path, **options: Unpack[OutputOptions]) -> list[Path]:
        """Saves the table and the picture, both or neither; a later sweep into the folder takes them up.

        The options are those of `meshsim.lab.output.OutputOptions`. MeshsimError if the files can't be saved.
        """
        beside = self._beside(output(options), drawn=self.runs > 0)
        return journal.save(files.prepare(folder), self.columns, self.header, beside)

    def _beside(self, form: Output, *, drawn: bool) -> Written:
        return {
            **form.csv_of("sweep", self.columns),
            **form.pictures(sweep=self.plot() if drawn else None),
            **config.files(self.scenario),
        }

    def __repr__(self) -> str:
        varied = " x ".join(f"{len(values)} of {key}" for key, values in self.keys.items())
        partial = "partial" if self.partial else ""
        points = f"{len(self.grid.points)} points ({varied[:80]})"
        return sheets.line("Sweep", self.scenario.name, points, f"{self.runs} runs", partial)

    def _repr_html_(self) -> str:
        return sheets.html(sheet(self), [])


@converted
def sweep(
    scenario: str | Path | Scenario,
    vary: Mapping[str, object] | None = None,
    *,
    replications: int = 1,
    engine: str | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    jobs: int | None = None,
    cluster: str | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] | None = None,
    interrupted: Callable[[], None] | None = None,
    **options: Unpack[OutputOptions],
) -> Sweep:
    """Simulates a scenario at every combination of the values of some keys.

    All points have the same seeds, so differences between points are the points' and not the draws'.
    Ctrl-C ends it early: what has finished until then is returned (and saved). A second Ctrl-C aborts.

    Args (all others as of `meshsim.run`):
        vary: values by key: lists, or ranges such as ``"100/s:900/s:17"``; None takes the scenario's `sweep`.
        replications: runs of each point; replication r has the seed plus r.
        jobs: processes; None takes all cores, 1 runs everything here.
        cluster: address of a Dask scheduler whose workers make the runs instead.
        out: folder for the table and the picture; a finished run is kept there at once, and not made again.
        fresh: whether to forget what the folder has.
        progress: called with how many runs are finished, and of how many.

    Raises:
        ScenarioError: the scenario, or one of the points, can't be used; nothing was run.
        MeshsimError: another argument can't, results can't be written, or a run can't be made (after all
            others, which are kept in `out`).
    """
    form = output(options, saved=out is not None)
    grid = load_grid(scenario, overrides, vary)
    seed = first_seed(grid.scenario.seed if seed is None else seed, replications)
    engine = grid.scenario.engine if engine is None else engine
    engines.engine(engine)  # of which there is one, or nothing begins
    said = journal.header(grid, seed=seed, engine=engine, replications=replications)
    with (
        interruptible(interrupted) as stop,
        Memory() if out is None else Journal(out, said, fresh=fresh) as book,
    ):
        resumed, refusals = len(book.finished), list[MeshsimError]()
        tasks = _tasks(grid, said, book.finished)
        with _workers(cluster, jobs, len(tasks)) as workers:
            made = workers.summaries(tasks, stop=stop, refused=lambda _, error: refusals.append(error))
            _fill(book, made, replications, len(book.finished) + len(tasks), progress)
        done = Sweep(grid, said, tidy.table(grid, book.finished), len(book.finished) - resumed, resumed)
        if book.finished:  # a picture with holes is not worth the wait
            book.fold(done.columns, done._beside(form, drawn=not done.partial))
    if refusals and not stop.pressed:
        raise _refusal(refusals, done, out)
    return done


def _fill(
    book: Memory,
    made: Iterator[tuple[int, Summary]],
    replications: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Enters runs into the book as they finish, and reports how many there are."""
    if progress is not None:
        progress(len(book.finished), total)
    for number, summary in made:
        book.add(divmod(number, replications), tidy.rows(summary))
        if progress is not None:
            progress(len(book.finished), total)


def _refusal(refusals: Sequence[MeshsimError], done: Sweep, out: str | Path | None) -> MeshsimError:
    """What is said of runs that can't be made, when all others are."""
    kept = ""
    if done.runs:
        kept = f" (the others, {done.runs}, are {'lost without out' if out is None else f'kept in {out}'})"
    first = "" if len(refusals) == 1 else "; the first of them"
    return MeshsimError(f"{len(refusals)} of {done.wanted} runs can't be made{kept}{first}: {refusals[0]}")


def _tasks(grid: Grid, said: Header, finished: Mapping[tidy.Run, object]) -> list[Task]:
    """The runs that are left, all points' first replications before any second one."""
    count = said.replications
    return [
        Task(place * count + number, point.scenario, seed, said.engine, f"{point.label}, seed {seed}")
        for number, seed in enumerate(range(said.seed, said.seed + count))
        for place, point in enumerate(grid.points)
        if (place, number) not in finished
    ]


def _workers(cluster: str | None, jobs: int | None, tasks: int) -> Pool[Summary] | Cluster:
    """Who makes so many runs; nobody is asked for none."""
    if cluster is None or not tasks:
        return Pool(min(cores(jobs), max(1, tasks)), simulate)
    from meshsim.lab.jobs.cluster import Cluster  # noqa: PLC0415 - needs an extra

    return Cluster(cluster)


def sheet(done: Sweep) -> sheets.Sheet:
    """One row a point: medians over the replications."""
    rows: sheets.Rows = [
        (
            *(tidy.shown(value) for value in done.grid.points[digest.point].values),
            *(sheets.rate(digest.client(key)) for key in ("rate", "goodput")),
            sheets.share(digest.client("success_ratio")),
            *(_percentile(digest, key) for key in ("p50", "p99")),
            f"{digest.busiest[0]} {sheets.share(digest.busiest[1])}" if digest.busiest else "",
            "unstable" if digest.unstable else "",
        )
        for digest in done.digests
    ]
    columns = (*done.keys, "offered", "goodput", "success", "p50", "p99", "busiest", "")
    title = f"{done.scenario.name or 'sweep'}: {len(rows)} points, {done.runs} runs, medians"
    return sheets.Sheet(title, columns, rows, words=(len(columns) - 2, len(columns) - 1))


def _percentile(digest: Digest, key: str) -> str:
    completed = sum(round(digest.client(name) or 0.0) for name in ("ok", "failed"))
    return sheets.percentile(digest.client(f"latency_{key}"), key, completed)


def as_dict(done: Sweep) -> dict[str, Any]:
    """A sweep as plain values, for JSON: each point's values, and medians with their intervals."""
    return {
        "scenario": done.scenario.name,
        "version": version.VERSION,
        "engine": done.engine,
        "seed": done.header.seed,
        "replications": done.header.replications,
        "partial": done.partial,
        "computed": done.computed,
        "resumed": done.resumed,
        "keys": done.header.keys,
        "points": [
            {
                "values": dict(zip(done.keys, done.grid.points[digest.point].values, strict=True)),
                **digest.as_dict(),
            }
            for digest in done.digests
        ],
    }
