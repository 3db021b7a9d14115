"""The verb ``sweep``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Exit, Option

from meshsim.cli import options
from meshsim.cli.app import INTERRUPTED, app, example, keeping, reporting_errors, say, stopping, warn
from meshsim.errors import MeshsimError, Problem, ScenarioError, halves

if TYPE_CHECKING:
    from meshsim.lab.sweep import Sweep

Out = Annotated[
    Path | None,
    Option(
        metavar="DIR",
        help="Folder for sweep.parquet and the picture; an interrupted sweep is resumed there. Without it,"
        " out/ and the scenario's name.",
    ),
]
Vary = Annotated[
    list[str] | None,
    Option(
        "--vary",
        metavar="KEY=VALUES",
        help="Give a key each of V1,V2,... or, with A:B:N, N values from A to B; repeated, all combinations."
        " Without it, what the scenario's sweep says.",
    ),
]
Replications = Annotated[
    int, Option(help="Runs of each point, each with the next seed; all points have the same seeds.")
]
Cluster = Annotated[
    str | None,
    Option(metavar="ADDRESS", help="Run on the workers of a Dask scheduler, such as tcp://host:8786."),
]
Fresh = Annotated[
    bool, Option("--fresh", help="Begin anew, and forget the sweep that DIR holds; leave it out to resume.")
]


@app.command(epilog=example('meshsim sweep shop.yaml --vary "load[0].rate=100/s:900/s:17" --replications 10'))
def sweep(
    scenario: options.ScenarioFile,
    out: Out = None,
    vary: Vary = None,
    replications: Replications = 1,
    jobs: options.Jobs = None,
    cluster: Cluster = None,
    engine: options.Engine = None,
    seed: options.Seed = None,
    overrides: options.Overrides = None,
    fresh: Fresh = False,
    formats: options.Formats = None,
    dpi: options.Dpi = None,
    csv: options.Csv = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a scenario at many points.

    Every run is kept as soon as it is finished: after Ctrl-C, a crash or a full disk, the same command goes
    on where the sweep was interrupted.
    """
    with reporting_errors(as_json):
        from meshsim.lab.show import terminal  # noqa: PLC0415
        from meshsim.lab.sweep import as_dict  # noqa: PLC0415
        from meshsim.lab.sweep import sweep as simulate  # noqa: PLC0415

        warn(engine)
        out = out or _folder(scenario, overrides or ())
        output = options.output(out, formats, dpi, csv, as_json, quiet)
        with keeping(out), terminal.runs_bar(quiet=quiet) as progress:
            done = simulate(
                scenario, _variations(vary or ()), replications=replications, engine=engine, seed=seed,
                overrides=overrides or (), jobs=jobs, cluster=cluster, out=out, fresh=fresh,
                progress=progress, interrupted=stopping, **output.forms,
            )  # fmt: skip
        if as_json:
            print(json.dumps(as_dict(done), indent=2, allow_nan=False))
        elif done.runs and not quiet:
            terminal.show_sweep(terminal.console(), done, out)
    if done.partial:
        _say_partial(done, fresh)
        raise Exit(INTERRUPTED)


def _folder(scenario: str, overrides: Sequence[str]) -> Path:
    """Where results go if nobody says: a folder with the scenario's name, in out."""
    from meshsim.scenario import load  # noqa: PLC0415
    from meshsim.scenario.names import folder_name  # noqa: PLC0415

    name = ""
    if scenario != "-":  # standard input can be read only once
        with contextlib.suppress(MeshsimError):  # the sweep reports it, and all else that is wrong
            name = load(scenario, overrides).name or Path(scenario).stem
    return Path("out", folder_name(name, "sweep"))


def _variations(texts: list[str] | tuple[()]) -> dict[str, Any]:
    """The values by key; of what is wrong with the options, everything is reported."""
    from meshsim.scenario.variation import variation  # noqa: PLC0415

    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in texts:
        try:
            key, values = variation(text)
            if key in found:
                raise ValueError(f"{key} is varied twice; give it all its values at once")
            found[key] = values
        except ValueError as error:
            problems.append(Problem("--vary", 0, "", *halves(error)))
    if problems:
        raise ScenarioError(problems)
    return found


def _say_partial(done: Sweep, fresh: bool) -> None:
    if done.runs:
        command = f"the same command {'without --fresh ' if fresh else ''}resumes"
        say(f"interrupted after {done.runs} of {done.wanted} runs; {command}")
    else:
        say("interrupted before any run had finished; no results written")
