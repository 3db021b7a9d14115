"""The verb ``live``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Exit, Option

from meshsim.cli import options
from meshsim.cli.app import INTERRUPTED, app, example, reporting_errors, say, show, stopping
from meshsim.cli.run import Out, present_run, run_code
from meshsim.errors import MeshsimError

if TYPE_CHECKING:
    from meshsim.lab.live import Served
    from meshsim.lab.show.watch import Dashboard, Lines
    from meshsim.live.launch import LiveMesh

Proxy = Annotated[str, Option(metavar="NAME", help="meshsim, or envoy for a real Envoy at every replica.")]
Seed = Annotated[int | None, Option(help="Of all draws, instead of the scenario's.")]
NoLoad = Annotated[
    bool, Option("--no-load", help="Only serve, until Ctrl-C, for clients of your own such as curl.")
]
AccessLog = Annotated[
    Path | None, Option(metavar="DIR", help="Folder for the proxies' access logs, JSON lines.")
]
Intercept = Annotated[
    bool,
    Option(
        "--intercept",
        help="Linux: each replica in a network namespace of its own, where its calls go to its sidecar by"
        " themselves: no HTTP_PROXY, no URL variables. Needs Linux, but not root.",
    ),
]
Certificates = Annotated[
    Path | None,
    Option(
        metavar="DIR",
        help="With mTLS: folder for a client certificate, its key and the CA's, for curl --cert.",
    ),
]
Host = Annotated[
    str, Option(metavar="ADDRESS", help="Address to listen on; beyond this machine only if you say so here.")
]


@app.command(epilog=example("meshsim live shop.yaml --no-load    # and then: curl http://127.0.0.1:PORT/"))
def live(
    scenario: options.ScenarioFile,
    proxy: Proxy = "meshsim",
    no_load: NoLoad = False,
    seed: Seed = None,
    overrides: options.Overrides = None,
    access_log: AccessLog = None,
    host: Host = "127.0.0.1",
    intercept: Intercept = False,
    certificates: Certificates = None,
    otlp: options.Otlp = None,
    out: Out = None,
    formats: options.Formats = None,
    dpi: options.Dpi = None,
    csv: options.Csv = False,
    metrics_every: options.MetricsEvery = None,
    check: options.Check = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a scenario for real, on this machine.

    Each replica is a process, and beside it a proxy that applies the policies. The results are those of run.
    With --json the first line says where everybody listens. meshsim live set and live scale change a mesh.

    Ctrl-C or SIGTERM ends it early, and keeps what was measured, marked partial. A second one aborts.
    """
    with reporting_errors(as_json):
        from meshsim.lab import files, outsider  # noqa: PLC0415
        from meshsim.lab.live import run_live, seeded, serve_live  # noqa: PLC0415
        from meshsim.lab.show import watch  # noqa: PLC0415
        from meshsim.scenario import load  # noqa: PLC0415

        if no_load:
            _refuse(out=out, check=check, formats=formats, dpi=dpi, csv=csv, metrics_every=metrics_every)
        output = options.output(out, formats, dpi, csv, as_json, quiet, metrics_every)
        chosen = output.fitting(seeded(load(scenario, overrides or ()), seed))
        if certificates is not None:
            outsider.prepare(chosen, certificates)

        def ready(mesh: LiveMesh) -> None:
            message = watch.ready_message(mesh)
            if certificates is not None:
                message["certificates"] = outsider.hand_out(mesh, certificates)
            if as_json:
                print(json.dumps(message), flush=True)
            elif no_load and shown is not None:
                _show(message, shown)

        common: dict[str, Any] = {"proxy": proxy, "otlp": otlp, "ready": ready}
        common |= {"access_log": access_log, "host": host, "intercept": intercept}
        with watch.dashboard(quiet=quiet or as_json) as shown:
            common |= {"watch": shown, "progress": None if shown is None else shown.say}
            if no_load:
                raise Exit(_tell(serve_live(chosen, **common), as_json))
            if out is not None:
                files.prepare(out, scenarios=files.RUN)
            result = run_live(chosen, interrupted=stopping, **common)
        present_run(result, output)
    raise Exit(run_code(result, check=check))


def _refuse(**given: object) -> None:
    """A MeshsimError where an option of results was given, by its name in `options.OPTIONS`."""
    if named := [options.OPTIONS.get(name, f"--{name}") for name, value in given.items() if value]:
        raise MeshsimError(f"with --no-load nothing is measured; leave out {', '.join(named)}")


def _tell(served: Served, as_json: bool) -> int:
    """Says what became of a mesh that only served, and of its spans; how the verb ends."""
    sent = served.traces
    message: dict[str, Any] = {} if sent is None else {"traces": sent.as_dict()}
    message |= {"notes": served.notes} if served.notes else {}
    if message and as_json:
        print(json.dumps(message), flush=True)
    elif sent is not None:
        show(sent.outcome())
    for words in [*([] if sent is None else sent.words()), *served.notes]:
        say(words)
    return INTERRUPTED if sent is not None and sent.interrupted else 0


def _show(message: dict[str, Any], shown: Dashboard | Lines) -> None:
    from meshsim.lab.show import terminal, watch  # noqa: PLC0415

    shown.clear()
    out = terminal.console()
    for service, url in message["entry"].items():
        out.print(f"{terminal.escape(service)}: [bold]{terminal.escape(url)}[/]")
    plane = message["control_plane"]
    out.print(f"control plane: [bold]{terminal.escape(plane['url'])}[/], process {plane['pid']}")
    terminal.show(out, watch.proxies_sheet(message))
    pod = next((each["pod"] for each in message["proxies"] if "pod" in each), None)
    if pod is not None:
        out.print(f"a shell in a pod: nsenter -t {pod} -U -n -m --preserve-credentials sh")
    for what, path in message.get("certificates", {}).items():
        out.print(f"{what}: {terminal.escape(path)}")
