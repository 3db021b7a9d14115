"""A scenario as YAML again: what a result was made with, overrides and seed included.

Only what was written is written again, so that what silence means stays silent. Numbers get their units
back from the type of their field. Traces, and measured times if they are many, go into files of their own,
which the text names.
"""

from __future__ import annotations

from meshsim.scenario.dump import dump
from meshsim.scenario.files import take_files
from meshsim.scenario.model import Scenario


def text(scenario: Scenario) -> str:
    """The scenario as YAML that loads, next to its `files`, to an equal one."""
    return apart(scenario)[0]


def files(scenario: Scenario) -> dict[str, str]:
    """The content of the files that the scenario's `text` names, by name."""
    return apart(scenario)[1]


def apart(scenario: Scenario) -> tuple[str, dict[str, str]]:
    """The scenario's text, and the files that it names."""
    written = scenario.as_written()
    taken = take_files(written)
    return dump(written), taken
