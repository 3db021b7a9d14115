"""The command line: one verb a function, each a thin layer over what `lab`, `theory` and `scenario` do.

Results for people or, with ``--json``, for machines go to standard output; everything else to standard
error. Exit codes: 0 fine, 1 an objective was missed (only with ``--check``), 2 bad input or results that
could not be written, 130 after Ctrl-C, and where `live` was ended by SIGTERM.

Whatever is slow to import is imported by the verb that needs it, so that ``meshsim --help`` answers at once.
"""

# ruff: noqa: F401, I001 - each module registers its verbs, and their order is that of --help
from meshsim.cli import init, run, batch, sweep, compare, capacity
from meshsim.cli import live, steer, validate, look, access, imports, export, export_otlp
from meshsim.cli.app import app, main

__all__ = ["app", "main"]
