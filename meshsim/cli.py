"""The command line: one verb a function, each a thin layer over what `lab`, `theory` and `scenario` do.

Results for people or, with ``--json``, for machines go to standard output; everything else to standard
error. Exit codes: 0 fine, 1 an objective was missed (only with ``--check``), 2 bad input or results that
could not be written, 130 after Ctrl-C.

Whatever is slow to import is imported by the verb that needs it, so that ``meshsim --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import meshsim
from meshsim.errors import MeshsimError, ScenarioError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

    from meshsim.lab.run import Run

MISSED, BAD, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="meshsim",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would double the time that --help takes
    context_settings={"help_option_names": ["-h", "--help"]},
)
imports = typer.Typer(no_args_is_help=True, help="Turn another tool's file into a scenario.")
app.add_typer(imports, name="import")

ScenarioFile = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A YAML file, or - for standard input.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value of the scenario, such as policies.cart.timeout=2s; may be repeated.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables for people.")]


def _example(command: str) -> str:
    """The end of a verb's help; the backspace keeps its lines as they are."""
    return f"\b\nExample:\n  {command}"


class _Pipe(io.FileIO):
    """Standard output that does not mind if its reader has gone (``| head``): the rest goes nowhere."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _streams() -> None:
    """Makes standard output and error bear whatever they are connected to."""
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as we live
    elif isinstance(sys.stdout, io.TextIOWrapper) and isinstance(
        sys.stdout.buffer, io.BufferedWriter | io.FileIO
    ):
        pipe = _Pipe(sys.stdout.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(pipe), encoding=sys.stdout.encoding, line_buffering=pipe.isatty()
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal can't show is no reason for a traceback


def main() -> None:
    """The program ``meshsim``."""
    _streams()
    try:
        try:
            app(prog_name="meshsim")
        finally:
            sys.stdout.flush()
    except OSError as error:
        print(f"meshsim: {error.strerror or error}: the output is incomplete", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BAD)


@contextlib.contextmanager
def _told(as_json: bool) -> Iterator[None]:
    """Tells the user what was wrong with the input, all at once, and exits with 2."""
    try:
        yield
    except MeshsimError as error:
        if as_json:
            listed = (
                [asdict(problem) for problem in error.problems] if isinstance(error, ScenarioError) else []
            )
            print(json.dumps({"error": str(error), "problems": listed}, indent=2))
        problems = str(error).splitlines()
        several = f"{len(problems)} problems\n  " if len(problems) > 1 else ""
        print(f"meshsim: {several}" + "\n  ".join(problems), file=sys.stderr)
        raise typer.Exit(BAD) from None
    except KeyboardInterrupt:
        print("meshsim: given up; nothing is written", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _stopping() -> None:
    print("meshsim: stopping, and keeping what there is; Ctrl-C again gives up", file=sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"meshsim {meshsim.__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Solve, simulate and check service-mesh scenarios.

    A scenario is a YAML file with services, links, policies, load and faults. Begin with

        meshsim run scenarios/retry-storm.yaml --out out

    and look at the picture out/run.png.
    """


# ---- run --------------------------------------------------------------------------------------------


@app.command(
    epilog=_example('meshsim run shop.yaml --set "load[0].rate=300/s" --replications 10 --out out --check')
)
def run(
    scenario: ScenarioFile,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, simpy or reference, instead of the scenario's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's.")] = None,
    overrides: Overrides = None,
    replications: Annotated[
        int, typer.Option(help="Independent runs, each with the next seed; from 2 on there are intervals.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for summary.json, the tables (Parquet) and run.png; made if missing."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if an objective is missed.")] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print neither tables nor progress.")] = False,
) -> None:
    """Simulate a scenario.

    Ctrl-C ends a run early and keeps what was measured so far, marked partial; a second one gives up.
    """
    with _told(as_json):
        from meshsim.lab import files, terminal  # noqa: PLC0415
        from meshsim.lab.run import run as simulate  # noqa: PLC0415
        from meshsim.scenario import load  # noqa: PLC0415

        loaded = load(scenario, overrides or ())
        if out is not None:
            files.prepare(out)
        with terminal.progress_bar(loaded.duration * replications, quiet=quiet) as progress:
            result = simulate(
                loaded,
                engine=engine,
                seed=seed,
                replications=replications,
                progress=progress,
                interrupted=_stopping,
            )
        written, failure = _saved(result, out)
        if as_json:
            print(json.dumps(result.summary, indent=2, allow_nan=False))
        elif not quiet:
            terminal.show_run(terminal.console(), result.summary, written)
        if failure is not None:
            raise failure
    raise typer.Exit(_code(result, check))


def _saved(result: Run, out: Path | None) -> tuple[list[Path], MeshsimError | None]:
    """Saves a run; a full disk must not keep its numbers from being shown first."""
    if out is None:
        return [], None
    try:
        return result.save(out), None
    except MeshsimError as error:
        return [], error


def _code(result: Run, check: bool) -> int:
    if result.summary["partial"]:
        print("meshsim: interrupted; the results are partial", file=sys.stderr)
        return INTERRUPTED
    missed = any(not objective["met"] for objective in result.summary["objectives"])
    return MISSED if check and missed else 0


# ---- looking at scenarios ---------------------------------------------------------------------------


@app.command(epilog=_example("meshsim check shop.yaml"))
def check(scenario: ScenarioFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Say everything that is wrong with a scenario.

    Exits with 2 if anything is.
    """
    with _told(as_json):
        from meshsim.scenario import load  # noqa: PLC0415
        from meshsim.scenario.advice import advise  # noqa: PLC0415

        loaded = load(scenario, overrides or ())
    facts: dict[str, Any] = {
        "ok": True,
        "scenario": loaded.name,
        "services": list(loaded.services),
        "edges": [f"{caller} -> {service}" for caller, service in loaded.edges()],
        "duration": loaded.duration,
        "events": len(loaded.events),
        "objectives": len(loaded.objectives),
        "advice": advise(loaded),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{scenario}: fine.")
    print(f"services: {', '.join(facts['services'])}")
    print(f"edges: {', '.join(facts['edges'])}")
    print(f"{loaded.duration:g} s, {facts['events']} events, {facts['objectives']} objectives")
    for advice in facts["advice"]:
        print(f"note: {advice}")


@app.command(epilog=_example("meshsim schema > scenario.schema.json"))
def schema() -> None:
    """Print the JSON Schema of scenario files.

    Editors complete and check YAML with it.
    """
    from meshsim.scenario import schema as describe  # noqa: PLC0415

    print(json.dumps(describe(), indent=2))


@app.command(epilog=_example("meshsim theory mm1.yaml"))
def theory(scenario: ScenarioFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Solve a scenario with formulas.

    Says which formula and what its source is, or why there is none.
    """
    with _told(as_json):
        from meshsim.scenario import load  # noqa: PLC0415
        from meshsim.theory import solve  # noqa: PLC0415

        solution = solve(load(scenario, overrides or ()))
    if as_json:
        print(json.dumps(solution.as_dict(), indent=2))
        return
    from meshsim.lab import terminal  # noqa: PLC0415

    terminal.show_theory(terminal.console(), solution)


@imports.command(
    epilog=_example("meshsim import isotope canonical.yaml --rate 100/s > canonical-scenario.yaml")
)
def isotope(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="An isotope topology (YAML), or - for standard input.")
    ],
    rate: Annotated[
        str | None, typer.Option(metavar="RATE", help="Load on the entry service, such as 100/s.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Of the scenario, such as 60s.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn an isotope topology into a scenario.

    Isotope is the generator of service graphs in istio/tools. The scenario is printed as YAML.
    """
    with _told(as_json):
        text = _read(file)
        from meshsim.interop.isotope import convert  # noqa: PLC0415
        from meshsim.scenario import dump  # noqa: PLC0415

        name = "isotope" if file == "-" else Path(file).stem
        document, notes = convert(text, name=name, rate=rate, duration=duration, file=file)
        result = {"scenario": document, "notes": notes}
        shown = json.dumps(result, indent=2) if as_json else dump(document).rstrip("\n")
    for note in notes:
        print(f"meshsim: {note}", file=sys.stderr)
    print(shown)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise MeshsimError(f"can't read {file}: {reason}") from error


if __name__ == "__main__":
    main()
