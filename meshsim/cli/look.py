"""The verbs that look at a scenario without running it: ``check``, ``schema`` and ``theory``."""

from __future__ import annotations

import json
from typing import Any

from meshsim.cli.app import AsJson, Overrides, ScenarioFile, app, example, show, told


@app.command(epilog=example("meshsim check shop.yaml"))
def check(scenario: ScenarioFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Say everything that is wrong with a scenario.

    Exits with 2 if anything is.
    """
    with told(as_json):
        from meshsim.scenario import load  # noqa: PLC0415
        from meshsim.scenario.advice import advise  # noqa: PLC0415

        loaded = load(scenario, overrides or ())
    facts: dict[str, Any] = {
        "ok": True,
        "scenario": loaded.name,
        "services": list(loaded.services),
        "edges": [f"{caller} -> {service}" for caller, service in loaded.edges()],
        "duration": loaded.duration,
        "events": len(loaded.events),
        "objectives": len(loaded.objectives),
        "advice": advise(loaded),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    show(f"{scenario}: fine.")
    show(f"services: {', '.join(facts['services'])}")
    show(f"edges: {', '.join(facts['edges'])}")
    show(f"{loaded.duration:g} s, {facts['events']} events, {facts['objectives']} objectives")
    for advice in facts["advice"]:
        show(f"note: {advice}")


@app.command(epilog=example("meshsim schema > scenario.schema.json"))
def schema() -> None:
    """Print the JSON Schema of scenario files.

    Editors complete and check YAML with it.
    """
    from meshsim.scenario import schema as describe  # noqa: PLC0415

    print(json.dumps(describe(), indent=2))


@app.command(epilog=example("meshsim theory mm1.yaml"))
def theory(scenario: ScenarioFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Solve a scenario with formulas.

    Says which formula and what its source is, or why there is none.
    """
    with told(as_json):
        from meshsim.scenario import load  # noqa: PLC0415
        from meshsim.theory import solve  # noqa: PLC0415

        solution = solve(load(scenario, overrides or ()))
    if as_json:
        print(json.dumps(solution.as_dict(), indent=2))
        return
    from meshsim.lab import terminal  # noqa: PLC0415

    terminal.show_theory(terminal.console(), solution)
