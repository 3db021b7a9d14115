"""The verb ``run``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshsim.cli.app import (
    LEAST,
    AsJson,
    AtMost,
    Engine,
    Overrides,
    Quiet,
    ScenarioFile,
    Seed,
    Until,
    app,
    code,
    example,
    present,
    reporting_errors,
    stopping,
)
from meshsim.cli.output import Csv, Dpi, Formats, chosen
from meshsim.errors import MeshsimError

if TYPE_CHECKING:
    from meshsim.lab.output import OutputOptions
    from meshsim.lab.run import Run

Replications = Annotated[
    int, typer.Option(help="Independent runs, each with the next seed; from 2 on there are intervals.")
]
Metric = Annotated[
    str | None, typer.Option(metavar="PATH", help="What --until looks at; latency.mean if not given.")
]
Keep = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT",
        help="records (a row each request), or histograms and time series only, in memory that does not"
        " grow with the number of requests.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder for summary.json, the tables (Parquet) and the picture; made if missing."
    ),
]
Check = Annotated[bool, typer.Option("--check", help="Exit with 1 if an objective is missed.")]


@app.command(
    context_settings={"allow_extra_args": True},  # which are refused with the remedy
    epilog=example('meshsim run shop.yaml --set "load[0].rate=300/s" --replications 10 --out out --check'),
)
def run(
    context: typer.Context,
    scenario: ScenarioFile,
    engine: Engine = None,
    seed: Seed = None,
    overrides: Overrides = None,
    replications: Replications = 1,
    until: Until = None,
    metric: Metric = None,
    at_most: AtMost = None,
    keep: Keep = None,
    out: Out = None,
    formats: Formats = None,
    dpi: Dpi = None,
    csv: Csv = False,
    check: Check = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a scenario.

    With --until 1% there are as many replications as it takes, from 10 on, for the 95 % interval of --metric
    to be at most 1 % of its mean to each side.

    Ctrl-C ends a run early and keeps what was measured so far, marked partial; a second one aborts.
    """
    with reporting_errors(as_json):
        from meshsim.lab import files  # noqa: PLC0415
        from meshsim.lab.run import run as simulate  # noqa: PLC0415
        from meshsim.lab.show import terminal  # noqa: PLC0415
        from meshsim.scenario import load  # noqa: PLC0415

        _refuse_several(scenario, context.args)
        options = chosen(out, formats, dpi, csv)
        changes = [*(overrides or ()), *([f"keep={keep}"] if keep is not None else [])]
        loaded = load(scenario, changes)
        if out is not None:
            files.prepare(out, scenarios=files.RUN)
        total = loaded.duration * (replications if until is None else max(replications, LEAST))
        with terminal.progress_bar(total, quiet=quiet, each=loaded.duration) as progress:
            result = simulate(
                loaded,
                engine=engine,
                seed=seed,
                replications=replications,
                progress=progress,
                interrupted=stopping,
                until=until,
                metric=metric,
                at_most=at_most,
                looked=None if progress is None else progress.looked,
            )
        present_run(result, out=out, options=options, as_json=as_json, quiet=quiet)
    raise typer.Exit(run_code(result, check=check))


def _refuse_several(scenario: str, more: list[str]) -> None:
    if more or Path(scenario).is_dir():
        raise MeshsimError(
            "run takes one scenario; for several, or those in a folder, write"
            f" meshsim batch {shlex.join([scenario, *more])}"
        )


def present_run(result: Run, *, out: Path | None, options: OutputOptions, as_json: bool, quiet: bool) -> None:
    """Hands over what came of a run, simulated or live; as :func:`meshsim.cli.app.present`."""
    from meshsim.lab.show import terminal  # noqa: PLC0415

    def show(written: list[Path]) -> None:
        terminal.show_run(terminal.console(), result.numbers, written)

    present(result, result.summary, show, out=out, options=options, as_json=as_json, quiet=quiet)


def run_code(result: Run, *, check: bool) -> int:
    """How a verb ends whose result is a run."""
    missed = any(not objective.met for objective in result.numbers.objectives)
    return code(partial=result.numbers.partial, missed=check and missed)
