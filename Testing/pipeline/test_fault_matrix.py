"""Every row of the fault matrix (Testing/Benchmarks/fault_matrix.py): the fast ones always, the others with --slow."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its faults are made the POSIX way")

if sys.platform.startswith("linux"):
    _FILE = Path(__file__).resolve().parents[1] / "Benchmarks" / "fault_matrix.py"
    _SPEC = importlib.util.spec_from_file_location("fault_matrix", _FILE)
    fault_matrix = importlib.util.module_from_spec(_SPEC)
    sys.modules["fault_matrix"] = fault_matrix
    _SPEC.loader.exec_module(fault_matrix)
    ROWS = fault_matrix.rows()
else:
    ROWS = {}


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The case and the undisturbed run."""
    made = fault_matrix.Bench(tmp_path_factory.mktemp("fault_matrix"))
    made.prepare()
    return made


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if fast else pytest.mark.slow)
                                  for name, (_, fast) in ROWS.items()])
def test_row(bench: object, name: str) -> None:
    outcome = fault_matrix.run_row(bench, name, ROWS[name][0])
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.problems == []
