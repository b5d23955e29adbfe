"""Child processes as a job sees them: started, listened to, ended with everything they started.

One protocol, two implementations: `QtProcess` lives in Slicer's event loop and never waits; `PlainProcess` runs on
`subprocess` for scripts and tests. Both keep the event stream (stdout) apart from what people read (stderr).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .events import EventReader, LineReader

GRACE_S = 3.0
"""How long a run may take to leave by itself after Cancel before it is ended by force."""
LAST_LINES = 40
FAILED_TO_START = 127
"""Exit code told when nothing could be started (that of a shell)."""
_SESSION = Path(__file__).with_name("session.py")
_PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "HTTP_PROXY",
              "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy")
"""Variables taken from Slicer's present environment, because its start-up environment leaves some of them out."""


class JobProcess(Protocol):
    """A child process. Callbacks come on the thread that owns it, and none after `on_finished`.

    Attributes
    ----------
    on_event : callable (dict)
        For each event on stdout; other lines come as ``{"event": "text", ...}``.
    on_text : callable (str)
        For each line on stderr.
    on_finished : callable (exit_code: int, crashed: bool)
        Once. `crashed` tells a process that was killed or broke down from one that ended with an exit code.
    last_lines : deque of str
        The last lines of stderr, for an error message.
    """

    on_event: Callable[[dict[str, Any]], None]
    on_text: Callable[[str], None]
    on_finished: Callable[[int, bool], None]
    last_lines: deque[str]

    def start(self, arguments: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """Start ``arguments`` (the program first) with exactly these variables in `directory`."""

    @property
    def running(self) -> bool:
        """Whether it was started and `on_finished` has not been called."""

    @property
    def pid(self) -> int:
        """Process id; 0 when there is none."""

    def cancel(self) -> None:
        """Ask it to end, and end it and all it started when it has not gone after `GRACE_S`. Returns at once."""

    def kill(self) -> None:
        """End it and all it started, now. For leaving the application; waits for the end of it, a second at most."""

    def poll(self) -> None:
        """Deliver what has arrived; nothing to do where an event loop does it."""


class _Listening:
    """What both kinds share: callbacks, the two readers and the last words."""

    def __init__(self) -> None:
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None
        self.on_text: Callable[[str], None] = lambda line: None
        self.on_finished: Callable[[int, bool], None] = lambda exit_code, crashed: None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._events, self._lines = EventReader(), LineReader()

    def _hear(self, data: bytes) -> None:
        for event in self._events.feed(data):
            self.on_event(event)

    def _overhear(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self.last_lines.append(line)
            self.on_text(line)

    def _hear_the_rest(self) -> None:
        for event in self._events.close():
            self.on_event(event)
        for line in self._lines.close():
            self.last_lines.append(line)
            self.on_text(line)


class QtProcess(_Listening):
    """A process in Slicer's event loop (``qt.QProcess``)."""

    def __init__(self) -> None:
        super().__init__()
        self._process: Any = None
        self._finished = self._through_launcher = False
        self._timer: Any = None

    def start(self, arguments: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """See :class:`JobProcess`."""
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
        """See :class:`JobProcess`."""
        return self._process is not None and not self._finished

    @property
    def pid(self) -> int:
        """See :class:`JobProcess`."""
        return int(self._process.processId()) if self.running else 0

    def cancel(self) -> None:
        """See :class:`JobProcess`."""
        if not self.running or self._timer is not None:
            return
        import qt

        if os.name == "nt":
            _taskkill(self.pid, qt.QProcess.startDetached)
        elif self._through_launcher:  # which would die of the request and leave its child behind
            end_family(self.pid)
        else:
            self._process.terminate()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._end_family)
        self._timer.start(int(GRACE_S * 1000))

    def _end_family(self) -> None:
        if self.running:
            end_family(self.pid)
            self._process.kill()

    def kill(self) -> None:
        """See :class:`JobProcess`."""
        if self.running:
            self._end_family()
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
            self._end(FAILED_TO_START, True)

    def _end(self, exit_code: int, crashed: bool) -> None:
        if self._finished:
            return
        self._finished = True
        if self._timer is not None:
            self._timer.stop()
        self._hear_the_rest()
        # The QProcess is in the middle of its own signal: it may only go when that has returned.
        self._process.deleteLater()
        self.on_finished(exit_code, crashed)


class PlainProcess(_Listening):
    """A process on `subprocess`, for scripts without an event loop and for tests; `poll` or `wait` deliver."""

    def __init__(self) -> None:
        super().__init__()
        self._process: subprocess.Popen | None = None
        self._arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._open = 0
        self._finished = False
        self._deadline: float | None = None

    def start(self, arguments: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """See :class:`JobProcess`."""
        flags = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)} if os.name == "nt" else {
            "start_new_session": True}
        try:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=dict(environment), cwd=str(directory), **flags)
        except OSError as error:
            self.last_lines.append(error.strerror or str(error))
            self._arrived.put(("failed", b""))
            return
        for name, stream in (("events", self._process.stdout), ("text", self._process.stderr)):
            self._open += 1
            threading.Thread(target=self._listen, args=(name, stream), daemon=True).start()

    def _listen(self, name: str, stream: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 1 << 16):
                self._arrived.put((name, data))
        self._arrived.put(("closed", b""))

    @property
    def running(self) -> bool:
        """See :class:`JobProcess`."""
        return not self._finished and (self._process is not None or not self._arrived.empty())

    @property
    def pid(self) -> int:
        """See :class:`JobProcess`."""
        return self._process.pid if self.running and self._process is not None else 0

    def cancel(self) -> None:
        """See :class:`JobProcess`."""
        if self.running and self._process is not None and self._deadline is None:
            if os.name == "nt":
                end_family(self._process.pid)
            else:
                self._process.terminate()
            self._deadline = time.monotonic() + GRACE_S

    def kill(self) -> None:
        """See :class:`JobProcess`."""
        if self.running and self._process is not None:
            end_family(self._process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            self.poll()

    def poll(self) -> None:
        """Deliver what has arrived on the calling thread."""
        while not self._finished:
            try:
                kind, data = self._arrived.get_nowait()
            except queue.Empty:
                break
            self._deliver(kind, data)
        if self._finished or self._process is None:
            return
        if self._deadline is not None and time.monotonic() > self._deadline:
            self._deadline = float("inf")
            end_family(self._process.pid)
        code = self._process.poll()
        # A daemon of the child may hold the pipes open for ever: the process's own end is what counts.
        if code is not None and (self._open == 0 or self._arrived.empty()):
            self._finish(code)

    def _deliver(self, kind: str, data: bytes) -> None:
        if kind == "events":
            self._hear(data)
        elif kind == "text":
            self._overhear(data)
        elif kind == "closed":
            self._open -= 1
        elif kind == "failed":
            self._finished = True
            self.on_finished(FAILED_TO_START, True)

    def _finish(self, code: int) -> None:
        time.sleep(0.02 if self._open else 0.0)  # the readers' last pieces
        while not self._arrived.empty():
            self._deliver(*self._arrived.get_nowait())
        self._hear_the_rest()
        self._finished = True
        self.on_finished(abs(code), code < 0)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Deliver until it has ended; whether it has."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self.running and (end is None or time.monotonic() < end):
            self.poll()
            time.sleep(0.01)
        return not self.running


def end_family(pid: int) -> None:
    """End the process `pid` and everything it started, by force."""
    if pid <= 0:
        return
    if os.name == "nt":
        subprocess.run(_taskkill_line(pid), capture_output=True, check=False,
                       creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
        return
    from ..pipeline.processes import kill_tree

    kill_tree(pid, "")
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _taskkill_line(pid: int) -> list[str]:
    return ["taskkill", "/T", "/F", "/PID", str(pid)]


def _taskkill(pid: int, start_detached: Callable[[str, list[str]], Any]) -> None:
    program, *arguments = _taskkill_line(pid)
    start_detached(program, arguments)


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
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else bytes(raw)


def child_environment(python: Path | str | None = None) -> dict[str, str]:
    """The variables for a child: those from before Slicer added its own, without anything of Slicer's Python.

    Parameters
    ----------
    python
        The interpreter the child runs on, when it is no private environment of Set up's: the child then takes it for
        one (see :func:`KneePipelineLib.environment.inside`).

    Notes
    -----
    ``os.environ`` is read, never written. Proxies and certificates are passed on although Slicer's start-up
    environment leaves some of them out; every ``PYTHON*`` variable is dropped.
    """
    from .. import environment

    variables = _startup_environment()
    for name in _PASSED_ON:
        if name in os.environ:
            variables.setdefault(name, os.environ[name])
    variables.update({name: value for name, value in os.environ.items() if name.startswith("KNEEPIPELINE_")})
    cleaned = environment.child_environment(variables)
    if python is not None:
        cleaned["KNEEPIPELINE_PYTHON"] = str(python)
    return cleaned


def _startup_environment() -> dict[str, str]:
    try:
        import slicer

        return dict(slicer.util.startupEnvironment())
    except (ImportError, AttributeError):  # a script outside Slicer
        return dict(os.environ)
