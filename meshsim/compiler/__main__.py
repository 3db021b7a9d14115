"""Compiles in place: ``python -m meshsim.compiler``."""

from __future__ import annotations

import argparse
import sys

from meshsim import forms
from meshsim.compiler.build import build_in_place, say


def main() -> int:
    """Builds; 0 if there is a compiled mesh now."""
    parser = argparse.ArgumentParser(
        prog="python -m meshsim.compiler",
        description="Compile the mesh, in place, after a change of its sources.",
    )
    parser.add_argument(
        "--stale", action="store_true", help="only if what is built is older than the sources"
    )
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="without checks of bounds and None: only to measure what they cost",
    )
    wanted = parser.parse_args()
    if wanted.stale and forms.fresh():
        say("the compiled engine is up to date")
        return 0
    return 0 if build_in_place(checked=not wanted.unchecked, stale=wanted.stale) else 1


if __name__ == "__main__":
    sys.exit(main())
