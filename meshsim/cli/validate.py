"""The verb ``validate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshsim.cli import options
from meshsim.cli.app import app, code, example, reporting_errors, saved, say

if TYPE_CHECKING:
    from meshsim.lab.validate import Validation

Files = Annotated[
    list[str], typer.Argument(metavar="SCENARIO...", help="YAML files, or - for standard input.")
]
Proxy = Annotated[str, typer.Option(metavar="NAME", help="Whose sidecars: meshsim, envoy or both.")]
Replications = Annotated[int, typer.Option(help="Simulated runs, for the interval of each number.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for validation.json, the picture and both runs' tables; made if missing. Several"
        " validations get a folder each in it.",
    ),
]
Check = Annotated[bool, typer.Option("--check", help="Exit with 1 unless every verdict is a pass.")]


@app.command(
    epilog=example(
        "meshsim validate scenarios/validation/*.yaml\n"
        "  meshsim validate --proxy envoy scenarios/validation/retries.yaml --out out --check"
    )
)
def validate(
    scenarios: Files,
    proxy: Proxy = "meshsim",
    seed: options.Seed = None,
    overrides: options.Overrides = None,
    replications: Replications = options.LEAST,
    out: Out = None,
    formats: options.Formats = None,
    dpi: options.Dpi = None,
    csv: options.Csv = False,
    check: Check = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Hold theory, simulation and the live mesh on this machine against each other.

    Calibration runs measure what a hop costs here; the model gets it as an added delay. Theory solves, the
    simulator simulates and real processes run the scenario, on the same arrivals and service times, so that
    they can be compared request by request. It takes each scenario's duration in real time, and some 25 s
    more; with --proxy both twice that.

    The verdict is pass or fail by the tolerance of each number, or noisy: the machine was too busy, or the
    run too short, to say. --json prints one object, or a list where there are several files or proxies.
    """
    with reporting_errors(as_json):
        from meshsim.lab import files  # noqa: PLC0415
        from meshsim.lab import validate as lab  # noqa: PLC0415
        from meshsim.lab.show import terminal  # noqa: PLC0415
        from meshsim.scenario import load  # noqa: PLC0415

        output = options.output(out, formats, dpi, csv, as_json, quiet)
        loaded = [load(each, overrides or ()) for each in scenarios]
        if out is not None:
            files.prepare(out)
        several = len(loaded) * len(lab.PROXIES.get(proxy, ())) > 1
        folder = _folders(out, several=several)
        done: list[Validation] = []
        cut_short, failure = False, None
        with terminal.stages_bar(quiet=quiet, lines=not as_json) as watch:
            try:
                for result in lab.validate_each(
                    loaded, proxy=proxy, seed=seed, replications=replications, watch=watch,
                    interrupted=_stopping,
                ):  # fmt: skip
                    if watch is not None:
                        watch.hide()
                    done.append(result)
                    written, problem = saved(result, folder(result), output.forms)
                    failure = failure or problem
                    if not quiet and not as_json:
                        terminal.show_validation(terminal.console(), result.numbers, written)
            except KeyboardInterrupt:
                if not done:
                    raise
                cut_short = True
        _present(done, several=several, as_json=as_json, quiet=quiet)
        if failure is not None:
            raise failure
    raise typer.Exit(code(partial=cut_short, missed=check and any(each.verdict != "pass" for each in done)))


def _present(done: list[Validation], *, several: bool, as_json: bool, quiet: bool) -> None:
    """Prints them all for machines, or the table of several for people."""
    from meshsim.lab.show import terminal  # noqa: PLC0415
    from meshsim.lab.show.validate import table  # noqa: PLC0415

    if as_json:
        found = [each.summary for each in done] if several else done[0].summary
        print(json.dumps(found, indent=2, allow_nan=False))
    elif several and not quiet:
        terminal.show(terminal.console(), table([each.numbers for each in done]))


def _stopping() -> None:
    """Says that Ctrl-C was noticed: half a live run can't be judged, so the one under way is dropped."""
    say("stopping the mesh; the validations that are done are kept")


def _folders(out: Path | None, *, several: bool) -> Callable[[Validation], Path | None]:
    """Where each validation's files go: of several, into a folder of its own, named after what it is of."""
    from meshsim.scenario.names import Distinct, file_name  # noqa: PLC0415 - slow to import

    names = Distinct()

    def folder(result: Validation) -> Path | None:
        if out is None or not several:
            return out
        return out / names.name(file_name(f"{result.scenario.name or 'scenario'}-{result.numbers.proxy}"))

    return folder
