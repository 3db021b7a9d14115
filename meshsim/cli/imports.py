"""The verb ``import``, which has a verb of its own for each tool whose files it reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

from meshsim.cli import options
from meshsim.cli.app import app, example, reporting_errors, say
from meshsim.errors import MeshsimError

imports = Typer(no_args_is_help=True, help="Turn another tool's file into a scenario.")
app.add_typer(imports, name="import")


@imports.command(
    epilog=example("meshsim import isotope canonical.yaml --rate 100/s > canonical-scenario.yaml")
)
def isotope(
    file: Annotated[
        str, Argument(metavar="FILE", help="An isotope topology (YAML), or - for standard input.")
    ],
    rate: Annotated[
        str | None, Option(metavar="RATE", help="Load on the entry service, such as 100/s.")
    ] = None,
    duration: Annotated[str | None, Option(metavar="DURATION", help="Of the scenario, such as 60s.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Turn an isotope topology into a scenario.

    Isotope is the generator of service graphs in istio/tools. The scenario is printed as YAML.
    """
    with reporting_errors(as_json):
        text = _read(file)
        from meshsim.interop.isotope import convert  # noqa: PLC0415
        from meshsim.scenario import dump  # noqa: PLC0415

        name = "isotope" if file == "-" else Path(file).stem
        document, notes = convert(text, name=name, rate=rate, duration=duration, file=file)
        result = {"scenario": document, "notes": notes}
        shown = json.dumps(result, indent=2) if as_json else dump(document).rstrip("\n")
    for note in notes:
        say(note)
    print(shown)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise MeshsimError(f"can't read {file}: {reason}") from error
