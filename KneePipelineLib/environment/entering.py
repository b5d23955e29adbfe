"""Stepping into the private environment with a command, and keeping it in place while the command runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import EXIT_PIPELINE_ERROR, EXIT_TIMED_OUT
from ..system.locks import hold
from ..system.streams import finish
from .child import IN_USE_NAME, child_environment, command, inside
from .problems import SetupError
from .setting_up import ensure


def relaunch(argv: Sequence[str], extras: Sequence[str] = ()) -> int:
    """Run ``KneePipelineLib ARGV`` in the private environment, setting it up first if needed.

    On POSIX this process becomes that one and the call does not return: signals, exit code and standard streams are
    the command's own. On Windows the command is waited for and Ctrl-C is left to it.

    Parameters
    ----------
    argv : sequence of str
        Arguments after ``python -m KneePipelineLib``.
    extras : sequence of str
        Extra groups that must be installed, such as ``"test"``.

    Returns
    -------
    int
        The command's exit code (Windows only).

    Raises
    ------
    SetupError
        When the environment is missing and cannot be set up.
    """
    python = ensure(extras)
    line = command(python, argv)
    finish()
    in_use = hold(python.parent.parent / IN_USE_NAME)
    if os.name == "posix":
        if in_use is not None:
            os.set_inheritable(in_use, True)
        try:
            os.execve(line[0], line, child_environment())
        except OSError as problem:
            raise SetupError(f"The private environment's Python does not start ({problem.strerror or problem}).",
                             "Run: python3 -m KneePipelineLib doctor") from problem
    return _run_and_wait(line)


def _run_and_wait(line: list[str]) -> int:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = subprocess.run(line, env=child_environment(), check=False).returncode
        return code if code in range(EXIT_TIMED_OUT + 1) else EXIT_PIPELINE_ERROR
    finally:
        signal.signal(signal.SIGINT, before)


def hold_in_use() -> None:
    """Called early by a process that already runs inside: keeps its environment from being removed under it."""
    if inside():
        hold(Path(sys.prefix) / IN_USE_NAME)
