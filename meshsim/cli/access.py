"""The verb ``access``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from meshsim.cli import options
from meshsim.cli.app import app, example, give, is_stdout, reporting_errors, show
from meshsim.errors import MeshsimError

if TYPE_CHECKING:
    from meshsim.measure.access import AccessReport

To = Annotated[
    Path | None,
    Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write the proposed rules there, as YAML; - prints them and nothing else.",
    ),
]


@app.command(epilog=example("meshsim access shop.yaml\n  meshsim access shop.yaml -o access.yaml"))
def access(
    scenario: options.ScenarioFile,
    overrides: options.Overrides = None,
    output: To = None,
    as_json: options.AsJson = False,
) -> None:
    """Propose the access rules that a scenario's calls need, and no others.

    Each service allows those who call it, for the endpoints that they ask for; whom nobody calls is closed.
    The rules name callers by their mTLS identity. They are checked: every call of the loads and scripts is
    decided with them, at the start and after each push.

    Says too which calls the rules in the file deny, and which of these rules no call needs. Nothing is run.
    """
    with reporting_errors(as_json):
        from meshsim.lab import access as verb  # noqa: PLC0415 - slow to import

        if as_json and is_stdout(output):
            raise MeshsimError("--json and -o - both print to standard output; choose one")
        found = verb.access(scenario, overrides=overrides or ())
        rules = verb.as_yaml(found.proposal)
        if output is not None:
            give(rules, output)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
    elif not is_stdout(output):
        _show(found, rules)


def _show(found: AccessReport, rules: str) -> None:
    for line in _lines(found, rules):
        show(line)


def _lines(found: AccessReport, rules: str) -> Iterator[str]:
    denied = f"{len(found.denied)} denied" if found.denied else "none denied"
    written = f"{found.rules} rule{'' if found.rules == 1 else 's'}"
    if any(call.since for call in found.denied):
        written += " at the start and those that are pushed"
    yield f"{found.scenario or 'scenario'}: {found.calls} calls, {denied}, by {written}"
    yield from ("", "the least rules for these calls", *(f"  {line}" for line in rules.splitlines()))
    every = "every call is" if found.allowed == found.calls else f"{found.allowed} of {found.calls} calls are"
    yield f"with them {every} allowed; {found.closed} of {found.pairs} pairs of caller and service are closed"
    if found.denied:
        yield from ("", "calls that are denied today")
        for call in found.denied:
            since = f", from {call.since:g} s" if call.since else ""
            name = f"{call.caller} -> {call.service}/{call.endpoint}".removesuffix("/")
            yield f"  {name}{since}: {call.why}{_line(call.line)}"
    if found.spare:
        yield from ("", "rules that no call needs")
        for rule in found.spare:
            yield f"  {rule.rule}{_line(rule.line)}, {rule.kind}: {rule.why}"
    if found.notes:
        yield ""
    yield from (f"note: {note}" for note in found.notes)


def _line(number: int) -> str:
    return f" (line {number})" if number else ""
