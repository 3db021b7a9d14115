"""The verb ``export``: files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from meshsim.cli.app import app, example, give, reporting_errors, show

export = typer.Typer(
    no_args_is_help=True,
    help="Write files for programs that watch meshes.",
)
app.add_typer(export, name="export")

To = Annotated[
    Path | None,
    Option("-o", "--output", metavar="FILE", help="Write it there, not to the screen (- for stdout)."),
]
Source = Annotated[
    str,
    Argument(
        metavar="SOURCE",
        help="URL of a control plane, or a file with the first line of live --json (- for stdin).",
    ),
]
EachProxy = Annotated[
    bool, Option("--each-proxy", help="Scrape every proxy's own page, not the control plane's merged one.")
]


@export.command(epilog=example("meshsim export scrape http://127.0.0.1:15014 -o prometheus.yml"))
def scrape(source: Source, each_proxy: EachProxy = False, output: To = None) -> None:
    """Write a Prometheus configuration that scrapes a running mesh."""
    with reporting_errors(as_json=False):
        from meshsim.lab.observe.scrape import configuration  # noqa: PLC0415 - slow to import

        give(configuration(source, each_proxy=each_proxy), output)


@export.command(epilog=example("meshsim export dashboard -o meshsim.json"))
def dashboard(output: To = None) -> None:
    """Write a Grafana dashboard for live meshes and simulated runs.

    It shows the golden signals by service and by edge, retries, ejections and breakers, mutual TLS, and the
    control plane. Import it in Grafana, and choose the Prometheus that scrapes the mesh.
    """
    with reporting_errors(as_json=False):
        from meshsim.lab.observe import dashboard as made  # noqa: PLC0415 - slow to import

        give(made.dashboard(), output)


@export.command(epilog=example("meshsim export trace out -o trace.png"))
def trace(
    run: Annotated[Path, Argument(metavar="RUN_DIR", help="What run --out or live --out has written.")],
    trace_id: Annotated[
        str | None, Option("--id", metavar="ID", help="Of the trace, or how it ends; else the longest.")
    ] = None,
    output: Annotated[
        Path | None,
        Option("-o", "--output", metavar="FILE", help="A png, svg or pdf; RUN_DIR/trace.png if not given."),
    ] = None,
) -> None:
    """Draw one trace of a run: its calls, tries and time-outs, one below the other, over time."""
    with reporting_errors(as_json=False):
        from meshsim.lab import files  # noqa: PLC0415 - slow to import
        from meshsim.lab.observe.waterfall import waterfall  # noqa: PLC0415
        from meshsim.lab.output import output as forms  # noqa: PLC0415

        target = run / "trace.png" if output is None else output
        (form,) = forms({"formats": [target.suffix.removeprefix(".")]}).formats
        picture = waterfall(run, trace_id)
        files.prepare_file(target, "-o")
        files.write(target.parent, {target.name: picture.file(form)})
        show(f"Written: {target}")
