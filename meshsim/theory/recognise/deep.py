"""Functions that call themselves as deep as a scenario's calls go, deeper than Python's own stack."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")
Steps = Generator[Any, Any, Result]
"""A function that yields the steps of those it needs, is sent their results, and returns its own."""


def flat(steps: Steps[Result]) -> Result:
    """The result of such a function, worked out on a stack of its own."""
    stack: list[Steps[Any]] = [steps]
    result: Any = None
    while stack:
        try:
            deeper = stack[-1].send(result)
        except StopIteration as end:
            stack.pop()
            result = end.value
        else:
            stack.append(deeper)
            result = None
    return result  # type: ignore[no-any-return]  # of the first one
