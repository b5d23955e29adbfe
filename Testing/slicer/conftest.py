"""Starts the Slicer test host for this folder, unless the tests run inside Slicer or the host is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from Testing import host


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> None:
    """Before the first test file of this folder is imported: the files import slicer at their top."""
    if file_path.suffix == ".py" and Path(__file__).parent in file_path.parents and host.available():
        host.start()


collect_ignore_glob = [] if host.available() else ["test_*.py"]


@pytest.fixture(autouse=True)
def engine_is_quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test in which Slicer's engine complains fails: in Slicer the line stands in red in front of a person.

    Those marked with `provoking.provokes_the_engine` fail when it does not.
    """
    host.said_by_engine()
    yield
    said = host.said_by_engine()
    if getattr(request.function, "provokes_the_engine", False):
        assert said, "this test no longer makes Slicer's engine complain; take its mark away"
    else:
        assert not said, f"Slicer's engine complained:\n{said[:4000]}"
