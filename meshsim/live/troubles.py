"""What goes wrong in a process and is not the scenario's doing; it is reported with the results."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from collections import Counter
from typing import Any

KINDS_AT_MOST = 50
"""Of different troubles, in one process."""

SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
"""Of errors of a connection: it is this machine that has run out of something, and no host that refuses."""

OWN_ERROR = "an error of meshsim's own, please report it"
"""How those begin that are nobody else's doing."""

troubles: Counter[str] = Counter()
"""Those of this process, and how often they came."""


def trouble(what: str) -> None:
    """Takes note of one, and says so when it is the first of its kind."""
    if what not in troubles:
        if len(troubles) >= KINDS_AT_MOST:
            return
        with contextlib.suppress(OSError):  # the log's disk may be what is full
            print(what, file=sys.stderr, flush=True)
    troubles[what] += 1


def no_connection(error: OSError) -> None:
    """Takes note of a connection that could not be opened, if that is this machine's own fault."""
    if error.errno in SCARCE:
        trouble(f"a connection could not be opened: {error.strerror}{remedy(error)}")


def failure_of(error: OSError | TimeoutError) -> str:
    """Why a connection could not be opened, in the form of an Envoy's access log."""
    if isinstance(error, TimeoutError):
        return "connection_timeout"
    return f"delayed_connect_error:_{os.strerror(error.errno or 0).replace(' ', '_')}"


def allow_descriptors() -> None:
    """Lets this process have as many descriptors as the system allows it, whatever the shell's limit is."""
    import resource  # noqa: PLC0415 - not on Windows

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS says `unlimited`, and does not mean it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def look_for_descriptors() -> None:
    """Takes note if there are no descriptors left.

    NOTE: libuv then closes what it accepts, and says nothing; so this has to be asked from time to time.
    """
    try:
        os.close(os.dup(2))
    except OSError as error:
        trouble(f"no connection could be accepted or opened: {error.strerror}{remedy(error)}")


def remedy(error: OSError) -> str:
    """What helps against it."""
    return " (allow more with ulimit -n)" if error.errno == errno.EMFILE else ""


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Takes note of every error that nobody has caught."""
    loop.set_exception_handler(_uncaught)


def _uncaught(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, OSError):
        trouble(f"{context['message']}: {error.strerror}{remedy(error)}")
        return
    loop.default_exception_handler(context)  # prints the traceback
    trouble(f"{OWN_ERROR}: {context['message']}: {error!r}")
