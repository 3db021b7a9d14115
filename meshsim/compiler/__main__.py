"""Compiles in place: ``python -m meshsim.compiler``."""

from __future__ import annotations

import argparse
import sys

from meshsim.compiler.build import build_in_place


def main() -> int:
    """Builds; 0 if it worked."""
    parser = argparse.ArgumentParser(
        prog="python -m meshsim.compiler", description="Compile the mesh in place."
    )
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="leave out the checks of bounds and None, to measure what they cost",
    )
    return 0 if build_in_place(checked=not parser.parse_args().unchecked) else 1


if __name__ == "__main__":
    sys.exit(main())
