"""The verb ``export otlp``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from meshsim.cli import options
from meshsim.cli.app import code, example, reporting_errors, say, show
from meshsim.cli.export import export
from meshsim.errors import MeshsimError


@export.command(epilog=example("meshsim export otlp out --to http://127.0.0.1:4318"))
def otlp(
    run: Annotated[Path, Argument(metavar="RUN_DIR", help="What run --out or live --out has written.")],
    to: Annotated[
        str | None, Option(metavar="URL", help="Send to this OTLP receiver instead of writing files.")
    ] = None,
    out: Annotated[
        Path | None, Option(metavar="DIR", help="Folder for the files; RUN_DIR if not given.")
    ] = None,
    form: Annotated[
        str | None,
        Option(
            "--form",
            metavar="NAME",
            help="Of files: protobuf, or json (a line a batch); protobuf if not given.",
            autocompletion=lambda: ["protobuf", "json"],
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Export the spans of a run as OpenTelemetry traces.

    Times of a live run are those at which it ran. A simulation is shown as if it had ended when its results
    were saved. Exit with 1 if the receiver did not take all spans.
    """
    with reporting_errors(as_json):
        from meshsim.lab.traces import export_otlp  # noqa: PLC0415

        if to is not None and (out is not None or form is not None):
            raise MeshsimError("with --to no file is written; leave out --out and --form")
        sent, written = export_otlp(run, to=to, out=out, form=form or "protobuf")
    if as_json:
        print(json.dumps({"traces": None if sent is None else sent.as_dict(), "files": [*map(str, written)]}))
    elif sent is None:
        last = f" to {written[-1].name}, {len(written)} files" if len(written) > 1 else ""
        show(f"Written: {written[0]}{last}")
    else:
        show(sent.outcome())
    if sent is not None:
        for words in sent.words():
            say(words)
        raise Exit(code(partial=False, missed=bool(sent.words()), unsent=sent.interrupted))
