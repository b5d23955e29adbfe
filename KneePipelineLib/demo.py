"""``demo``: make the digital knee, measure it with the whole pipeline, print measured against true."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import EXIT_DONE

COMPARED = (("mm_mean", "thickness", "mm"), ("VC_mm3", "volume", "mm3"), ("cAB_mm2", "covered area", "mm2"),
            ("t2_ms_mean", "T2", "ms"))
T2_NOTE = """T2 comes from the closed form of Sveinsson et al., which reads the exact steady state of these echoes
1 % high at 25 ms and 4.5 % high at 45 ms (Testing/Benchmarks/relaxometry.py); the rest is partial volume and noise."""


def run_demo(out: Path, seed: int = 0, side: str = "right", coarse: bool = False) -> int:
    """Measure one digital knee; returns the exit code of the run.

    Parameters
    ----------
    out : Path
        Folder for the results; the knee itself goes into ``digital_knee/`` below it.
    seed, side : int, str
        Which knee.
    coarse : bool
        Half the resolution in plane: for a quick look, not for numbers.
    """
    from .job import JobOptions
    from .pipeline import run_job

    print(f"Scanning digital knee {seed} ({side}), a knee whose true measures are known.", flush=True)
    series, labels, truth = write_digital_knee(out / "digital_knee", seed, side, coarse)
    print("No network is bundled yet: this demo measures the digital knee's own labels.", flush=True)
    options = JobOptions.from_sources({"input": str(series), "output": str(out), "segmentation": str(labels),
                                       "label_scheme": "canonical", "truth": str(truth)})
    code = run_job(options)
    if code == EXIT_DONE:
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
