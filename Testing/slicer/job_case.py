"""What the tests of jobs share: a home of their own, a stand-in for the private Python, and who is still alive."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
from KneePipelineLib.slicer_side import job as jobs
from KneePipelineLib.slicer_side.job import JobRequest, KneeJob
from KneePipelineLib.slicer_side.process import QtProcess

PATIENCE_S = 240.0
STAND_IN = """#!{python}
# In place of the private Python: a run of about a second, with a worker in a session of its own and half-made files.
import json, os, signal, subprocess, sys, time
arguments = sys.argv[1:]
if arguments[:2] == ["-I", "-S"]:
    os.execv({python!r}, [{python!r}, *arguments])
out = arguments[arguments.index("run") + 2]
worker = subprocess.Popen([{python!r}, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
def leave(*_):
    worker.kill()
    worker.wait()
    sys.exit(3)
signal.signal(signal.SIGTERM, leave)
def tell(**event):
    print(json.dumps(dict(v=1, **event)), flush=True)
os.makedirs(os.path.join(out, "checkpoints"), exist_ok=True)
assert os.path.exists(arguments[arguments.index("run") + 1])
tell(event="warning", code="PRACTICE", message="These are nobody's numbers.")
for number in range(20):
    open(os.path.join(out, "checkpoints", f"{{number}}.part"), "w").close()
    tell(event="state", state="ANALYSIS", fraction=number / 20, stage_fraction=0, message="Measuring", elapsed_s=1,
         eta_s=2)
    time.sleep(0.04)
with open(os.path.join(out, "results.json"), "w") as file:
    json.dump({{"schema_version": "1.0"}}, file)
worker.kill()
tell(event="result", path="results.json")
"""
SLOW = any(word in sys.argv for word in ("--slow", "-slow")) or os.environ.get("KNEEPIPELINE_SLOW") == "1"


def process_table() -> dict[int, str]:
    """Command lines of all processes that are no zombies."""
    table = {}
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if state != "Z" and line:
                    table[int(entry.name)] = line
    return table


def descendants_in(folder: Path) -> list[str]:
    """Processes whose environment names the test's home, whoever their parent is by now."""
    found, wanted = [], f"KNEEPIPELINE_HOME={folder}".encode()
    for pid, line in process_table().items():
        with contextlib.suppress(OSError):
            if pid != os.getpid() and wanted in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(line)
    return found


def wait_until(condition, timeout_s: float = 30.0) -> bool:
    """Turn the event loop until it holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        slicer.app.processEvents()
        time.sleep(0.005)
    return True


class JobTest(unittest.TestCase):
    """A home of its own, an image in the scene, and a stand-in for the private Python; or real practice runs."""

    practice = False

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.temporary = self.home / "temporary"
        self.temporary.mkdir()
        self.addCleanup(setattr, slicer.app, "temporaryPath", slicer.app.temporaryPath)
        slicer.app.temporaryPath = str(self.temporary)
        # Slicer's own Python has not what a real run needs: whoever runs these tests names one that has.
        real = os.environ.get("KNEEPIPELINE_PYTHON") or sys.executable
        python = real if self.practice else self.script("python", STAND_IN.format(python=sys.executable))
        variables = {"KNEEPIPELINE_PYTHON": python, "KNEEPIPELINE_HOME": str(self.home),
                     "KNEEPIPELINE_DUMMY": "1", "OMP_NUM_THREADS": "1"}
        patch = mock.patch.dict(os.environ, variables)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(jobs.stop_all)
        self.heard: list[tuple] = []

    def script(self, name: str, text: str) -> str:
        """An executable file."""
        path = self.home / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def image(self):
        """A small volume node without DICOM."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "knee")
        slicer.util.updateVolumeFromArray(node, np.arange(8000, dtype=np.int16).reshape(20, 20, 20))
        return node

    def job(self, factory=QtProcess, importer=None, **fields) -> KneeJob:
        """A job that tells everything to `heard`."""
        request = fields.pop("request", None) or JobRequest(input_node=self.image(), **fields)
        job = KneeJob(request, factory, importer=importer)
        job.on_state = lambda state: self.heard.append(("state", state))
        job.on_progress = lambda *told: self.heard.append(("progress", *told))
        job.on_done = lambda results: self.heard.append(("done", results))
        job.on_failed = lambda *told: self.heard.append(("failed", *told))
        job.on_cancelled = lambda: self.heard.append(("cancelled",))
        job.on_warning = lambda *told: self.heard.append(("warning", *told))
        return job

    def told(self, kind: str) -> list[tuple]:
        """What was told of one kind."""
        return [entry[1:] for entry in self.heard if entry[0] == kind]

    def assert_nothing_is_left(self):
        """No temporary folder, no process."""
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertTrue(wait_until(lambda: not descendants_in(self.home)), descendants_in(self.home))
