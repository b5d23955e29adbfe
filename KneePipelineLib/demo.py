"""``demo``: make the digital knee, measure it with the whole pipeline, print measured against true."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import EXIT_DONE
from .weights import store

COMPARED = (("mm_mean", "thickness", "mm"), ("VC_mm3", "volume", "mm3"), ("cAB_mm2", "covered area", "mm2"),
            ("t2_ms_mean", "T2", "ms"))
T2_NOTE = """T2 comes from the closed form of Sveinsson et al., which reads the exact steady state of these echoes
1 % high at 25 ms and 4.5 % high at 45 ms (Testing/Benchmarks/relaxometry.py); the rest is partial volume and noise."""


def run_demo(out: Path, seed: int = 0, side: str = "right", coarse: bool = False, own_labels: bool = False) -> int:
    """Segment one digital knee with the bundled network and measure it; returns the exit code of the run.

    Parameters
    ----------
    out : Path
        Folder for the results; the knee itself goes into ``digital_knee/`` below it.
    seed, side : int, str
        Which knee.
    coarse : bool
        Half the resolution in plane: for a quick look, not for numbers.
    own_labels : bool
        Measure the knee's own labels instead of a network's.
    """
    from .job import JobOptions
    from .pipeline import run_job
    from .segmentation.bundled import NOTICE

    print(f"Scanning digital knee {seed} ({side}), a knee whose true measures are known.", flush=True)
    series, labels, truth = write_digital_knee(out / "digital_knee", seed, side, coarse)
    given = {"input": str(series), "output": str(out), "truth": str(truth)}
    if own_labels or store.state("bundled") != store.BUNDLED:
        why = "" if own_labels else "No network is in this build. "
        print(f"{why}This demo measures the digital knee's own labels.", flush=True)
        given |= {"segmentation": str(labels), "label_scheme": "canonical"}
    else:
        print(f"Segmenting it with the {NOTICE}.", flush=True)
        given |= {"segmentation_model": "bundled"}
    code = run_job(JobOptions.from_sources(given))
    if code == EXIT_DONE:
        if "segmentation" not in given:
            print(agreement(out / "knee_all-labels.nrrd", labels))
        print(comparison(json.loads((out / "results.json").read_text(encoding="utf-8"))))
        print(f"\n{T2_NOTE}\n\nReport: {out / 'report.html'}")
    return code


def write_digital_knee(folder: Path, seed: int, side: str, coarse: bool) -> tuple[Path, Path, Path]:
    """Scan one digital knee: a qDESS series as DICOM, its labels and its truth. What is there already is kept.

    Returns
    -------
    tuple of Path
        The DICOM folder, the labels (NRRD, canonical), the truth (JSON: region -> measure -> value).
    """
    from .imaging import write_volume
    from .phantom import DigitalKnee, Grid, write_dicom

    name = f"{side}_{seed}{'_coarse' if coarse else ''}"
    series, labels, truth = folder / f"{name}_qdess", folder / f"{name}_labels.nrrd", folder / f"{name}_truth.json"
    if truth.is_file():  # written last
        return series, labels, truth
    knee = DigitalKnee(seed=seed, side=side)
    grid = Grid.sagittal((192, 192, 100), (0.73, 0.73, 1.1)) if coarse else Grid.sagittal()
    write_dicom(knee.qdess(grid), series, description="qDESS")
    write_volume(knee.labels(grid), labels)
    truth.write_text(json.dumps(knee.truth(), indent=1), encoding="utf-8")
    return series, labels, truth


def agreement(found: Path, true: Path) -> str:
    """How far the network's labels agree with the knee's own: Dice of every structure, as two lines of text."""
    import numpy as np

    from .imaging import read_labels
    from .imaging.labels import BY_VALUE

    ours, theirs = read_labels(found).array, read_labels(true).array
    cells = []
    for value in range(1, 10):
        a, b = ours == value, theirs == value
        dice = 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))
        cells.append(f"{BY_VALUE[value].name} {dice:.2f}")
    return "\nThe network's labels against the knee's own (Dice, 1 is equal):\n" + ", ".join(cells)


def comparison(results: dict) -> str:
    """Measured and true values of every region as a text table, from a results.json that has a truth."""
    lines = [f"\n{'region':18}" + "".join(f"{title + ' (' + unit + ')':>27}" for _, title, unit in COMPARED),
             f"{'':18}" + f"{'measured':>12}{'true':>9}{'diff':>6}" * len(COMPARED)]
    for region, true in results["truth"].items():
        cells = ""
        for measure, _, unit in COMPARED:
            measured, known = results["regions"].get(region, {}).get("measures", {}).get(measure), true.get(measure)
            if measured is None or known is None:
                cells += f"{'-':>12}{'-':>9}{'':>6}"
            elif unit in ("mm", "ms"):
                cells += f"{measured:12.2f}{known:9.2f}{measured - known:+6.2f}"
            else:
                cells += f"{measured:12.0f}{known:9.0f}{100 * (measured / known - 1) if known else 0:+5.1f}%"
        lines.append(f"{region:18}{cells}")
    return "\n".join(lines)
