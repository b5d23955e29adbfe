"""Every test of Testing/slicer once more, on the second version of Slicer's engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from Testing.host import second_version


@pytest.mark.slow
def test_slicer_tests_pass_on_the_second_version(repository: Path) -> None:
    python = second_version.find() or second_version.make()
    version = subprocess.run(
        [python, "-c", "from importlib.metadata import version; print(version('slicer-core'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert version.stdout.startswith("5.13."), version.stdout
    done = subprocess.run(
        [python, "-m", "pytest", "Testing/slicer", "-q", "-p", "no:cacheprovider"],
        cwd=repository, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed.group(1)) >= 40
