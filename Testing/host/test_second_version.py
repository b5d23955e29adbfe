"""Every test of Testing/slicer once more, on the second version of Slicer's engine, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from KneePipelineLib import environment
from Testing.host import second_version

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the second engine is tried on Linux only")


def interpreter() -> Path:
    """The second environment's; made on first use, which downloads about 400 MB from the package index."""
    try:
        return second_version.find() or second_version.make()
    except subprocess.CalledProcessError as error:
        pytest.fail("The second version of Slicer's engine could not be installed (a network is needed, or "
                    f"KNEEPIPELINE_SLICER_NEXT): {error.output.decode(errors='replace')[-2000:]}")


def test_slicer_tests_pass_on_the_second_version(repository: Path) -> None:
    python = interpreter()
    version = subprocess.run(
        [python, "-c", "from importlib.metadata import version; print(version('slicer-core'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert version.stdout.startswith("5.13."), version.stdout
    # The analyses that the tests start run in the environment that runs this test: there is one of those, as in life.
    private = os.environ.get("KNEEPIPELINE_PYTHON") or environment.private_python() or sys.executable
    done = subprocess.run(
        [python, "-m", "pytest", "Testing/slicer", "-q", "-p", "no:cacheprovider", "-rs"],
        cwd=repository, capture_output=True, text=True, timeout=3600,
        env={**os.environ, "KNEEPIPELINE_PYTHON": str(private)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 40
    skipped = re.findall(r"^SKIPPED .*$", done.stdout, re.MULTILINE)
    assert [line for line in skipped if "private environment" in line or "PySide6" in line] == [], skipped
