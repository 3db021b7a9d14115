"""The verb ``batch``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from meshsim.cli import options
from meshsim.cli.app import BAD, app, code, example, keeping, present, reporting_errors, say, stopping, warn

if TYPE_CHECKING:
    from meshsim.errors import Problem
    from meshsim.lab.sources import Skipped

MOST_LISTED = 20
"""Skipped files."""

Out = Annotated[
    Path | None,
    Option(
        metavar="DIR",
        help="Folder for batch.json, batch.parquet and a folder for each scenario, as run writes it.",
    ),
]


@app.command(epilog=example("meshsim batch scenarios --out out --junit out/junit.xml --check"))
def batch(
    paths: options.Paths,
    engine: options.Engine = None,
    seed: options.Seed = None,
    overrides: options.Overrides = None,
    replications: options.Replications = 1,
    jobs: options.Jobs = None,
    out: Out = None,
    formats: options.Formats = None,
    dpi: options.Dpi = None,
    csv: options.Csv = False,
    junit: options.JUnit = None,
    check: options.Check = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate many scenarios.

    Of a folder, those in it and below it; other YAML files there are skipped, and listed. --set, --seed and
    the like are for all of them.

    Exits with 2 if a file can't be used; the others run all the same. Ctrl-C keeps what has finished, and a
    second one aborts.
    """
    with reporting_errors(as_json):
        from meshsim.lab.batch import batch as simulate  # noqa: PLC0415
        from meshsim.lab.show import junit as report  # noqa: PLC0415
        from meshsim.lab.show import terminal  # noqa: PLC0415

        output = options.output(out, formats, dpi, csv, as_json, quiet)
        report.prepare(junit)
        warn(engine)
        with keeping(out), terminal.runs_bar(quiet=quiet) as progress:
            done = simulate(
                paths, engine=engine, seed=seed, overrides=overrides or (), replications=replications,
                jobs=jobs, out=out, save=False, progress=progress, interrupted=stopping, **output.forms,
            )  # fmt: skip
        present(done, done.as_dict(), partial(terminal.show_batch, terminal.console(), done), output)
        if junit is not None:
            file = report.write(junit, done.suites())
            if not (as_json or quiet):
                terminal.show_written(terminal.console(), [file])
    list_problems(done.skipped, [problem for entry in done.entries for problem in entry.problems])
    ending = code(partial=done.partial, missed=check and bool(done.of("missed")))
    raise Exit(BAD if done.of("refused") and not done.partial else ending)


def list_problems(skipped: Sequence[Skipped], problems: Sequence[Problem]) -> None:
    """Says which YAML files of the folders were not read, and what is wrong with others."""
    for each in skipped[:MOST_LISTED]:
        say(f"skipped {each.file}: {each.reason}")
    if len(skipped) > MOST_LISTED:
        say(f"skipped {len(skipped) - MOST_LISTED} more files")
    for problem in dict.fromkeys(problems):  # one of an option is the same for all files
        say(str(problem))
