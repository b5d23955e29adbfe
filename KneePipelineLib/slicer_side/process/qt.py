"""A child process in Slicer's event loop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import FAILED_TO_START, Listening, end_family

_SESSION = Path(__file__).with_name("session.py")


class QtProcess(Listening):
    """A process in Slicer's event loop (``qt.QProcess``)."""

    def __init__(self) -> None:
        super().__init__()
        self._process: Any = None
        self._finished = self._through_launcher = False
        self._timer: Any = None

    def start(self, arguments: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """See :class:`~.base.JobProcess`."""
        import qt

        process = self._process = qt.QProcess()
        variables = qt.QProcessEnvironment()
        for name, value in environment.items():
            variables.insert(name, value)
        process.setProcessEnvironment(variables)
        process.setWorkingDirectory(str(directory))
        process.connect("readyReadStandardOutput()", self._read_events)
        process.connect("readyReadStandardError()", self._read_text)
        process.connect("finished(int,QProcess::ExitStatus)", self._on_qt_finished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._on_qt_error)
        self._through_launcher = _is_slicers(arguments[0])
        line = _in_own_session(arguments)
        process.start(line[0], line[1:])
        process.closeWriteChannel()

    @property
    def running(self) -> bool:
        """See :class:`~.base.JobProcess`."""
        return self._process is not None and not self._finished

    @property
    def pid(self) -> int:
        """See :class:`~.base.JobProcess`."""
        return int(self._process.processId()) if self.running else 0

    def cancel(self) -> None:
        """See :class:`~.base.JobProcess`."""
        if not self.running or self._timer is not None:
            return
        import qt

        if os.name == "nt":
            end_family(self.pid, wait=False)
        elif self._through_launcher:  # which would die of the request and leave its child behind
            end_family(self.pid)
        else:
            self._process.terminate()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._end_family)
        self._timer.start(int(self.grace_s * 1000))

    def _end_family(self) -> None:
        if self.running:
            end_family(self.pid, wait=os.name != "nt")  # taskkill takes its time, and this is the GUI's
            if os.name != "nt":
                self._process.kill()

    def kill(self) -> None:
        """See :class:`~.base.JobProcess`."""
        if self.running:
            end_family(self.pid)
            self._process.kill()
            self._process.waitForFinished(1000)

    def poll(self) -> None:
        """Nothing to do: Qt calls."""

    def _read_events(self) -> None:
        self._hear(_bytes_of(self._process.readAllStandardOutput()))

    def _read_text(self) -> None:
        self._overhear(_bytes_of(self._process.readAllStandardError()))

    def _on_qt_finished(self, exit_code: int, exit_status: Any) -> None:
        import qt

        self._read_events()
        self._read_text()
        self._end(int(exit_code), exit_status == qt.QProcess.CrashExit)

    def _on_qt_error(self, error: Any) -> None:
        import qt

        if error == qt.QProcess.FailedToStart:  # the only error after which Qt does not tell of an end
            self.last_lines.append(str(self._process.errorString()))
            # On Windows this comes while start() is still at work, before its caller could listen.
            qt.QTimer.singleShot(0, self._end_unstarted)

    def _end_unstarted(self) -> None:
        self._end(FAILED_TO_START, True)

    def _end(self, exit_code: int, crashed: bool) -> None:
        if self._finished:
            return
        self._finished = True
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
        self._hear_the_rest()
        # The QProcess is in the middle of its own signal: it may only go when that has returned. Left alone it would
        # never go, and its connections would keep the job and its volumes in memory.
        self._process.deleteLater()
        self.on_finished(exit_code, crashed)


def _in_own_session(arguments: list[str]) -> list[str]:
    """The command line that gives a Python program a session of its own (POSIX).

    Not for Slicer's Python, which needs its launcher; its family is found by parentage.
    """
    python = next((part for part in arguments[:3] if "python" in os.path.basename(part).lower()), "")
    if os.name != "posix" or not python or _is_slicers(python):
        return list(arguments)
    return [python, "-I", "-S", str(_SESSION), *arguments]


def _is_slicers(program: str) -> bool:
    return "pythonslicer" in os.path.basename(program).lower()


def _bytes_of(data: Any) -> bytes:
    """A QByteArray as bytes; PythonQt and other bindings differ in what its data() is."""
    raw = data.data()
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else bytes(raw or b"")
