"""The lock of a run folder, and the leftovers of a run that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from KneePipelineLib.errors import KneePipelineError
from KneePipelineLib.pipeline.locking import RunLock
from KneePipelineLib.system.processes import TOKEN_VARIABLE, alive


def test_a_second_lock_is_refused_and_a_stale_one_is_not(tmp_path: Path) -> None:
    with RunLock(tmp_path, "one"), pytest.raises(KneePipelineError, match=f"process {os.getpid()}"), \
            RunLock(tmp_path, "two"):
        pass
    with RunLock(tmp_path, "three") as lock:
        assert not lock.was_stale


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_leftovers_of_a_killed_run_are_ended(tmp_path: Path) -> None:
    orphan = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True,
                              env={**os.environ, TOKEN_VARIABLE: "dead.1"})
    innocent = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"],
                                env={**os.environ, TOKEN_VARIABLE: "deadly"})
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    half, theirs = tmp_path / f".{'0' * 32}.part.json", tmp_path / "notes.part"
    half.touch()
    theirs.touch()
    try:
        time.sleep(0.3)
        (folder / ".lock").write_text(json.dumps({"pid": 1, "token": "dead"}))
        with RunLock(folder, "new") as lock:
            assert lock.was_stale
            assert not half.exists()
            assert theirs.exists()
            assert lock.leftovers_ended == 1
        assert orphan.wait(5) == -signal.SIGKILL
        assert alive(innocent.pid)
    finally:
        for process in (orphan, innocent):
            process.kill()
            process.wait()
