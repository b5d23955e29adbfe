"""How long results take to arrive in Slicer's scene: ``python Testing/Benchmarks/scene_import.py [RESULTS_FOLDER]``.

Without a folder the digital knee (384 x 384 x 160) is measured first, with its own labels. Prints every step longer
than 50 ms, the sum for labels, seven models, table, chart and details, and the sum for everything the run left
(subregions, cartilage layers, T2 map and shape besides); wall-clock and processor seconds of the main thread.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))
BOUND_S, SHOWN_S = 2.0, 0.05


def main(folder: str | None = None) -> int:
    """Print the figures; 0 when the seven models, labels and tables keep their bound on the main thread."""
    from Testing import host
    from Testing.slicer.screenshots import measure_digital_knee

    with tempfile.TemporaryDirectory() as scratch:
        results = Path(folder) if folder else measure_digital_knee(Path(scratch))
        host.start()
        from KneePipelineLib.slicer_side.scene import ImportOptions

        core = measure(results, ImportOptions(subregions=False, t2=False, shape=False))
        everything = measure(results, ImportOptions())
    print(f"labels, surfaces, 7 models, tables, chart, details: {core[0]:.2f} s, main thread {core[1]:.2f} s of work")
    print(f"everything the run left: {everything[0]:.2f} s, main thread {everything[1]:.2f} s of work")
    return int(core[1] > BOUND_S)


def measure(results: Path, options: object) -> tuple[float, float]:
    """Wall-clock and main-thread seconds of one import into an empty scene."""
    import slicer

    from KneePipelineLib.slicer_side.scene import import_results

    slicer.mrmlScene.Clear(0)
    steps = import_results(results / "results.json", options=options)
    wall, work = time.perf_counter(), time.thread_time()
    begun, used = wall, work
    for sentence in steps:
        now, spent = time.perf_counter(), time.thread_time()
        if spent - used > SHOWN_S:
            print(f"  {sentence}: {now - begun:.3f} s, {spent - used:.3f} s of work")
        begun, used = time.perf_counter(), time.thread_time()
    return time.perf_counter() - wall, time.thread_time() - work


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
