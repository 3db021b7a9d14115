"""Reads scenario files without running them: what is wrong with each, and what is in it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshsim.errors import Problem, ScenarioError
from meshsim.lab.show import junit, policies
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet, plural, time
from meshsim.lab.sources import Skipped, read_placed, sources
from meshsim.scenario.advice import advise
from meshsim.scenario.document import Document
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides


@dataclass(frozen=True, slots=True)
class Checked:
    """One file: its `facts` as `meshsim check --json` has them, empty if there are `problems`."""

    file: str
    facts: dict[str, Any]
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        problems = [asdict(problem) for problem in self.problems]
        return {"file": self.file, **(self.facts or {"ok": False}), "problems": problems}

    def notes(self) -> list[str]:
        """What whoever is going to use it should know: the programs it starts, and advice."""
        programs = self.facts.get("programs", {})
        started = [f"live starts, as {name}: {command}" for name, command in programs.items()]
        return started + [f"note: {advice}" for advice in self.facts.get("advice", ())]

    def suite(self) -> junit.Suite:
        """The verdict for JUnit."""
        return junit.Suite(self.file, [junit.Case("scenario", error="\n".join(map(str, self.problems)))])


def check(
    paths: Sequence[str], overrides: Overrides = (), explain: bool = False
) -> tuple[list[Checked], list[Skipped]]:
    """Reads files and those in folders (see `meshsim.lab.sources.sources`), and says what was skipped.

    With `explain`, facts have the policies in force and who says each of their values.
    """
    found, skipped = sources(paths)
    checked = []
    for source in found:
        try:
            scenario, document = read_placed(source, overrides)
            facts = _facts(scenario, document)
            if explain:
                facts |= policies.facts(scenario, document)
            checked.append(Checked(source.file, facts, ()))
        except ScenarioError as error:
            checked.append(Checked(source.file, {}, error.problems))
    return checked, skipped


def _facts(scenario: Scenario, document: Document) -> dict[str, Any]:
    return {
        "ok": True,
        "scenario": scenario.name,
        "services": list(scenario.services),
        "edges": [f"{caller} -> {service}" for caller, service in scenario.edges()],
        "duration": scenario.duration,
        "events": len(scenario.events),
        "objectives": len(scenario.objectives),
        "programs": _programs(scenario),
        "advice": advise(scenario, document),
    }


def _programs(scenario: Scenario) -> dict[str, str]:
    """The commands that `live` would start, as in a shell, by service and version."""
    found = {}
    for name, service in scenario.services.items():
        for version, deployment in service.deployments().items():
            if deployment.live is not None:
                words = [f"{key}={value}" for key, value in deployment.live.env.items()]
                found[f"{name}/{version}" if version else name] = shlex.join(
                    [*(["env", *words] if words else []), *deployment.live.command]
                )
    return found


def sheet(found: Sequence[Checked]) -> Sheet:
    """One row a file."""
    rows: Rows = []
    for each in found:
        cells, verdict = [NOTHING] * 5, plural(len(each.problems), "problem")
        if facts := each.facts:
            counts = (len(facts["services"]), len(facts["edges"]), facts["events"], facts["objectives"])
            cells, verdict = [*map(str, counts), time(facts["duration"])], "fine"
        rows.append((each.file, *cells, verdict))
    wrong = sum(bool(each.problems) for each in found)
    title = f"{plural(len(found), 'scenario')}, {f'{wrong} with problems' if wrong else 'all fine'}"
    columns = ("scenario", "services", "edges", "events", "objectives", "duration", "")
    return Sheet(title, columns, rows, words=(6,))
