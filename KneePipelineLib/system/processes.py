"""Ending processes for certain: one, whatever it started, and whatever those started.

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

TOKEN_VARIABLE = "KNEEPIPELINE_RUN_TOKEN"
_PR_SET_PDEATHSIG = 1
_QUIET = {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
"""For the small helpers that would open a console window on Windows."""


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


def kill_tree(leader: int, token: str = "", waited_for: bool = False) -> int:
    """End the process ``leader``, its session and everything that carries ``token``; the number of processes ended.

    Parameters
    ----------
    leader : int
        Its process id.
    token : str
        What its family carries in its environment.
    waited_for : bool
        It has ended and was waited for. Its number may be another process's by now, unless somebody of its session
        still lives: then no process can be called so.
    """
    if waited_for and (os.name == "nt" or leader in _process_table()):
        return kill_token(token)
    if os.name == "nt":
        with contextlib.suppress(OSError):
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(leader)], capture_output=True, check=False, **_QUIET)
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
        answer = subprocess.run(query, capture_output=True, text=True, errors="replace", check=False, **_QUIET)
        return str(pid) in answer.stdout.split()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    fields = _stat(pid)
    return not fields or fields[0] != "Z"


def start_of(pid: int) -> str:
    """What tells a process from a later one with the same number, as text; empty where that cannot be seen.

    Linux: the boot it belongs to and its start in ticks after that (proc(5), stat, field 22); macOS: its start as
    ``ps`` says it.
    """
    if sys.platform.startswith("linux"):
        fields = _stat(pid)
        with contextlib.suppress(OSError, IndexError), \
                open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            return f"{boot.read().strip()}:{fields[19]}"
    elif os.name == "posix":
        with contextlib.suppress(OSError):
            listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True,
                                     check=False, env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"})
            return listing.stdout.strip()
    return ""


def is_same_process(pid: int, start: str) -> bool:
    """Whether the process of that id still lives and is the one that began at ``start`` (:func:`start_of`)."""
    return alive(pid) and (not start or start_of(pid) in ("", start))


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
