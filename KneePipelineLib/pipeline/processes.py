"""Ending processes for certain: a worker, whatever it started, and whatever those started.

Three nets, because each has holes: the process tree (lost when a parent dies first), the session (left by setsid) and,
on Linux, a token in the environment that every descendant inherits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

TOKEN_VARIABLE = "KNEEPIPELINE_RUN_TOKEN"
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when its parent dies (Linux); elsewhere the closed pipe has to do.

    Parameters
    ----------
    parent : int
        Process id of the parent, to notice that it died before the request was made; 0 when unknown.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:
        os._exit(1)


def kill_tree(leader: int, token: str) -> int:
    """End the process ``leader``, its session and everything that carries ``token``; the number of processes ended."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(leader)], capture_output=True, check=False)
        return 1
    ended: set[int] = set()
    # A second look catches what was being started during the first.
    for _ in range(5):
        found = {pid for pid in _family(leader, token) if pid not in ended and pid != os.getpid()}
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= found
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    return len(ended)


def kill_token(token: str) -> int:
    """End everything that carries ``token`` (Linux only): the leftovers of a run that was itself killed."""
    ended = 0
    for pid in _with_token(token):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended += 1
    return ended


def alive(pid: int) -> bool:
    """Whether a process of that id exists (and is no zombie, where that can be seen)."""
    if os.name == "nt":
        query = ["tasklist", "/FI", f"PID eq {pid}", "/NH"]
        return str(pid) in subprocess.run(query, capture_output=True, text=True, check=False,
                                          creationflags=subprocess.CREATE_NO_WINDOW).stdout
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    fields = _stat(pid)
    return not fields or fields[0] != "Z"


def _family(leader: int, token: str) -> set[int]:
    """Process ids of the leader's tree and session and of everything with the token, without zombies."""
    table = _process_table()
    family = {pid for pid, (_, session) in table.items() if session == leader or pid == leader}
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in table.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return family | _with_token(token)


def _process_table() -> dict[int, tuple[int, int]]:
    """pid -> (parent, session) of every process that is not a zombie."""
    if not sys.platform.startswith("linux"):
        listing = subprocess.run(["ps", "-axo", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=False)
        rows = [line.split() for line in listing.stdout.splitlines()]
        return {int(r[0]): (int(r[1]), int(r[2])) for r in rows if len(r) >= 4 and not r[3].startswith("Z")}
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields and fields[0] != "Z":
                table[int(entry)] = (int(fields[1]), int(fields[3]))
    return table


def _stat(pid: int) -> list[str]:
    """State, parent, group, session, ... of a process; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def _with_token(token: str) -> set[int]:
    """Processes whose token is ``token`` or begins with it and a dot (a run's token, and those of its lanes)."""
    if not token or not sys.platform.startswith("linux"):
        return set()
    wanted = f"\0{TOKEN_VARIABLE}={token}".encode()
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                environment = b"\0" + file.read() + b"\0"
                if wanted + b"\0" in environment or wanted + b"." in environment:
                    found.add(int(entry))
    return found


class Guardian:
    """A tiny process that outlives the orchestrator by a moment: if that is killed, it ends what was left (Linux).

    The kernel ends a worker with its parent, but not what the worker started. The guardian waits on a pipe that only
    the orchestrator holds open; a farewell on it means that all is well.
    """

    def __init__(self, token: str) -> None:
        self._process: subprocess.Popen | None = None
        if sys.platform.startswith("linux"):
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", os.path.abspath(__file__), token], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env={},
            )

    def dismiss(self) -> None:
        """The run has ended by itself."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.communicate(b"farewell", timeout=2)
            self._process = None


def _guard(token: str) -> None:
    """Body of the guardian process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.stdin.buffer.read() != b"farewell":
        while kill_token(token):
            time.sleep(0.05)


if __name__ == "__main__":
    _guard(sys.argv[1])
