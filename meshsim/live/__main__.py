"""A process of the mesh: ``python -m meshsim.live``; the launcher starts it."""

from meshsim.live.child import main

main()
