"""The `test` command: pytest over the clone's tests, Slicer's engine with a process of its own for each file.

Slicer's engine is made for one application that starts once. What one test file leaves behind in it, scenes and modules
and singletons of C++, is no matter for the next.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OK, FAILED, USAGE_ERROR, NOTHING_COLLECTED = 0, 1, 4, 5
"""Pytest's exit codes."""
ENGINE_TESTS = "slicer"


def run_tests(testing: Path, arguments: Sequence[str] = ()) -> int:
    """Run the tests and return pytest's exit code: of the first part that failed, when there is more than one.

    Parameters
    ----------
    testing : Path
        The folder of tests; `ENGINE_TESTS` in it holds the files that get processes of their own.
    arguments : sequence of str
        For pytest. Where they name files or folders, only those are run, in one process.
    """
    if any(_names_tests(a, testing.parent) for a in arguments):
        return _pytest(testing, arguments)
    engine = testing / ENGINE_TESTS
    parts = [[str(testing), f"--ignore={engine}"], *([str(file)] for file in sorted(engine.glob("test_*.py")))]
    codes = {}
    for part in parts:
        name = Path(part[0]).relative_to(testing.parent).as_posix()
        codes[name] = _pytest(testing, [*arguments, *part])
        if codes[name] == USAGE_ERROR:  # the arguments are wrong: the next part would only say so again
            return USAGE_ERROR
    failed = {name: code for name, code in codes.items() if code not in (OK, NOTHING_COLLECTED)}
    print(f"\n{len(codes)} processes of tests; failed: {', '.join(failed) or 'none'}")
    if failed:
        code = next(iter(failed.values()))
        return code if code > 0 else FAILED  # a process that a signal ended has a negative one
    return OK if OK in codes.values() else NOTHING_COLLECTED


def _names_tests(argument: str, folder: Path) -> bool:
    return not argument.startswith("-") and (folder / argument.partition("::")[0]).exists()


def _pytest(testing: Path, arguments: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=testing.parent, check=False).returncode
