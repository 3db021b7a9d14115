"""A run on a terminal: its tables, and a progress bar while it lasts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich import markup
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from meshsim.errors import printable
from meshsim.lab.show import sheets
from meshsim.lab.show.sheets import Sheet
from meshsim.measure.precision import Until
from meshsim.measure.summary import Summary
from meshsim.units import ratio_text

if TYPE_CHECKING:
    from meshsim.lab.batch import Batch
    from meshsim.lab.sweep import Sweep
    from meshsim.lab.validate.stages import Stage
    from meshsim.measure.comparison import ComparisonNumbers
    from meshsim.measure.validation import ValidationNumbers
    from meshsim.theory import Solution

Widths = dict[int, int]

WIDTH_PIPED = 120
"""Columns of a table that goes into a file or a pipe, where no terminal says how wide it is."""


def console(*, stderr: bool = False) -> Console:
    """The terminal, or a plain writer of fixed width where there is none."""
    stream = sys.stderr if stderr else sys.stdout
    plain = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, width=WIDTH_PIPED if plain else None, highlight=False)


def escape(text: str) -> str:
    """Text of others on its line: it neither steers the terminal, nor begins a line, nor counts as markup."""
    return markup.escape(printable(text))


def show(out: Console, sheet: Sheet) -> None:
    """Prints a table; one without rows is left out."""
    if not sheet.rows:
        return
    out.print(f"[bold]{escape(sheet.title)}[/]")
    out.print(rendered(out, sheet))


def rendered(out: Console, sheet: Sheet) -> Group:
    """A table without its title; where that is too wide, several, each with the first column."""
    rows = [tuple(map(printable, row)) for row in sheet.rows]
    sheet = replace(sheet, columns=tuple(map(printable, sheet.columns)), rows=rows)
    columns = range(1, len(sheet.columns))
    for parts in range(1, max(len(columns), 1) + 1):
        bounds = [len(columns) * part // parts for part in range(parts + 1)]
        shares = [_widths(out, sheet, (0, *columns[low:high])) for low, high in pairwise(bounds)]
        if all(_total(widths) <= out.width for widths in shares):
            break
    return Group(*(_table(sheet, widths) for widths in shares))


def _total(widths: Widths) -> int:
    """How wide a table is: two spaces between columns, one at each side."""
    return sum(widths.values()) + 2 * len(widths)


def _widths(out: Console, sheet: Sheet, columns: Sequence[int]) -> Widths:
    """How wide columns are made, by number. Those of words are folded between them where room is short."""
    whole, widths = {}, {}
    for number in columns:
        cells = [sheet.columns[number], *(row[number] for row in sheet.rows)]
        whole[number] = max(cell_len(cell) for cell in cells)
        folds = number in sheet.words or (number == 0 and whole[0] > out.width // 2)
        widths[number] = (
            max(cell_len(word) for cell in cells for word in cell.split() or [""]) if folds else whole[number]
        )
    for number in columns:
        spare = max(0, out.width - _total(widths))
        widths[number] = min(whole[number], widths[number] + spare)
    return widths


def _table(sheet: Sheet, widths: Widths) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, collapse_padding=True)
    table.show_header = any(sheet.columns[number] for number in widths)
    for number, width in widths.items():
        side: Literal["left", "right"] = "left" if number == 0 or number in sheet.words else "right"
        table.add_column(escape(sheet.columns[number]), justify=side, overflow="fold", width=width)
    for row in sheet.rows:
        table.add_row(*(escape(row[number]) for number in widths))
    return table


def show_run(out: Console, summary: Summary, written: list[Path]) -> None:
    """Prints what came of a run, what matters most first."""
    for sheet in (
        sheets.headline,
        sheets.services,
        sheets.endpoints,
        sheets.edges,
        sheets.connections,
        sheets.certificates,
        sheets.pushes,
        sheets.failures,
        sheets.objectives,
    ):
        show(out, sheet(summary))
    if summary.unstable:
        out.print(f"[bold red]{escape(summary.unstable.reason)}[/]")
    _show_notes(out, summary.notes)
    seeds = _seeds(summary.seed, summary.replications)
    out.print(f"[dim]meshsim {summary.version}, engine {escape(summary.engine)}, {seeds}[/]")
    if summary.traces is not None:
        out.print(escape(summary.traces.outcome()))
    show_written(out, written)


def _show_notes(out: Console, notes: Iterable[str]) -> None:
    for note in notes:
        out.print(f"[yellow]Note:[/] {escape(note)}")


def _seeds(first: int, replications: int) -> str:
    return f"seed {first}" + (f" to {first + replications - 1}" if replications > 1 else "")


def show_comparison(out: Console, numbers: ComparisonNumbers, written: list[Path], *, every: bool) -> None:
    """Prints what differs: the verdict, objectives, what users get and what it costs; or everything."""
    from meshsim.lab.show import compare as compared  # noqa: PLC0415 - which imports what runs need

    out.print(f"[bold]{escape(numbers.verdict)}[/]")
    for sheet in (compared.objectives, compared.headline, compared.cost):
        show(out, sheet(numbers, every=every))
    if every:
        show(out, compared.services(numbers))
        show(out, compared.requests(numbers))
    for sentence in compared.sentences(numbers) if every else [compared.about(numbers)]:
        out.print(escape(sentence))
    _show_notes(out, numbers.notes)
    if not every:
        out.print(f"{len(numbers.differences)} metrics were compared; --all shows them.")
    seeds = f"seeds {numbers.seeds[0]} to {numbers.seeds[-1]}"
    out.print(f"[dim]meshsim {numbers.version}, engine {escape(numbers.engine)}, {seeds}[/]")
    show_written(out, written)


def show_batch(out: Console, done: Batch, written: list[Path]) -> None:
    """Prints what came of many scenarios: a row for each, and the objectives that were missed."""
    from meshsim.lab.show import batch as batched  # noqa: PLC0415 - which imports what runs need

    show(out, batched.table(done.entries))
    show(out, batched.missed(done.entries))
    show_written(out, written)


def show_validation(out: Console, numbers: ValidationNumbers, written: list[Path]) -> None:
    """Prints what theory, simulation and the live mesh say, the verdict first."""
    from meshsim.lab.show import validate as validated  # noqa: PLC0415 - which imports what runs need

    for sheet in validated.sheets_of(numbers):
        show(out, sheet)
    for reason in numbers.reasons:
        out.print(f"[bold red]{escape(reason)}[/]")
    _show_notes(out, numbers.notes)
    show_written(out, written)


def show_written(out: Console, written: list[Path]) -> None:
    """Prints which files there are now, if there are any."""
    if written:
        out.print(f"Written to {escape(str(written[0].parent))}: {', '.join(path.name for path in written)}")


def show_theory(out: Console, solution: Solution) -> None:
    """Prints what theory says of a scenario, and why it does not say more."""
    show(out, sheets.theory(solution))
    for number, formula in enumerate(sheets.formulas(solution), 1):
        out.print(f"{number:>3}  {escape(formula)}")
    if not solution.predictions:
        out.print("No formula fits this scenario; simulate it.")
    _show_notes(out, solution.reasons)


def show_sweep(out: Console, done: Sweep, folder: Path) -> None:
    """Prints what came of a sweep: a row a point."""
    from meshsim.lab.jobs.journal import BESIDE, TABLE  # noqa: PLC0415 - which imports what runs need
    from meshsim.lab.sweep import sheet  # noqa: PLC0415

    show(out, sheet(done))
    if any(digest.unstable for digest in done.digests):
        grew = "unstable: queues grew throughout the measurement window; a longer run gives other numbers."
        _show_notes(out, [grew])
    said = done.header
    seeds = _seeds(said.seed, said.replications)
    made = f"{done.runs} of {done.wanted} runs, " if done.partial else ""
    out.print(f"[dim]meshsim {said.version}, engine {escape(done.engine)}, {made}{seeds} at each point[/]")
    if done.resumed:
        there = f"{done.resumed} runs were in {escape(str(folder))} already"
        out.print(f"{there}, {done.computed} were made now.")
    show_written(out, [folder / name for name in (TABLE, *BESIDE) if (folder / name).exists()])


class Bar:
    """A progress bar of simulated time or of runs; what was done before the first report is no speed."""

    def __init__(self, bar: Progress, unit: str, each: float) -> None:
        self._bar, self._unit, self._each = bar, unit, each
        self._before = 0.0

    def __call__(self, done: float, total: float | None = None) -> None:
        """Shows how much is done; the first report says of how much."""
        if not self._bar.tasks:
            self._before = done
            self._bar.add_task("", total=total, speed="", seen="")
        elapsed = self._bar.tasks[0].elapsed or 0.0
        speed = (done - self._before) / elapsed if elapsed > 0.2 else 0.0
        self._update(completed=done, speed=f"{speed:.3g}{self._unit}" if speed else "")

    def looked(self, look: Until) -> None:
        """Shows how precise the answer is by now, and makes room for the replications to come."""
        precision = "" if look.precision is None else f"± {ratio_text(look.precision)}"
        about = "" if look.forecast is None or look.reached else f", about {look.forecast} needed"
        self._update(total=look.to * self._each, seen=f"{precision} after {look.replications}{about}")

    def _update(self, **shown: Any) -> None:
        self._bar.update(self._bar.tasks[0].id, **shown)


@contextmanager
def runs_bar(*, quiet: bool) -> Iterator[Bar | None]:
    """A bar on a terminal's standard error, unless `quiet`: how many runs are done, speed, time left.

    Yields what to report the numbers of finished and of all runs to; None where nobody watches.
    """
    left = TimeRemainingColumn(elapsed_when_finished=True)
    with _bar("runs", MofNCompleteColumn(), left, quiet=quiet, speed_estimate_period=600.0) as bar:
        yield None if bar is None else Bar(bar, "/s", 0.0)


@contextmanager
def progress_bar(total: float, *, quiet: bool, each: float = 0.0) -> Iterator[Bar | None]:
    """The same of simulated time: share of `total` s done, speed, time left; called with the time, s.

    `each` is the simulated time of one replication, s, where there may be more of them in the end.
    """
    with _bar("simulating", TaskProgressColumn(), TimeRemainingColumn(), quiet=quiet) as bar:
        shown = None if bar is None else Bar(bar, " s/s", each)
        if shown is not None:
            shown(0.0, total)
        yield shown


@contextmanager
def _bar(
    what: str, done: ProgressColumn, left: ProgressColumn, *, quiet: bool, **options: Any
) -> Iterator[Progress | None]:
    err = console(stderr=True)
    if quiet or not err.is_terminal:
        yield None
        return
    speed, seen = TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[seen]}")
    columns = (TextColumn(what), BarColumn(), done, speed, left, seen)
    with Progress(*columns, console=err, transient=True, **options) as bar:
        yield bar


class Stages:
    """Shows the stages of a validation: as a bar that begins anew with each, or as a line for each."""

    def __init__(self, err: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._err = err
        self._bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task = self._bar.add_task("")
        self._last: Stage | None = None

    def __call__(self, stage: Stage, now: float) -> None:
        if stage != self._last:
            self._last, words = stage, escape(f"{stage.scenario}: {stage.doing}")
            if self._bar.disable:
                self._err.print(f"{words} ({stage.total:g} s)")
            self._bar.reset(self._task, total=stage.total, description=words)
            self._bar.start()
        self._bar.update(self._task, completed=now)

    def hide(self) -> None:
        """Takes the bar away until the next stage, so that something can be printed."""
        self._last = None
        if not self._bar.disable:  # else rich up to 14.1 prints an empty line
            self._bar.stop()


@contextmanager
def stages_bar(*, quiet: bool, lines: bool = True) -> Iterator[Stages | None]:
    """The stages of a validation on standard error; `lines` if it is no terminal.

    Yields what to report the stage and its time passed to, s, or None where nobody watches.
    """
    err = console(stderr=True)
    if quiet or not (err.is_terminal or lines):
        yield None
        return
    stages = Stages(err)
    try:
        yield stages
    finally:
        stages.hide()
