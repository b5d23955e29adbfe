"""One spoilt input in a watched process: what reading it ended in, and everything that it should not have done.

Python's audit events tell of commands, connections, foreign code and files opened for writing; a folder beside the
sandbox, compared after every input, tells what happened below Python. Memory has a ceiling of the operating system and
is measured for each input.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import sysconfig
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

from KneePipelineLib.errors import MAX_MESSAGE, KneePipelineError

LIMIT_BYTES = 2 * 1024**3
HANG_S = 60
ROOT = Path(__file__).resolve().parents[2]
_COMMANDS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn", "socket.connect",
             "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "os.fork", "os.forkpty",
             "webbrowser.open", "ftplib.connect", "http.client.connect")
_CHANGES = {"os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.symlink": 2, "os.link": 2, "os.chmod": 1,
            "os.chown": 1, "os.truncate": 1, "os.utime": 1, "shutil.rmtree": 1, "shutil.move": 2, "os.mkfifo": 1}


@dataclass
class Verdict:
    """``read``, ``refused`` or ``fault``, and what there is to say about it."""

    kind: str
    text: str
    seconds: float = 0.0
    peak_bytes: int = 0


class Watch:
    """Collects, while it is on, what the audit events say that nobody was allowed to do."""

    def __init__(self, box: Path, outside: Path) -> None:
        self.box, self.outside, self.on = str(box.resolve()), str(outside.resolve()), False
        self.found: list[str] = []
        paths = {sys.prefix, sys.base_prefix, str(ROOT), *sysconfig.get_paths().values()}
        self.own_code = tuple(str(Path(p).resolve()) for p in paths) + tuple(paths) + ("<frozen",)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        self.on = False  # what the judging itself does is nobody's doing
        try:
            complaint = self._judge(event, arguments)
        finally:
            self.on = True
        if complaint:
            self.found.append(complaint)
            raise PermissionError(complaint)

    def _judge(self, event: str, arguments: tuple) -> str | None:
        if event in _COMMANDS:
            return f"executed: {event} {arguments!r:.200}"
        if event == "subprocess.Popen":  # the decoder of compressed pixels works in a child of its own
            return None if "dicom_pixels" in str(arguments[1]) else f"executed: {arguments!r:.200}"
        if event == "exec":
            name = arguments[0].co_filename
            own = name.startswith(self.own_code) or (name.startswith("<") and self._made_by_own_code())
            return None if own else f"executed: code of {name}"
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path, mode, flags = os.path.realpath(os.fsdecode(arguments[0])), arguments[1] or "", arguments[2] or 0
            writes = any(c in str(mode) for c in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if path.startswith(self.outside) or path in ("/etc/passwd", "/dev/zero"):
                return f"read outside: {path}"
            if writes and not path.startswith(self.box) and path != os.devnull:
                return f"wrote outside: {path}"
        if event in _CHANGES and not (isinstance(arguments[-1], int) and arguments[-1] > 0 and event != "os.chmod"):
            for path in arguments[:_CHANGES[event]]:
                if isinstance(path, (str, bytes)) and not os.path.realpath(os.fsdecode(path)).startswith(self.box):
                    return f"changed outside: {event} {path!r}"
        return None

    def _made_by_own_code(self) -> bool:
        """Whether text is compiled by the standard library (dataclasses, named tuples) rather than by a reader."""
        frame = sys._getframe(3)
        return frame is not None and Path(frame.f_code.co_filename).name in (
            "dataclasses.py", "__init__.py", "functools.py", "typing.py", "decorator.py")


def limit_memory() -> None:
    """A ceiling for what this process may take for itself, as the operating system counts it."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak_bytes() -> int:
    """The largest resident size since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def forget_peak() -> None:
    """Start measuring the largest resident size anew."""
    Path("/proc/self/clear_refs").write_text("5")


def examine(read: object, folder: Path, watch: Watch, outside_before: object) -> Verdict:
    """Read one input and judge how that ended."""
    forget_peak()
    start, watch.found = time.perf_counter(), []
    said = io.StringIO()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(HANG_S)
    watch.on = True
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(folder)
        kind, text = "read", ""
    except KneePipelineError as error:
        kind, text = "refused", _badly_told(error, folder)
        kind = "fault" if text else kind
        text = text or f"{type(error).__name__}: {error.message}"
    except Hang:
        kind, text = "fault", f"hang: longer than {HANG_S} s"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)
        own = next((f for f in reversed(where) if "KneePipelineLib" in f.filename), where[-1])
        kind = "fault"
        text = f"{type(error).__name__}: {str(error)[:100]} [{Path(own.filename).name}:{own.lineno} {own.name}]"
    finally:
        watch.on = False
        signal.alarm(0)
    seconds, peak = time.perf_counter() - start, peak_bytes()
    if watch.found:
        kind, text = "fault", watch.found[0]
    elif listing(Path(watch.outside)) != outside_before:
        kind, text = "fault", "wrote outside: the folder beside the sandbox changed"
    elif peak > LIMIT_BYTES:
        kind, text = "fault", f"memory: {peak / 2**20:.0f} MiB"
    elif said.getvalue():
        kind, text = "fault", f"printed: {said.getvalue()[:80]!r}"
    return Verdict(kind, text.replace(str(folder), "..."), seconds, peak)


class Hang(BaseException):
    """The input has taken too long; no reader may catch it."""


def _too_long(*_: object) -> None:
    raise Hang


def _badly_told(error: KneePipelineError, folder: Path) -> str:
    """What is wrong with a refusal's words; nothing, for one sentence with a hint and without a path."""
    try:
        told = json.dumps(error.to_dict())
    except (TypeError, ValueError) as problem:
        return f"refused badly: not JSON ({problem})"
    ended = error.message.rstrip().endswith((".", "!", "?"))
    if not ended or not error.message.isprintable() or len(error.message) > MAX_MESSAGE:
        return f"refused badly: {type(error).__name__} {error.message[:200]!r}"
    if not error.hint.strip():
        return f"refused badly: no hint: {error.message[:200]}"
    return f"refused badly: tells a path: {error.message[:200]}" if str(folder) in told else ""


def listing(folder: Path) -> object:
    """Names, sizes and times of a folder, to see whether anything changed."""
    return sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def warm_up(read: object, folder: Path) -> None:
    """Read a good input, so that everything that is loaded late is loaded."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(folder)
        except KneePipelineError as error:
            raise RuntimeError(f"a good input was refused: {error.message}") from error
