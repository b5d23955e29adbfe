"""Standard streams that are closed, full or gone: they are no reason for a program to end, nor to end differently.

A batch system, cron or a daemon may start us with closed streams. The next file that is opened would then get the
number of one, and whatever a library prints would end up in it.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import time
from typing import TextIO

_ERRORS = "kneepipeline"
_PAUSE_S = 0.01


def prepare() -> None:
    """Called first of all: every standard stream exists, and what its encoding cannot hold is written all the same."""
    codecs.register_error(_ERRORS, _written_all_the_same)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            _point_nowhere(number)
        if getattr(sys, name) is None:
            # Left open to the end of the process, as a standard stream is.
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors=_ERRORS)
    if os.name == "posix" and not os.get_blocking(1):
        sys.stdout = _text(_Patient(1, "wb", closefd=False), sys.stdout)
    if os.name == "posix" or not sys.stderr.isatty():  # a Windows console takes characters, not bytes
        sys.stderr = _text(_Forgiving(2, "wb", closefd=False), sys.stderr)


def _text(raw: io.RawIOBase, like: TextIO) -> TextIO:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=like.encoding, errors=_ERRORS, line_buffering=True)


class _Patient(io.FileIO):
    """A descriptor that does not wait for a slow reader by itself."""

    def write(self, data: bytes) -> int:
        """Write what is taken now, as soon as anything is."""
        while (taken := super().write(data)) is None:
            time.sleep(_PAUSE_S)
        return taken


class _Forgiving(io.FileIO):
    """What is said to people goes nowhere where it cannot be written; the work it speaks of goes on."""

    def write(self, data: bytes) -> int:
        """Write what can be written, and count all of it."""
        with contextlib.suppress(OSError):
            super().write(data)
        return len(data)


def finish() -> None:
    """Called last: what a stream no longer takes is dropped, or Python would end with the exit code 120."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError):
                _point_nowhere(number)
                stream.flush()


def say(text: str) -> None:
    """A line for a person on stderr, whether somebody reads it or not."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


def _point_nowhere(number: int) -> None:
    """Let a file descriptor lead to the null device, for our children too."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(nowhere, number)
        os.close(nowhere)


def _written_all_the_same(error: UnicodeError) -> tuple[str | bytes, int]:
    """A byte of a file's name that was no text goes out as it came in; other characters are spelled out."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)
