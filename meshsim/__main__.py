"""``python -m meshsim``."""

from meshsim.cli import main

main()
