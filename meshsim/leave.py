"""How the program ends at Ctrl-C where there is nothing to put in order: at once.

It is the first thing that the program imports, so it imports next to nothing.
"""

import os
import signal

SHOW_CURSOR = b"\r\x1b[K\x1b[?25h"
"""For a terminal on which a progress bar may have hidden it."""


def leave(number: int, place: object) -> None:
    """Handles Ctrl-C. It raises nothing: amid imports, an exception is lost or becomes another one."""
    words = b"meshsim: interrupted\n"
    try:  # noqa: SIM105 - contextlib takes its time
        os.write(2, SHOW_CURSOR + words if os.isatty(2) else words)
    except OSError:
        pass  # nobody can read it
    os._exit(130)  # as shells have it


def leaving() -> None:
    """Has the program leave at Ctrl-C, unless that is ignored on purpose."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
