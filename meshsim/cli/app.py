"""What all verbs share: the program, its streams, and how it reports what is wrong."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TextIO, Unpack

import typer
import typer.core

from meshsim import version
from meshsim.errors import MeshsimError, ScenarioError, printable
from meshsim.forms import FORM

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

    from meshsim.cli.options import Output
    from meshsim.lab.output import OutputOptions

MISSED, BAD, INTERRUPTED = 1, 2, 130


class Verbs(typer.core.TyperGroup):
    """Verbs, some of two words: what follows the first may be a verb of its own, such as ``live set``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Finds the verb that the arguments begin with."""
        both = " ".join(args[:2])
        return super().resolve_command(ctx, [both, *args[2:]] if both in self.commands else args)


app = typer.Typer(
    name="meshsim",
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would double the time that --help takes
    context_settings={"help_option_names": ["-h", "--help"]},
)


def example(command: str) -> str:
    """The end of a verb's help; the backspace keeps its lines as they are."""
    return f"\b\nExample:\n  {command}"


class _Pipe(io.FileIO):
    """Standard output that does not mind if its reader has gone (``| head``): the rest goes nowhere."""

    harmless: type[OSError] = BrokenPipeError

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except self.harmless:
            return memoryview(data).nbytes


class _Messages(_Pipe):
    """Standard error that minds nothing: where nobody can read it, the exit code still says it."""

    harmless = OSError


def _writer(stream: TextIO | None, fd: int, pipe: type[_Pipe]) -> TextIO | None:
    """A standard stream that bears whatever it is connected to; one of another kind stays as it is."""
    if stream is None:
        return open(fd, "w", encoding="utf-8", closefd=False)
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if not isinstance(stream.buffer, io.BufferedWriter | io.FileIO):
        return stream
    raw = io.BufferedWriter(pipe(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(raw, encoding=stream.encoding, line_buffering=stream.line_buffering)


def _streams() -> None:
    """Makes the standard streams bear whatever they are connected to."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:  # one that was closed by whoever started us:
        os.set_inheritable(null, True)  # what is opened next would pass for it, here and in our children
    os.close(null)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as we live
    sys.stdout = _writer(sys.stdout, 1, _Pipe)
    sys.stderr = _writer(sys.stderr, 2, _Messages)
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
        say(f"{error.strerror or error}: the output is incomplete")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BAD)


def report(text: str) -> None:
    """Prints a line on standard error: how it goes."""
    print(printable(text, lines=True), file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Tells people something besides the results, on standard error."""
    report(f"meshsim: {text}")


def show(text: str) -> None:
    """Prints a line of results for people."""
    print(printable(text))


def is_stdout(output: Path | None) -> bool:
    """Whether a verb's ``-o`` names standard output."""
    return output in (Path("-"), Path("/dev/stdout"))


def give(text: str, output: Path | None) -> None:
    """Prints a file, or writes it where ``-o`` says."""
    if output is None or is_stdout(output):
        for line in text.splitlines():
            show(line)
        return
    from meshsim.lab import files  # noqa: PLC0415 - slow to import

    files.prepare_file(output, "-o")
    files.write(output.parent, {output.name: text})


@contextlib.contextmanager
def reporting_errors(as_json: bool) -> Iterator[None]:
    """Reports what was wrong with the input, all at once, and exits with 2, or what else the error says."""
    try:
        yield
    except MeshsimError as error:
        problems = error.problems if isinstance(error, ScenarioError) else ()
        if as_json:
            listed = [asdict(problem) for problem in problems]
            print(json.dumps({"error": str(error), "problems": listed}, indent=2))
        several = f"{len(problems)} problems\n" if len(problems) > 1 else ""
        say(f"{several}{error}".replace("\n", "\n  "))
        raise typer.Exit(error.code) from None
    except KeyboardInterrupt:
        say("aborted; no results written")
        raise typer.Exit(INTERRUPTED) from None


@contextlib.contextmanager
def keeping(out: Path | None) -> Iterator[None]:
    """Says, where Ctrl-C aborts, that the runs which have finished are kept."""
    try:
        yield
    except KeyboardInterrupt:
        say("aborted" + ("" if out is None else f"; finished runs are kept in {out}"))
        raise typer.Exit(INTERRUPTED) from None


class Saveable(Protocol):
    """A result that can be written into a folder."""

    def save(self, folder: Path, **options: Unpack[OutputOptions]) -> list[Path]:
        """Returns the files."""


def saved(result: Saveable, out: Path | None, forms: OutputOptions) -> tuple[list[Path], MeshsimError | None]:
    """Saves what there is; a full disk must not keep its numbers from being shown first."""
    if out is None:
        return [], None
    try:
        return result.save(out, **forms), None
    except MeshsimError as error:
        return [], error


def present(result: Saveable, numbers: object, show: Callable[[list[Path]], None], output: Output) -> None:
    """How every verb hands over what came of it: saved, and printed for people or machines.

    Machines get `numbers`; `show` prints for people, with the files that were saved. A MeshsimError, that
    they could not be, comes last.
    """
    written, failure = saved(result, output.out, output.forms)
    if output.as_json:
        print(json.dumps(numbers, indent=2, allow_nan=False))
    elif not output.quiet:
        show(written)
    if failure is not None:
        raise failure


def code(*, partial: bool, missed: bool, unsent: bool = False) -> int:
    """How a verb ends, once its results are printed; `unsent`: Ctrl-C has kept spans from being sent."""
    if partial:
        say("interrupted; the results are partial")
    elif unsent:
        say("interrupted; not all spans were sent")
    if partial or unsent:
        return INTERRUPTED
    return MISSED if missed else 0


def warn(engine: str | None) -> None:
    """Says before long work that it could be much faster, and how."""
    from meshsim.lab.engines import complaint  # noqa: PLC0415 - slow to import

    for note in complaint("auto" if engine is None else engine):
        say(note)


def stopping() -> None:
    """Says that the first Ctrl-C was noticed."""
    say("stopping, and keeping the results so far; Ctrl-C again aborts")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"meshsim {version.VERSION}, the mesh {FORM}{f' ({FORM.reason})' if FORM.reason else ''}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Solve, simulate and check service-mesh scenarios.

    A scenario is a YAML file with services, links, policies, load and faults. Begin with

        meshsim init shop && meshsim run shop.yaml --out out

    and look at the picture out/run.png.
    """
