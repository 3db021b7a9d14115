"""The program ``meshsim``, and ``python -m meshsim``.

What is slow to import is imported when Ctrl-C is taken care of.
"""

from meshsim.leave import leaving


def main() -> None:
    """Runs the command line."""
    leaving()
    from meshsim.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
