"""A preset fills what a policy leaves out: what is written wins, key by key, below the blocks.

A policy is filled when it is read (`Scenario.policy`), not when the file is: the file, overrides, sweeps and
pushes stay what the user wrote, so that a preset can be changed as any other key.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

from meshsim.scenario.fields import Choice, Model
from meshsim.scenario.policy import Policy
from meshsim.scenario.presets import OFF, ON, PRESETS, Preset

M = TypeVar("M", bound=Model)


def filled(written: Policy, preset: str) -> Policy:
    """A policy with a preset's defaults, those for blocks that are in force; it itself under ``none``.

    A choice, such as `balance`, is written as a whole, and so is a list.
    """
    if preset not in PRESETS:
        return written
    return _filled(written, _defaults(preset), PRESETS[preset], "")


@lru_cache
def _defaults(name: str) -> Policy:
    """A policy that has all defaults of a preset, and every block that one of them is in."""
    config: dict[str, Any] = {}
    for row in PRESETS[name].defaults:
        *blocks, last = row.key.split(".")
        here = config
        for block in blocks:
            here = here.setdefault(block, {})
        if row.value not in (OFF, ON):
            here[last] = row.value
    return Policy.model_validate(config)


def _filled(written: M, defaults: Model, preset: Preset, path: str) -> M:
    found: dict[str, Any] = {}
    for name in type(defaults).model_fields:
        if name not in defaults.model_fields_set:
            continue
        key, theirs, mine = f"{path}{name}", getattr(defaults, name), getattr(written, name)
        given = name in written.model_fields_set
        if isinstance(theirs, Model) and not isinstance(theirs, Choice):
            if mine is None and not given and (row := preset.default(key)) and row.value == ON:
                mine = type(theirs)()
            if mine is not None:
                mine = _filled(mine, theirs, preset, f"{key}.")
                off = any(f"{key}.{zero}" in preset.off_at_zero and entry == 0 for zero, entry in mine)
                found[name] = None if off else mine
        elif not given and written.model_fields_set.isdisjoint(preset.unless.get(key, ())):
            found[name] = theirs
    return written.model_copy(update=found)
