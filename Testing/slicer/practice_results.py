"""A results folder of the practice mode for the tests of this folder: every kind of file in a few seconds."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import KneePipelineLib

PATIENCE_S = 300


@cache
def results_folder(side: str = "right") -> Path:
    """Run the practice mode once a process; tests copy what they change.

    Raises
    ------
    unittest.SkipTest
        Where no Python with the pipeline's packages is set up.
    """
    folder = Path(tempfile.mkdtemp(prefix="practice-results-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"KNEEPIPELINE_DUMMY": "1", "PYTHONPATH": str(Path(KneePipelineLib.__file__).parents[1])}
    command = [_python(), "-m", "KneePipelineLib", "run", "practice", str(folder / "run"), "--side", side]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        raise AssertionError(f"the practice run ended with {done.returncode}: {done.stderr[-2000:]}")
    return folder / "run"


def _python() -> str:
    from KneePipelineLib.environment import private_python

    if find_spec("scipy") and find_spec("torch"):
        return sys.executable
    found = private_python()
    if found is None:
        raise unittest.SkipTest("the private environment is not set up here")
    return str(found)
