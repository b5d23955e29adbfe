"""Starts the Slicer test host for this folder, unless the tests run inside Slicer or the host is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from Testing import host


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> None:
    """Before the first test file of this folder is imported: the files import slicer at their top."""
    if file_path.suffix == ".py" and Path(__file__).parent in file_path.parents and host.available():
        host.start()


collect_ignore_glob = [] if host.available() else ["test_*.py"]
