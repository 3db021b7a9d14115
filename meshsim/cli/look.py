"""The verbs that look at a scenario without running it: ``check``, ``schema`` and ``theory``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from meshsim.cli import options
from meshsim.cli.app import BAD, app, example, reporting_errors, show
from meshsim.cli.batch import list_problems
from meshsim.errors import ScenarioError

if TYPE_CHECKING:
    from meshsim.lab.checks import Checked

Explain = Annotated[bool, Option("--explain", help="Say where each value of the policies comes from.")]


@app.command(epilog=example("meshsim check shop.yaml\n  meshsim check scenarios --junit check.xml"))
def check(
    paths: options.Paths,
    overrides: options.Overrides = None,
    explain: Explain = False,
    junit: options.JUnit = None,
    as_json: options.AsJson = False,
) -> None:
    """Say everything that is wrong with a scenario, or with several.

    Of a folder, those in it and below it; other YAML files there are skipped, and listed. Exits with 2 if
    anything is wrong. Says too which programs `live` would start; no other verb starts any. With --explain,
    says for every call between services which policy is in force, and which line or preset says so.
    """
    with reporting_errors(as_json):
        from meshsim.lab.checks import check as look  # noqa: PLC0415
        from meshsim.lab.show import junit as report  # noqa: PLC0415 - slow to import

        report.prepare(junit)
        found, skipped = look(paths, overrides or (), explain)
        if junit is not None:
            report.write(junit, [each.suite() for each in found])
        problems = [problem for each in found for problem in each.problems]
        if len(paths) == 1 and paths == [each.file for each in found] and not skipped:
            if problems:
                raise ScenarioError(problems)
            _show(found[0], as_json)
            return
    if as_json:
        listed = {"files": [each.as_dict() for each in found], "skipped": [asdict(each) for each in skipped]}
        print(json.dumps({"ok": not problems, **listed}, indent=2))
    else:
        _show_several(found)
    list_problems(skipped, problems)
    raise Exit(BAD if problems else 0)


def _show(checked: Checked, as_json: bool) -> None:
    facts = checked.facts
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    from meshsim.lab.show.sheets import plural  # noqa: PLC0415 - slow to import

    show(f"{checked.file}: fine.")
    show(f"services: {', '.join(facts['services'])}")
    show(f"edges: {', '.join(facts['edges'])}")
    counts = plural(facts["events"], "event"), plural(facts["objectives"], "objective")
    show(f"{facts['duration']:g} s, {', '.join(counts)}")
    _explain(checked)
    for line in checked.notes():
        show(line)


def _explain(checked: Checked) -> None:
    """The policies in force, where they were asked for."""
    if "policies" in checked.facts:
        from meshsim.lab.show.policies import lines  # noqa: PLC0415

        for line in lines(checked.facts):
            show(line)


def _show_several(found: list[Checked]) -> None:
    from meshsim.lab.checks import sheet  # noqa: PLC0415
    from meshsim.lab.show import terminal  # noqa: PLC0415

    terminal.show(terminal.console(), sheet(found))
    for each in found:
        _explain(each)
        for line in each.notes():
            show(f"{each.file}: {line}")


@app.command(epilog=example("meshsim schema > scenario.schema.json"))
def schema() -> None:
    """Print the JSON Schema of scenario files.

    Editors complete and check YAML with it.
    """
    from meshsim.scenario import schema as describe  # noqa: PLC0415

    print(json.dumps(describe(), indent=2))


@app.command(epilog=example("meshsim theory mm1.yaml"))
def theory(
    scenario: options.ScenarioFile, overrides: options.Overrides = None, as_json: options.AsJson = False
) -> None:
    """Solve a scenario with formulas.

    Says which formula and what its source is, or why there is none.
    """
    with reporting_errors(as_json):
        from meshsim.scenario import load  # noqa: PLC0415
        from meshsim.theory import solve  # noqa: PLC0415

        solution = solve(load(scenario, overrides or ()))
    if as_json:
        print(json.dumps(solution.as_dict(), indent=2))
        return
    from meshsim.lab.show import terminal  # noqa: PLC0415

    terminal.show_theory(terminal.console(), solution)
