"""The verb ``batch``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshsim.cli.app import (
    BAD,
    INTERRUPTED,
    AsJson,
    Engine,
    Jobs,
    Overrides,
    Quiet,
    Seed,
    app,
    code,
    example,
    present,
    reporting_errors,
    say,
    stopping,
    warn,
)
from meshsim.cli.output import Csv, Dpi, Formats, chosen
from meshsim.cli.run import Check, Replications

if TYPE_CHECKING:
    from meshsim.errors import Problem
    from meshsim.lab.sources import Skipped

MOST_LISTED = 20
"""Skipped files."""

Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH...", help="YAML files, folders with some, or - for standard input."),
]
JUnit = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write verdicts as JUnit XML, for systems that run tests."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for batch.json, batch.parquet and a folder for each scenario, as run writes it.",
    ),
]


@app.command(epilog=example("meshsim batch scenarios --out out --junit out/junit.xml --check"))
def batch(
    paths: Paths,
    engine: Engine = None,
    seed: Seed = None,
    overrides: Overrides = None,
    replications: Replications = 1,
    jobs: Jobs = None,
    out: Out = None,
    formats: Formats = None,
    dpi: Dpi = None,
    csv: Csv = False,
    junit: JUnit = None,
    check: Check = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
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

        options = chosen(out, formats, dpi, csv)
        report.prepare(junit)
        warn(engine)
        try:
            with terminal.runs_bar(quiet=quiet) as progress:
                done = simulate(
                    paths, engine=engine, seed=seed, overrides=overrides or (), replications=replications,
                    jobs=jobs, out=out, save=False, progress=progress, interrupted=stopping, **options,
                )  # fmt: skip
        except KeyboardInterrupt:
            say("aborted" + ("" if out is None else f"; finished runs are kept in {out}"))
            raise typer.Exit(INTERRUPTED) from None
        present(
            done,
            done.as_dict(),
            lambda written: terminal.show_batch(terminal.console(), done, written),
            out=out,
            options=options,
            as_json=as_json,
            quiet=quiet,
        )
        if junit is not None:
            file = report.write(junit, done.suites())
            if not (as_json or quiet):
                terminal.show_written(terminal.console(), [file])
    list_problems(done.skipped, [problem for entry in done.entries for problem in entry.problems])
    ending = code(partial=done.partial, missed=check and bool(done.of("missed")))
    raise typer.Exit(BAD if done.of("refused") and not done.partial else ending)


def list_problems(skipped: Sequence[Skipped], problems: Sequence[Problem]) -> None:
    """Says which YAML files of the folders were not read, and what is wrong with others."""
    for each in skipped[:MOST_LISTED]:
        say(f"skipped {each.file}: {each.reason}")
    if len(skipped) > MOST_LISTED:
        say(f"skipped {len(skipped) - MOST_LISTED} more files")
    for problem in dict.fromkeys(problems):  # one of an option is the same for all files
        say(str(problem))
