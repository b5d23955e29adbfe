"""Start an installer, follow what it says, and stop it with everything it started when we stop."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..system.guard import apart, guarded
from ..system.processes import TOKEN_VARIABLE, kill_token
from .child import native_launcher
from .pip_configuration import without_passwords

_TICK_S = 0.25


@dataclass(frozen=True)
class Outcome:
    """Exit code and the lines that were said."""

    code: int
    lines: tuple[str, ...]

    def complaint(self) -> str:
        """What a person should read of a failure: its error lines, or its last ones."""
        said = [line.strip() for line in self.lines if line.strip()]
        errors = [line for line in said if line.lower().lstrip("× ").startswith(("error", "fatal", "cause"))]
        return " ".join((errors or said or ["no message"])[-4:])[:800]


def run_guarded(
    command: Sequence[str], environ: Mapping[str, str], log: Path, guard_python: str,
    on_line: Callable[[str], None] | None = None, on_tick: Callable[[], None] | None = None,
) -> Outcome:  # fmt: skip
    """Run `command` to its end.

    Parameters
    ----------
    command, environ
        What to run, with which variables.
    log
        File that every line is appended to, passwords cut out.
    guard_python
        Interpreter of the guard.
    on_line, on_tick
        Called for every line, and a few times a second.
    """
    lines: list[str] = []
    token = uuid.uuid4().hex
    pending: queue.Queue[str | None] = queue.Queue()
    with open(log, "a", encoding="utf-8") as record:
        record.write(without_passwords(f"$ {' '.join(command)}") + "\n")
        record.flush()
        process = subprocess.Popen(
            [*native_launcher(), *guarded(guard_python, command, token)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**environ, TOKEN_VARIABLE: token}, text=True,
            encoding="utf-8", errors="replace", cwd=os.path.dirname(log), **apart(),
        )  # fmt: skip

        def listen() -> None:
            for line in process.stdout:
                pending.put(without_passwords(line.rstrip("\n")))
            pending.put(None)

        threading.Thread(target=listen, daemon=True).start()
        ended = False
        try:
            while True:
                try:
                    line = pending.get(timeout=_TICK_S)
                except queue.Empty:
                    if ended:  # what it left running holds the pipe open; it has nothing to say any more
                        break
                    ended = process.poll() is not None
                    if on_tick is not None:
                        on_tick()
                    continue
                if line is None:
                    break
                lines.append(line)
                record.write(line + "\n")
                record.flush()
                if on_line is not None:
                    on_line(line)
            return Outcome(process.wait(), tuple(lines))
        finally:
            process.stdin.close()  # on an exception this is what ends the installer
            process.wait()
            kill_token(token)  # should the guard itself have been killed
