"""One knee through the product's own path: the command `run` in a process of its own, as a person types it.

Figures of accuracy are measured here and nowhere else, so that they are those of what a user gets. What only a program
can give (weights from elsewhere) goes through a configuration file, as it does for users.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from KneePipelineLib.imaging import read_labels, write_volume
from KneePipelineLib.imaging.volume import Volume

REPOSITORY = Path(__file__).resolve().parents[2]
SEGMENTATION = ("image", "review")
"""The steps of `run` that end with labels, cleaned and looked through; without the others it is sooner done."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    folder : Path
    seconds : float
        Wall time of the whole command.
    peak_bytes : int
        Largest summed memory (PSS) of the command's processes; 0 where it was not watched.
    """

    folder: Path
    seconds: float
    peak_bytes: int = 0

    @property
    def results(self) -> dict:
        """results.json."""
        return json.loads((self.folder / "results.json").read_text(encoding="utf-8"))

    @property
    def labels(self) -> Volume:
        """The labels, canonical."""
        return read_labels(self.folder / "knee_all-labels.nrrd")

    def step(self, name: str) -> dict:
        """What pipeline.json tells about a step: ``seconds``, ``peak_memory_mib``."""
        return json.loads((self.folder / "pipeline.json").read_text(encoding="utf-8"))["stage_timings"]["steps"][name]


@contextmanager
def measured(source: Volume | Path, *, model: str = "", weights: Path | None = None, steps: tuple[str, ...] = (),
             options: Mapping[str, object] | None = None, threads: int = 1, watch: bool = False,
             labels: bool = False) -> Iterator[Run]:
    """Run the command on an image (or, with ``labels``, on a label map) in a folder that goes with the context.

    Parameters
    ----------
    source : Volume or Path
        A volume is written as NRRD first.
    model : str
        The network that segments.
    weights : Path or None
        Weights in place of the installed ones.
    steps : tuple of str
        As ``--steps``; empty runs everything.
    options : mapping
        Further keys of the configuration file.
    threads : int
        Cores that the command may use.
    watch : bool
        Whether to sample its memory.
    """
    with tempfile.TemporaryDirectory(prefix="kneepipeline_") as folder:
        root = Path(folder)
        if isinstance(source, Volume):
            write_volume(source, root / ("labels.nrrd" if labels else "image.nrrd"))
            source = root / ("labels.nrrd" if labels else "image.nrrd")
        config = dict(options or {}) | ({"models": {model: str(weights)}} if weights is not None else {})
        (root / "config.json").write_text(json.dumps(config), encoding="utf-8")
        line = [sys.executable, "-m", "KneePipelineLib", "run", str(source), str(root / "out"), "--device", "cpu",
                "--config", str(root / "config.json")]
        line += ["--model", model] if model else []
        line += ["--label-scheme", "canonical"] if labels else []
        line += ["--steps", ",".join(steps)] if steps else []
        yield _run(line, root / "out", threads, watch)


def _run(line: list[str], out: Path, threads: int, watch: bool) -> Run:
    environment = {**os.environ, "KNEEPIPELINE_PYTHON": sys.executable, "OMP_NUM_THREADS": str(threads),
                   "MKL_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    process = subprocess.Popen(line, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    memory = MemoryWatch(process.pid) if watch else None
    said = process.communicate()[1]
    seconds = time.perf_counter() - start
    peak = memory.stop() if memory else 0
    if process.returncode != 0:
        raise SystemExit(f"`run` ended with {process.returncode}:\n{said[-3000:]}")
    return Run(out, seconds, peak)


class MemoryWatch:
    """Peak of the summed PSS of a process and its descendants, sampled twice a second (Linux)."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self.running = pid, 0, True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        import psutil

        root = psutil.Process(self.pid)
        while self.running:
            try:
                family = [root, *root.children(recursive=True)]
            except psutil.Error:
                family = []
            total = 0
            for process in family:
                try:
                    total += process.memory_full_info().pss
                except (psutil.Error, AttributeError):
                    continue
            self.peak = max(self.peak, total)
            time.sleep(0.5)

    def stop(self) -> int:
        """End the watch; the peak in bytes."""
        self.running = False
        self.thread.join()
        return self.peak
