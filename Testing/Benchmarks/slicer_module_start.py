"""How long the module file takes to import beyond what Slicer has loaded already, and how long its panel takes.

Run: ``python -m Testing.Benchmarks.slicer_module_start`` (in the test host; each figure is the least of several
processes, because everything else on the computer can only add to it).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GOAL_S = 0.05

ONE = '''
import json, sys, time
sys.path.insert(0, sys.argv[1])
from Testing import host
host.start()
import slicer, vtk, slicer.i18n, slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper, slicer.util
sys.path.append(sys.argv[1] + "/KneePipeline")
sys.path.remove(sys.argv[1])
before = set(sys.modules)
start, processor = time.perf_counter(), time.process_time()
import KneePipeline
times = {"import_s": time.perf_counter() - start, "import_cpu_s": time.process_time() - processor,
         "modules": len(set(sys.modules) - before)}
slicer.app.moduleManager().load_scripted(__import__("pathlib").Path(KneePipeline.__file__))
start = time.perf_counter()
slicer.util.getModuleWidget("KneePipeline").enter()
times["panel_s"] = time.perf_counter() - start
print("TIMES", json.dumps(times))
'''


def measure(times: int) -> dict[str, float]:
    """The least of each figure over that many processes, in seconds."""
    found = []
    for _ in range(times):
        done = subprocess.run([sys.executable, "-c", ONE, str(REPOSITORY)], capture_output=True, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("TIMES "))
        found.append(json.loads(line[6:]))
    return {key: min(one[key] for one in found) for key in found[0]}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    figures = measure(parser.parse_args().times)
    print(f"import of the module file: {figures['import_s']:.3f} s ({figures['import_cpu_s']:.3f} s of processor; goal "
          f"{GOAL_S} s), {figures['modules']} modules")
    print(f"panel made and shown for the first time: {figures['panel_s']:.2f} s")


if __name__ == "__main__":
    main()
