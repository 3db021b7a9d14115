"""The verb ``run``."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Context, Exit, Option

from meshsim.cli import options
from meshsim.cli.app import app, code, example, present, reporting_errors, stopping
from meshsim.errors import MeshsimError

if TYPE_CHECKING:
    from meshsim.lab.run import Run

Metric = Annotated[
    str | None, Option(metavar="PATH", help="What --until looks at; latency.mean if not given.")
]
Keep = Annotated[
    str | None,
    Option(
        metavar="WHAT",
        help="records (a row each request), or histograms and time series only, in memory that does not"
        " grow with the number of requests.",
    ),
]
Out = Annotated[
    Path | None,
    Option(
        metavar="DIR", help="Folder for summary.json, the tables (Parquet) and the picture; made if missing."
    ),
]


@app.command(
    context_settings={"allow_extra_args": True},  # which are refused with the remedy
    epilog=example('meshsim run shop.yaml --set "load[0].rate=300/s" --replications 10 --out out --check'),
)
def run(
    context: Context,
    scenario: options.ScenarioFile,
    engine: options.Engine = None,
    seed: options.Seed = None,
    overrides: options.Overrides = None,
    replications: options.Replications = 1,
    until: options.Until = None,
    metric: Metric = None,
    at_most: options.AtMost = None,
    keep: Keep = None,
    out: Out = None,
    formats: options.Formats = None,
    dpi: options.Dpi = None,
    csv: options.Csv = False,
    metrics_every: options.MetricsEvery = None,
    otlp: options.Otlp = None,
    check: options.Check = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
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

        if context.args or Path(scenario).is_dir():
            command = shlex.join(["meshsim", "batch", scenario, *context.args])
            raise MeshsimError(f"run takes one scenario; for several, or those in a folder, write {command}")
        output = options.output(out, formats, dpi, csv, as_json, quiet, metrics_every)
        changes = [*(overrides or ()), *([f"keep={keep}"] if keep is not None else [])]
        loaded = output.fitting(load(scenario, changes))
        if out is not None:
            files.prepare(out, scenarios=files.RUN)
        total = loaded.duration * (replications if until is None else max(replications, options.LEAST))
        with terminal.progress_bar(total, quiet=quiet, each=loaded.duration) as progress:
            result = simulate(
                loaded, engine=engine, seed=seed, replications=replications, until=until, metric=metric,
                at_most=at_most, progress=progress, interrupted=stopping,
                looked=None if progress is None else progress.looked, otlp=otlp,
            )  # fmt: skip
        present_run(result, output)
    raise Exit(run_code(result, check=check))


def present_run(result: Run, output: options.Output) -> None:
    """Hands over what came of a run, simulated or live; as :func:`meshsim.cli.app.present`."""
    from meshsim.lab.show import terminal  # noqa: PLC0415

    show = partial(terminal.show_run, terminal.console(), result.numbers)
    present(result, result.summary, show, output)


def run_code(result: Run, *, check: bool) -> int:
    """How a verb ends whose result is a run."""
    missed = any(not objective.met for objective in result.numbers.objectives)
    sent = result.numbers.traces
    return code(
        partial=result.numbers.partial,
        missed=check and missed,
        unsent=sent is not None and sent.interrupted,
    )
