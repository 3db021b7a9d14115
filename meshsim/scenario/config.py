"""A scenario as YAML again: what a result was made with, overrides and seed included.

It has the keys that were given, and no defaults. Numbers get their units back from the type of their field.
Traces, and measured times if they are many, go into files of their own, which the text names.
"""

from __future__ import annotations

from meshsim.scenario.dump import dump
from meshsim.scenario.files import take_files
from meshsim.scenario.model import Scenario


def text_and_files(scenario: Scenario) -> tuple[str, dict[str, str]]:
    """The scenario as YAML, and the content of the files that it names, by name."""
    document = scenario.as_config()
    named = take_files(document)
    return dump(document), named


def text(scenario: Scenario) -> str:
    """The first of `text_and_files`."""
    return text_and_files(scenario)[0]


def files(scenario: Scenario) -> dict[str, str]:
    """The second of `text_and_files`."""
    return text_and_files(scenario)[1]
