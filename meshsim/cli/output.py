"""The options of every verb that writes pictures and tables: in which forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshsim.errors import MeshsimError

if TYPE_CHECKING:
    from meshsim.lab.output import OutputOptions

Formats = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAMES",
        help="Of pictures: png, svg or pdf, or several, such as svg,pdf; png if not given.",
        autocompletion=lambda: ["png", "svg", "pdf"],
    ),
]
Dpi = Annotated[
    int | None, typer.Option(metavar="N", help="Dots per inch of pictures, 20 to 600; 100 if not given.")
]
Csv = Annotated[bool, typer.Option("--csv", help="Write each table as CSV too, with every digit.")]


def chosen(out: Path | None, formats: str | None, dpi: int | None, csv: bool) -> OutputOptions:
    """The options that were given, as everything that saves takes them.

    Raises:
        MeshsimError: one can't be used, or has no effect since no folder is given.
    """
    from meshsim.lab.output import output  # noqa: PLC0415 - slow to import

    options: OutputOptions = {}
    if formats is not None:
        options["formats"] = formats
    if dpi is not None:
        options["dpi"] = dpi
    if csv:
        options["csv"] = True
    if options and out is None:
        raise MeshsimError("--format, --dpi and --csv are of files, and none are written; add --out DIR")
    output(options)
    return options
