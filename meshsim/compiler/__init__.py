"""Compiles the mesh ahead of time: the same sources, with C types made out of their annotations.

The sources in `policies` and `mesh` are plain Python and know nothing of this. For each of them `read` finds
what its annotations say, `header` writes Cython's declarations (.pxd) from it, `rewrite` makes the few
changes of text that C asks for, and `build` hands both to Cython and the compiler. What comes out goes into
the folder ``meshsim/_compiled``, from where `meshsim.forms` loads it in place of the sources.

    python -m meshsim.compiler              build in place, after a change of the sources
    python -m meshsim.compiler --unchecked  without checks of bounds and None: only to measure what they cost
    python -m meshsim.compiler --stale      only if what is built is older than the sources

Flags for the C compiler come from the environment variable MESHSIM_CFLAGS; `make sanitize` uses it.
"""
