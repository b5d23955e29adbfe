"""Being asked to stop: Ctrl-C, and what a batch system, `timeout` or a closed terminal send, are one and the same."""

from __future__ import annotations

import signal
from types import FrameType

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""Signals that ask to stop; the last two exist on some systems only."""


def heeded() -> list[signal.Signals]:
    """Those of `STOPPING` that this process was not told to ignore (``nohup``, a shell's background job)."""
    return [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]


def raise_once() -> None:
    """Let the first of them raise KeyboardInterrupt; later ones must not disturb the clearing up."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise KeyboardInterrupt

    for number in heeded():
        signal.signal(number, stop)
