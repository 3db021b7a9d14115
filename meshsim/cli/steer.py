"""The verbs ``live set`` and ``live scale``: they change a mesh that runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from meshsim.cli import options
from meshsim.cli.app import MISSED, app, example, reporting_errors, say, show

if TYPE_CHECKING:
    from meshsim.lab.steer import Steered

Settings = Annotated[
    list[str],
    Argument(
        metavar="KEY=VALUE...",
        help="What events may set: policies, access, mTLS modes; such as policies.cart.timeout=300ms.",
    ),
]
Mesh = Annotated[
    str | None,
    Option(
        metavar="URL|NAME",
        help="Of several meshes, the one whose control plane is there, or whose scenario is called so.",
    ),
]
Timeout = Annotated[
    float, Option(metavar="SECONDS", help="How long it may take until it is in force.", min=0.1)
]
Service = Annotated[str, Argument(metavar="SERVICE", help="Of the scenario that runs.")]
Wanted = Annotated[int, Argument(metavar="N", help="How many replicas it is to have.", min=0, max=1000)]
Version = Annotated[
    str | None,
    Option("--of", metavar="VERSION", help="Of a service with several versions, the one to scale."),
]


@app.command(
    "live set", epilog=example("meshsim live set policies.cart.timeout=300ms 'access=[{deny: {to: db}}]'")
)
def live_set(
    settings: Settings, mesh: Mesh = None, timeout: Timeout = 10.0, as_json: options.AsJson = False
) -> None:
    """Change policies of a mesh that runs (meshsim live), without a request dropped.

    The control plane pushes it as a new version to every proxy. Returns when all have it in force. A proxy
    that refuses it, or can't be reached in time, is named, and the exit code is 1. What is not valid is
    refused at once, and nothing changes.
    """
    with reporting_errors(as_json):
        from meshsim.lab.steer import set_live  # noqa: PLC0415

        found = set_live(settings, mesh=mesh, timeout=timeout)
    _present(found, as_json)


@app.command("live scale", epilog=example("meshsim live scale cart 5"))
def live_scale(
    service: Service,
    replicas: Wanted,
    version: Version = None,
    mesh: Mesh = None,
    timeout: Timeout = 60.0,
    as_json: options.AsJson = False,
) -> None:
    """Start or end replicas of a service in a mesh that runs (meshsim live), without a request dropped.

    New ones get requests when they are ready and their callers know of them. Those that leave get none any
    more, serve for the service's drain, and then end. Returns when every proxy knows who is there.
    """
    with reporting_errors(as_json):
        from meshsim.lab.steer import scale_live  # noqa: PLC0415

        found = scale_live(service, replicas, version=version, mesh=mesh, timeout=timeout)
    _present(found, as_json)


def _present(found: Steered, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        if found.replicas is not None:
            show(f"replicas: {', '.join(found.replicas) or 'none'}")
        if found.pods:
            show(f"in pods: {', '.join(f'{name} process {pid}' for name, pid in found.pods.items())}")
        if found.version is not None:
            show(f"version {found.version} is in force at {found.proxies} proxies")
        for name, why in found.missing.items():
            say(f"not in force at {name}: {why}")
    if found.missing:
        raise Exit(MISSED)
