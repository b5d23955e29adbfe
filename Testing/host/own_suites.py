"""Slicer's own test suites of its Python files, run on the host: ``python -m Testing.host.own_suites TREE [NAME ...]``.

TREE is a source tree of Slicer (see `slicers_files`). Prints one line a suite, and the sum. Each suite runs in a
process of its own, so that one that ends its process does not take the others along.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import unittest
from pathlib import Path

from Testing.host import slicers_files

SUITES = ("test_slicer_parameter_node_wrapper", "test_slicer_parameter_pack", "test_slicer_parameter_node_wrapper_guis",
          "test_slicer_parameter_node_wrapper_gui_creation", "test_slicer_util_VTKObservationMixin",
          "test_slicer_util_getNodes", "test_slicer_util_childWidgetVariables", "test_slicer_util_chdir")


def run_one(tree: Path, name: str) -> tuple[int, int]:
    """How many tests of a suite passed, of how many; what failed is printed."""
    from Testing import host

    host.start(main_window=True)
    path = tree / "Base" / "Python" / "slicer" / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    done = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromModule(module))
    for test, traceback in done.failures + done.errors:
        print(f"    {str(test).split()[0]}: {traceback.strip().splitlines()[-1][:200]}")
    return done.testsRun - len(done.failures) - len(done.errors) - len(done.skipped), done.testsRun


def main(arguments: list[str]) -> int:
    """All suites, or those that are named; 1 when a test failed."""
    tree, names = Path(arguments[0]).resolve(), arguments[1:] or SUITES
    passed = total = 0
    for name in names:
        line = [sys.executable, "-c", f"from Testing.host import own_suites as o; from pathlib import Path; "
                f"p = o.run_one(Path({str(tree)!r}), {name!r}); print('COUNT', *p, flush=True); import os; os._exit(0)"]
        done = subprocess.run(line, capture_output=True, text=True, check=False,
                              env={**os.environ, slicers_files.VARIABLE: str(tree)})
        counts = [text.split()[1:] for text in done.stdout.splitlines() if text.startswith("COUNT")]
        print("".join(f"{text}\n" for text in done.stdout.splitlines() if text.startswith("    ")), end="")
        if not counts:
            print(f"{name}: did not end: {done.stderr.strip().splitlines()[-1:]}")
            total += 1
            continue
        own, of = map(int, counts[0])
        passed, total = passed + own, total + of
        print(f"{name}: {own} of {of}", flush=True)
    print(f"all: {passed} of {total}")
    return int(passed < total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
