"""The verb ``live``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshsim.cli.app import (
    AsJson,
    Overrides,
    Quiet,
    ScenarioFile,
    app,
    example,
    reporting_errors,
    stopping,
)
from meshsim.cli.output import Csv, Dpi, Formats, chosen
from meshsim.cli.run import Check, Out, present_run, run_code

if TYPE_CHECKING:
    from meshsim.live.launch import LiveMesh

Proxy = Annotated[
    str, typer.Option(metavar="NAME", help="meshsim, or envoy for a real Envoy at every replica.")
]
Seed = Annotated[int | None, typer.Option(help="Of all draws, instead of the scenario's.")]
NoLoad = Annotated[
    bool, typer.Option("--no-load", help="Only serve, until Ctrl-C, for clients of your own such as curl.")
]
AccessLog = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder for the proxies' access logs, JSON lines.")
]
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Address to listen on; beyond this machine only if you say so here."
    ),
]


@app.command(epilog=example("meshsim live shop.yaml --no-load    # and then: curl http://127.0.0.1:PORT/"))
def live(
    scenario: ScenarioFile,
    proxy: Proxy = "meshsim",
    no_load: NoLoad = False,
    seed: Seed = None,
    overrides: Overrides = None,
    access_log: AccessLog = None,
    host: Host = "127.0.0.1",
    out: Out = None,
    formats: Formats = None,
    dpi: Dpi = None,
    csv: Csv = False,
    check: Check = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a scenario for real, on this machine.

    Each replica is a process, and beside it a proxy that applies the policies. A table shows how it goes; the
    results are those of run, in the same files. With --json the first line says where everybody listens.

    Ctrl-C or SIGTERM ends it early and keeps what was measured so far, marked partial; a second one aborts.
    However it ends, no process, port or file is left.
    """
    with reporting_errors(as_json):
        from meshsim.lab import files  # noqa: PLC0415
        from meshsim.lab.live import run_live, serve_live  # noqa: PLC0415
        from meshsim.lab.show import watch  # noqa: PLC0415

        options = chosen(out, formats, dpi, csv)

        def ready(mesh: LiveMesh) -> None:
            said = watch.ready_message(mesh)
            if as_json:
                print(json.dumps(said), flush=True)
            elif no_load and not quiet:
                _show(said)

        common: dict[str, Any] = {
            "proxy": proxy,
            "seed": seed,
            "overrides": overrides or (),
            "access_log": access_log,
            "host": host,
            "ready": ready,
        }
        with watch.dashboard(quiet=quiet or as_json) as shown:
            common |= {"progress": None if shown is None else shown.say, "watch": shown}
            if no_load:
                _refuse_without_load(out, check)
                serve_live(scenario, **common)
                return
            if out is not None:
                files.prepare(out, scenarios=files.RUN)
            result = run_live(scenario, interrupted=stopping, **common)
        present_run(result, out=out, options=options, as_json=as_json, quiet=quiet)
    raise typer.Exit(run_code(result, check=check))


def _refuse_without_load(out: Path | None, check: bool) -> None:
    from meshsim.errors import MeshsimError  # noqa: PLC0415

    if out is not None or check:
        raise MeshsimError("with --no-load nothing is measured; leave out --out and --check")


def _show(said: dict[str, Any]) -> None:
    """Tells people where the mesh serves."""
    from meshsim.lab.show import terminal, watch  # noqa: PLC0415

    out = terminal.console()
    for service, url in said["entry"].items():
        out.print(f"{terminal.escape(service)}: [bold]{terminal.escape(url)}[/]")
    terminal.show(out, watch.proxies_sheet(said))
