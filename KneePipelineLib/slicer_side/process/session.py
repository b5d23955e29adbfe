"""Become the leader of a new session, then the command: ``python -I -S session.py COMMAND ARGUMENT...`` (POSIX).

Qt cannot start a process in a session of its own, and without one Cancel could not end the whole family. Between the
two the process id stays the same, so Qt goes on watching the right one. Standard library only; runs as a file of its
own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> None:
    """Replace this process by `command`; does not return."""
    with contextlib.suppress(OSError):
        os.setsid()
    if sys.platform.startswith("linux"):
        import ctypes

        # Should Slicer itself be killed, nobody is left to press Cancel: the kernel asks the run to end.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
