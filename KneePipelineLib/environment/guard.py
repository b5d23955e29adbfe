"""Run a command, and end it with its whole family when the one who asked for it dies.

Started as ``python guard.py COMMAND...`` with a pipe as standard input that the asker keeps open. When the pipe closes
(the asker ended, was killed, or cancels) every process of the command is ended. That way a killed Set up never leaves
an installer behind that writes into a folder nobody watches. Standard library only; runs as a file of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run `command`; its exit code is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the asker, who then closes the pipe
    if os.name == "posix":
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    else:
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, creationflags=flags)
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    return child.wait()


def _watch(child: subprocess.Popen) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    end_family(child.pid)
    os._exit(1)


def end_family(pid: int) -> None:
    """End the process `pid`, which leads its own session, and all it started."""
    try:
        if os.name == "posix":
            os.killpg(pid, signal.SIGKILL)
        else:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, check=False)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
