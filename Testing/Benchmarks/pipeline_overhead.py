"""What the orchestrator costs: a whole run against the same stages called one after the other, and a resumed run.

    python Testing/Benchmarks/pipeline_overhead.py [--repeats N] [--coarse]

Each measurement is a process of its own, interpreter start included, in alternating order; the table shows the fastest
of the repeats, because a busy machine only ever adds. Bars: overhead at most 3 % or 0.3 s, resume at most 1.5 s.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
OVERHEAD_PERCENT, OVERHEAD_S, RESUME_S = 3.0, 0.3, 1.5

ORCHESTRATED = """
import json, sys
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline import run_job
sys.exit(run_job(JobOptions.from_dict(json.loads(sys.argv[1]))))
"""

DIRECT = """
import json, sys
from pathlib import Path
from KneePipelineLib.job import JobOptions
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.plan import STEPS
from KneePipelineLib.pipeline.worker import run_body
options = JobOptions.from_dict(json.loads(sys.argv[1]))
root = Path(options.output)
folders, results, outcomes = {}, {}, {}
for step in STEPS:
    reason = step.applies(options, results) or next((f"{n} is missing" for n in step.needs() if n not in folders), "")
    outcomes[step.name] = {"status": "skipped", "reason": reason} if reason else {"status": "done"}
    if reason:
        continue
    out = root if step.publishes else root / step.folder
    out.mkdir(parents=True, exist_ok=True)
    uses = [name for name in step.uses() if name in folders]
    context = StageContext(step.name, options, out, {n: folders[n] for n in uses}, {n: results[n] for n in uses},
                           dict(outcomes))
    results[step.name] = run_body(step.body, context)
    folders[step.name] = out
"""


def make_case(folder: Path, coarse: bool) -> dict:
    """The digital knee as `demo` makes it; the options of a run on it."""
    from KneePipelineLib.demo import write_digital_knee

    image, labels, _ = write_digital_knee(folder / "case", 0, "right", coarse)
    return {"input": str(image), "segmentation": str(labels), "label_scheme": "canonical"}


def timed(program: str, options: dict) -> tuple[float, float]:
    """Wall and CPU seconds of one process and its children, start to end."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", program, json.dumps(options)], env=environment, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu_s


def measure(folder: Path, options: dict, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of every measurement, by kind."""
    seconds: dict[str, list[tuple[float, float]]] = {"direct": [], "orchestrated": [], "resumed": []}
    for _ in range(repeats):
        for kind, program in (("direct", DIRECT), ("orchestrated", ORCHESTRATED)):
            out = folder / kind
            shutil.rmtree(out, ignore_errors=True)
            seconds[kind].append(timed(program, {**options, "output": str(out)}))
        seconds["resumed"].append(timed(ORCHESTRATED, {**options, "output": str(folder / "orchestrated")}))
    return seconds


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--coarse", action="store_true", help="the demo's coarse knee")
    arguments = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY))
    with tempfile.TemporaryDirectory(prefix="overhead_") as temporary:
        folder = Path(temporary)
        os.environ["KNEEPIPELINE_HOME"] = str(folder / "home")
        seconds = measure(folder, make_case(folder, arguments.coarse), arguments.repeats)
    best = {kind: min(wall for wall, _ in values) for kind, values in seconds.items()}
    cpu = {kind: min(cpu for _, cpu in values) for kind, values in seconds.items()}
    overhead_s = best["orchestrated"] - best["direct"]
    percent = 100 * overhead_s / best["direct"]
    for kind, values in seconds.items():
        walls = " ".join(f"{wall:.2f}" for wall, _ in values)
        print(f"{kind:13} best {best[kind]:6.2f} s   CPU {cpu[kind]:6.2f} s   all {walls}")
    print(f"overhead      {overhead_s:6.2f} s = {percent:.1f} %   (bar: {OVERHEAD_PERCENT:g} % or {OVERHEAD_S:g} s);"
          f" CPU {cpu['orchestrated'] - cpu['direct']:.2f} s")
    print(f"resume        {best['resumed']:6.2f} s           (bar: {RESUME_S:g} s)")
    good = (percent <= OVERHEAD_PERCENT or overhead_s <= OVERHEAD_S) and best["resumed"] <= RESUME_S
    print("within the bars" if good else "a bar is MISSED")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
