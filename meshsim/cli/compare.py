"""The verb ``compare``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from meshsim.cli import options
from meshsim.cli.app import app, code, example, present, reporting_errors, stopping

Other = Annotated[
    str | None, Argument(metavar="B", help="Another file; without it, B is the first changed by --with.")
]
Changes = Annotated[
    list[str] | None, Option("--with", metavar="KEY=VALUE", help="Change a value of B only; may be repeated.")
]
OfBoth = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change a value of both; may be repeated.")
]
Pairs = Annotated[int, Option(help="Pairs of runs; both of a pair have the same seed.")]
Metric = Annotated[str, Option(metavar="PATH", help="What the comparison is about, and --until looks at.")]
Out = Annotated[
    Path | None,
    Option(
        metavar="DIR", help="Folder for compare.json, the tables (Parquet) and the picture; made if missing."
    ),
]
All = Annotated[
    bool, Option("--all", help="Print all tables: each service, request by request, what pairing was worth.")
]
Check = Annotated[bool, Option("--check", help="Exit with 1 if B misses an objective in any run.")]


@app.command(
    epilog=example(
        "meshsim compare retry-storm.yaml retry-budget.yaml --out out\n"
        "  meshsim compare shop.yaml --with policies.cart.retries.attempts=0 --metric latency.p99"
    )
)
def compare(
    a: options.ScenarioFile,
    b: Other = None,
    changes: Changes = None,
    overrides: OfBoth = None,
    engine: options.Engine = None,
    seed: options.Seed = None,
    replications: Pairs = options.LEAST,
    until: options.Until = None,
    metric: Metric = "latency.mean",
    at_most: options.AtMost = None,
    jobs: options.Jobs = None,
    out: Out = None,
    formats: options.Formats = None,
    dpi: options.Dpi = None,
    csv: options.Csv = False,
    every: All = False,
    check: Check = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what differs between two scenarios.

    Both run with common random numbers: in each pair of runs they see the same arrivals and service times.
    The verdict comes first; then objectives, what users get and what it costs, each difference with its 95 %
    interval. With --all also each service, and what became of each request.

    With --until 5% there are as many pairs as it takes for the interval of --metric to be at most 5 % of A's
    mean to each side. Ctrl-C keeps the pairs that have finished; a second one aborts.
    """
    with reporting_errors(as_json):
        from meshsim.lab import compare as lab  # noqa: PLC0415
        from meshsim.lab import files  # noqa: PLC0415
        from meshsim.lab.show import terminal  # noqa: PLC0415
        from meshsim.scenario import load  # noqa: PLC0415

        output = options.output(out, formats, dpi, csv, as_json, quiet)
        first = load(a, overrides or ())
        second = None if b is None else first if a == b else load(b, overrides or ())
        if out is not None:
            files.prepare(out, scenarios=files.PAIR)
        each = first.duration + (second or first).duration
        total = each * (replications if until is None else max(replications, options.LEAST))
        with terminal.progress_bar(total, quiet=quiet, each=each) as progress:
            result = lab.compare(
                first, second, changes=changes or (), engine=engine, seed=seed, replications=replications,
                until=until, metric=metric, at_most=at_most, jobs=jobs, progress=progress,
                looked=None if progress is None else progress.looked, interrupted=stopping,
            )  # fmt: skip
        show = partial(terminal.show_comparison, terminal.console(), result.numbers, every=every)
        present(result, result.summary, show, output)
    numbers = result.numbers
    missed = any(objective.met_b < numbers.replications for objective in numbers.objectives)
    raise Exit(code(partial=numbers.partial, missed=check and missed))
