"""Every test of Testing/slicer once more, on the second version of Slicer's engine, in processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from KneePipelineLib import environment
from Testing.host import second_version

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the second engine is tried on Linux only")


def interpreter() -> Path:
    """The second environment's; made on first use, which downloads about 400 MB from the package index."""
    try:
        return second_version.find() or second_version.make()
    except subprocess.CalledProcessError as error:
        pytest.fail("The second version of Slicer's engine could not be installed (a network is needed, or "
                    f"KNEEPIPELINE_SLICER_NEXT): {error.output.decode(errors='replace')[-2000:]}")


@pytest.mark.parametrize("file", sorted(path.name for path in (REPOSITORY / "Testing" / "slicer").glob("test_*.py")))
def test_every_slicer_test_passes_on_the_second_version(repository: Path, file: str) -> None:
    """Each file in a process of its own, as on the first version; one skipped for want of something fails here."""
    python = interpreter()
    version = subprocess.run(
        [python, "-c", "from importlib.metadata import version; print(version('slicer-core'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert version.stdout.startswith("5.13."), version.stdout
    # The analyses that the tests start run in the environment that runs this test: there is one of those, as in life.
    private = os.environ.get("KNEEPIPELINE_PYTHON") or environment.private_python() or sys.executable
    done = subprocess.run(
        [python, "-m", "pytest", f"Testing/slicer/{file}", "-q", "-p", "no:cacheprovider", "-rs", "--durations=10"],
        cwd=repository, capture_output=True, text=True, timeout=3600,
        env={**os.environ, "KNEEPIPELINE_PYTHON": str(private)},
    )  # fmt: skip
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    skipped = re.findall(r"^SKIPPED .*$", done.stdout, re.MULTILINE)
    assert [line for line in skipped if "private environment" in line or "PySide6" in line] == [], skipped
    assert re.search(r"[1-9]\d* passed", done.stdout), done.stdout
