"""The verb ``init``."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

from typer import Argument, Option

from meshsim.cli import options
from meshsim.cli.app import app, example, reporting_errors, show
from meshsim.errors import MeshsimError


def _names() -> list[str]:
    from meshsim.lab import templates  # noqa: PLC0415 - slow to import

    return list(templates.templates())


Name = Annotated[str | None, Argument(metavar="NAME", help="Of the scenario: shop writes shop.yaml.")]
Template = Annotated[
    str, Option("--from", metavar="TEMPLATE", help="What to start from, see --list.", autocompletion=_names)
]
List = Annotated[bool, Option("--list", help="List the templates, and write nothing.")]
Force = Annotated[bool, Option("--force", help="Replace a file that is there already.")]


@app.command(epilog=example("meshsim init shop && meshsim run shop.yaml --out out"))
def init(
    name: Name = None,
    template: Template = "start",
    list_: List = False,
    force: Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a scenario to start from.

    A small mesh that runs as it is, with comments that say what each part means.
    """
    with reporting_errors(as_json):
        from meshsim.lab import templates  # noqa: PLC0415 - slow to import

        if list_:
            _list(as_json)
            return
        if name is None:
            raise MeshsimError("the scenario needs a name; write meshsim init shop, or --list for templates")
        file = str(templates.start(name, template, force=force))
    quoted = shlex.quote(file)
    then = [f"meshsim check {quoted}", f"meshsim run {quoted} --out out"]
    if as_json:
        print(json.dumps({"file": file, "template": template, "next": then}, indent=2))
        return
    commands = [f"  {command}" for command in then]
    show(f"Written: {file}, from the template {template}. Next:")
    for line in ("", *commands, "", "and look at the picture out/run.png."):
        show(line)


def _list(as_json: bool) -> None:
    from meshsim.lab import templates  # noqa: PLC0415
    from meshsim.lab.show import terminal  # noqa: PLC0415
    from meshsim.lab.show.sheets import Sheet  # noqa: PLC0415

    found = templates.templates()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    terminal.show(terminal.console(), Sheet("templates", ("--from", ""), list(found.items()), words=(1,)))
