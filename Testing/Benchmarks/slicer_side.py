"""How long the Slicer side keeps the GUI thread: export of a volume, and a whole job, beside what may block.

    python -m Testing.Benchmarks.slicer_side [--repeats 5] [--no-import]

Starts the Slicer test host (slicer-core), exports a 384 x 384 x 160 image, and runs one practice job from the volume
node to the nodes of its results. Each pass of the event loop is put down to the job's state, and the job's own turns
are timed apart from what else happens in a pass. Beside the time on the clock stands the main thread's own processor
time: on a busy computer the first also counts the waiting for a processor.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SIZE = (160, 384, 384)
COPY_LIMIT_MS, BLOCK_LIMIT_MS, TURN_LIMIT_MS = 150.0, 20.0, 20.0
SLICES = 160
LIMITED = ("exporting after the copy", "running")


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 1 when a limit was passed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-import", action="store_true", help="leave the results out of the scene")
    args = parser.parse_args(arguments)

    from Testing import host

    host.start()
    copies, bases = export_figures(args.repeats)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        blocks = job_figures(Path(home), with_import=not args.no_import)
    print(f"{'what':50} {'clock ms':>9} {'own ms':>9}   limit")
    print(_line("plain copy of the same array (for comparison)", bases, ""))
    print(_line("export: the copy on the main thread", copies, f"{COPY_LIMIT_MS:g}"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        turns = dicom_figures(Path(folder))
    print(_line(f"longest turn while {SLICES} x 2 DICOM files are looked up", turns, f"{TURN_LIMIT_MS:g}"))
    for (state, kind), block in sorted(blocks.items()):
        limit = f"{BLOCK_LIMIT_MS:g}" if state in LIMITED else "(the scene)"
        print(_line(f"longest {kind} while {state}", block, limit))
    worst = max(clock for (state, kind), (clock, _) in blocks.items() if state in LIMITED and kind == "turn")
    return int(copies[0] > COPY_LIMIT_MS or worst > BLOCK_LIMIT_MS or turns[1] > TURN_LIMIT_MS)


def _line(what: str, figures: tuple[float, float], limit: str) -> str:
    return f"{what:50} {figures[0]:9.1f} {figures[1]:9.1f}   {limit}"


class Watch:
    """Clock time and processor time of this thread since it was made, in ms."""

    def __init__(self) -> None:
        self._clock, self._own = time.perf_counter(), time.thread_time()

    def read(self) -> tuple[float, float]:
        """Both."""
        return 1e3 * (time.perf_counter() - self._clock), 1e3 * (time.thread_time() - self._own)


def image_node(name: str = "knee") -> object:
    """A volume node of the usual size."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    array = np.random.default_rng(0).integers(0, 900, SIZE, dtype=np.int16)
    slicer.util.updateVolumeFromArray(node, array)
    node.SetSpacing(0.36, 0.36, 0.7)
    return node


def export_figures(repeats: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Medians of the exporting copy and of a bare NumPy copy, taken in turn."""
    import slicer

    from KneePipelineLib.slicer_side.inputs.volumes import picture_of

    node, copies, bases = image_node(), [], []
    for _ in range(repeats):
        watch = Watch()
        np.array(slicer.util.arrayFromVolume(node))
        bases.append(watch.read())
        watch = Watch()
        picture_of(node)
        copies.append(watch.read())
    slicer.mrmlScene.Clear(0)
    return tuple(np.median(copies, axis=0)), tuple(np.median(bases, axis=0))


def dicom_figures(folder: Path) -> tuple[float, float]:
    """Longest turn of the export of one echo of a qDESS series, in ms, beside a database that is as slow as Slicer's.

    Each of its header values takes 5 ms: Slicer's reads the file and writes its own for every tag that is not cached.
    """
    import slicer

    from KneePipelineLib.phantom import DigitalKnee, Grid, write_dicom
    from KneePipelineLib.slicer_side.inputs import export_inputs
    from KneePipelineLib.slicer_side.job import STEP_BUDGET_S, JobRequest

    database, value = slicer.dicomDatabase, type(slicer.dicomDatabase).fileValue
    files = write_dicom(DigitalKnee(seed=0).qdess(Grid.sagittal((24, 24, SLICES), (6.0, 6.0, 0.7))), folder / "dicom")
    database.addFolder(folder / "dicom")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "echo 1")
    slicer.util.updateVolumeFromArray(node, np.zeros((SLICES, 24, 24), np.int16))
    node.SetAttribute("DICOM.instanceUIDs", " ".join(database.instanceForFile(str(path)) for path in files[0::2]))
    type(database).fileValue = lambda self, path, tag: (time.sleep(0.005), value(self, path, tag))[1]
    (folder / "exports").mkdir()
    longest = (0.0, 0.0)
    try:
        steps, exported = export_inputs(JobRequest(input_node=node), folder / "exports"), None
        while exported is None:  # as a job's turn does
            watch, end = Watch(), time.perf_counter() + STEP_BUDGET_S
            while exported is None and time.perf_counter() < end:
                exported = next(steps)
            longest = tuple(map(max, longest, watch.read()))
    finally:
        type(database).fileValue = value
        database.clear()
        slicer.mrmlScene.Clear(0)
    assert len(list(exported.echoes.iterdir())) == 2 * SLICES
    return longest


def job_figures(home: Path, with_import: bool) -> dict[tuple[str, str], tuple[float, float]]:
    """Longest pass of the event loop and longest turn of the job in each state, in ms; a practice run in `home`."""
    import slicer

    from KneePipelineLib.slicer_side.job import JobRequest, KneeJob

    longest: dict[tuple[str, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    node = image_node()
    importer = None
    if with_import:
        from KneePipelineLib.slicer_side.scene import import_results

        def importer(results: Path, job: KneeJob) -> Iterator[str]:
            return import_results(results, reference=job.request.input_node)

    with _variables(KNEEPIPELINE_HOME=str(home), KNEEPIPELINE_DUMMY="1", OMP_NUM_THREADS="1",
                    KNEEPIPELINE_PYTHON=os.environ.get("KNEEPIPELINE_PYTHON", sys.executable)):
        job = KneeJob(JobRequest(input_node=node), importer=importer)
        copied = [False]

        def stage() -> str:
            if job.state.value != "exporting":
                return job.state.value
            return "exporting after the copy" if copied[0] else "exporting (the copy)"

        inner = job.turn

        def turn() -> None:
            where, watch = stage(), Watch()
            inner()
            longest[where, "turn"] = tuple(map(max, longest[where, "turn"], watch.read()))
            copied[0] = True

        job.turn = turn
        job.start()
        while job.state.active:
            where, watch = stage(), Watch()
            slicer.app.processEvents()
            longest[where, "pass"] = tuple(map(max, longest[where, "pass"], watch.read()))
            time.sleep(0.001)
    if job.error is not None:
        raise SystemExit(f"The job failed: {job.error.message} {job.error.hint}")
    return dict(longest)


@contextlib.contextmanager
def _variables(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
