"""Stands in for the Slicer executable in the tests that CMake registers: the test host, with ``slicer.testing``."""

from __future__ import annotations

import sys
import types
import unittest
from pathlib import Path

# Behind the module paths, so that it is the built package that is tested and not the one in the checkout.
sys.path.append(str(Path(__file__).resolve().parents[3]))
for option, value in zip(sys.argv, sys.argv[1:], strict=False):
    if option in ("--additional-module-path", "--additional-module-paths"):
        sys.path.insert(0, value)


def runUnitTest(path: list[str] | str, testname: str) -> None:
    """Run the tests of one module by its name, found in the folders `path`, and leave with 0 or 1.

    As Slicer's function of this name; a module without any test is a failure here.
    """
    sys.path[:0] = [path] if isinstance(path, str) else path
    suite = unittest.defaultTestLoader.loadTestsFromName(testname)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


def main() -> int:
    """Run the host's command line."""
    import slicer

    from Testing.host.__main__ import main as run_host

    testing = types.ModuleType("slicer.testing")
    testing.runUnitTest = runUnitTest
    sys.modules["slicer.testing"] = slicer.testing = testing
    return run_host()


if __name__ == "__main__":
    sys.exit(main())
