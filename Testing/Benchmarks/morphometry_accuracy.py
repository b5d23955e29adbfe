"""How near the measures come to the truth, on digital knees whose every thickness, area and volume is known.

    python Testing/Benchmarks/morphometry_accuracy.py [--seeds N] [--first SEED]

Each seed is another individual, right and left in turn, drawn at 0.36 x 0.36 x 0.7 mm on 384 x 384 x 160 voxels; a
second drawing has a full-thickness defect of known area in each of three cartilages. Each drawing goes through the
command `run`, and its results.json and surfaces are what is compared (`product`). Exits with 1 when a bound is missed:

- regional mean thickness (ThC_cAB, and the field's mm_mean): mean error over the seeds at most 0.05 mm in every region;
- thickness at each covered vertex: mean absolute error at most 0.10 mm in every cartilage;
- volume and areas (VC, tAB, cAB): over the seeds, at most 3 % in every region;
- denuded area of the defects: over the seeds, at most 5 % in every cartilage.

Volumes and areas are held to both readings of a bound, the signed mean, which lets errors of two knees cancel, and the
stricter mean absolute error; the largest error of a single knee, and which one it is, stands beside them.

A second table compares the real knee of ``../shared``, when it is there, with pyMSKT's own numbers: every regional
mean within 0.10 mm, Dice of each femoral subregion at least 0.90. Worn knees follow: see morphometry_wear.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import product  # it also makes the package importable

from KneePipelineLib.imaging import read_labels
from KneePipelineLib.imaging.labels import BY_VALUE, REGIONS
from KneePipelineLib.phantom import Defect, DigitalKnee, Grid
from Testing.Benchmarks import morphometry_wear as wear

BOUNDS = {"ThC_cAB_mm": 0.05, "mm_mean": 0.05, "VC_mm3": 3.0, "tAB_mm2": 3.0, "cAB_mm2": 3.0}
VERTEX_BOUND_MM, DEFECT_BOUND_PERCENT = 0.10, 5.0
CARTILAGES = {"fem_cart": ("femur", range(11, 16)), "med_tib_cart": ("tibia", (5,)), "lat_tib_cart": ("tibia", (6,)),
              "pat_cart": ("patella", (7,))}
DEFECTS = (Defect("femoral", (21, -12), 6.0), Defect("medial_tibial", (20, 0), 5.0), Defect("patellar", (8, 0), 4.5))
PYMSKT_BOUND_MM, DICE_BOUND = 0.10, 0.90
SUBREGION_LABELS = range(11, 16)
THREADS = os.cpu_count() or 1
DEFECT_REGIONS = ("fem_cart", "med_tib_cart", "pat_cart")


Measures = dict[str, dict[str, float]]


def measures_of(run: product.Run) -> Measures:
    """Region -> measure -> value, from results.json."""
    return {region: entry["measures"] for region, entry in run.results["regions"].items()}


def regional_errors(found: Measures, truth: Measures) -> Measures:
    """Region -> measure -> error, in mm for thickness and in per cent for the rest."""
    return {region: {name: found[region][name] - truth[region][name] if name.endswith("_mm") or name == "mm_mean"
                     else 100 * (found[region][name] / truth[region][name] - 1) for name in BOUNDS}
            for region in REGIONS}


def vertex_errors(run: product.Run, knee: DigitalKnee) -> dict[str, float]:
    """Cartilage -> area-weighted mean absolute error of the thickness at the surfaces' covered vertices, mm."""
    surfaces = {bone: surface_of(run.folder / f"{bone}_mesh.vtk") for bone, _ in CARTILAGES.values()}
    errors = {}
    for cartilage, (bone, labels) in CARTILAGES.items():
        points, thickness, region, area = surfaces[bone]
        covered = np.isin(region, list(labels)) & np.isfinite(thickness)
        true = knee.true_thickness(points[covered].astype(float), cartilage)
        errors[cartilage] = float(np.average(np.abs(thickness[covered] - true), weights=area[covered]))
    return errors


def surface_of(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points (n, 3) in LPS mm, thickness in mm, region, and the area in mm2 that belongs to each vertex."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOLegacy import vtkPolyDataReader

    reader = vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.ReadAllScalarsOn()
    reader.Update()
    mesh = reader.GetOutput()
    points = vtk_to_numpy(mesh.GetPoints().GetData())
    triangles = vtk_to_numpy(mesh.GetPolys().GetData()).reshape(-1, 4)[:, 1:]
    a, b, c = (points[triangles[:, corner]].astype(float) for corner in range(3))
    shares = np.repeat(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6, 3)
    arrays = mesh.GetPointData()
    return (points, vtk_to_numpy(arrays.GetArray("thickness (mm)")), vtk_to_numpy(arrays.GetArray("region")),
            np.bincount(triangles.ravel(), shares, len(points)))


def defect_errors(knee: DigitalKnee) -> dict[str, float]:
    """Cartilage -> error of the denuded area, per cent."""
    hurt = knee.with_defects(*DEFECTS)
    truth = hurt.truth()
    with product.measured(hurt.labels(), labels=True, threads=THREADS) as run:
        found = measures_of(run)
    return {region: 100 * (found[region]["dAB_mm2"] / truth[region]["dAB_mm2"] - 1) for region in DEFECT_REGIONS}


def line(name: str, values: list[float], bound: float, unit: str, first: int, *, strict: bool = False) -> bool:
    """Print mean, mean absolute and worst error beside the bound; whether the mean (strict: both) keeps it."""
    mean, absolute, worst = float(np.mean(values)), float(np.mean(np.abs(values))), int(np.argmax(np.abs(values)))
    missed = [what for what, value, counts in (("mean", abs(mean), True), ("mean absolute", absolute, strict))
              if counts and not value <= bound]
    print(f"  {name:<20} mean {mean:+7.3f}  absolute {absolute:6.3f} {unit:<3} worst {values[worst]:+7.3f} "
          f"(seed {first + worst})  bound {bound:g} {'MISSED by the ' + ' and the '.join(missed) if missed else ''}")
    return not missed


def against_pymskt(shared: Path) -> bool:
    """Print the real knee beside pyMSKT's numbers; whether every region and subregion agrees."""
    folder = shared / "reference" / "pymskt_knee_dess_right"
    reference = json.loads((folder / "sag_thickness_results.json").read_text(encoding="utf-8"))
    with product.measured(shared / "data" / "knee_dess_right_labels.nrrd", threads=THREADS) as run:
        regions, subregions = measures_of(run), read_labels(run.folder / "knee_subregions-labels.nrrd")
    theirs = read_labels(folder / "sag_subregions-labels.nrrd").array
    met = True
    print("Real knee: regional mean thickness, mm\n  region                    ours  pyMSKT  difference")
    for column, value in reference.items():
        if column.endswith("_mm_mean"):
            region = column.removesuffix("_mm_mean")
            ours = regions[region]["mm_mean"]
            kept = abs(ours - value) <= PYMSKT_BOUND_MM
            met &= kept
            print(f"  {region:<22}{ours:8.3f}{value:8.3f}{ours - value:+12.3f}   bound {PYMSKT_BOUND_MM:g} "
                  f"{'' if kept else 'MISSED'}")
    print("Real knee: Dice of the subregions")
    for label in SUBREGION_LABELS:
        a, b = subregions.array == label, theirs == label
        dice = 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
        kept = bool(dice >= DICE_BOUND)
        met &= kept
        print(f"  {BY_VALUE[label].name:<22}{dice:8.3f}   bound {DICE_BOUND:g} {'' if kept else 'MISSED'}")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared")
    options = parser.parse_args()
    regional, vertex, defects, bare = [], [], [], []
    for seed in range(options.first, options.first + options.seeds):
        knee = DigitalKnee(seed, "right" if seed % 2 == 0 else "left")
        with product.measured(knee.labels(), labels=True, threads=THREADS) as run:
            found = measures_of(run)
            vertex.append(vertex_errors(run, knee))
        regional.append(regional_errors(found, knee.truth()))
        bare.append(found["fem_cart"]["dAB_mm2"])
        defects.append(defect_errors(knee))
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    met = True
    for name, bound in BOUNDS.items():
        unit = "mm" if bound < 1 else "%"
        print(f"{name}: error, {unit}")
        for region in REGIONS:
            met &= line(region, [errors[region][name] for errors in regional], bound, unit, options.first,
                        strict=unit == "%")
    print("Thickness at covered vertices: mean absolute error, mm")
    for cartilage in CARTILAGES:
        met &= line(cartilage, [errors[cartilage] for errors in vertex], VERTEX_BOUND_MM, "mm", options.first)
    print("Denuded area of the defects: error, %")
    for region in DEFECT_REGIONS:
        met &= line(region, [errors[region] for errors in defects], DEFECT_BOUND_PERCENT, "%", options.first,
                    strict=True)
    print(f"Denuded area found on intact femurs: {np.mean(bare):.1f} mm2 on average, {max(bare):.1f} at most")
    if (options.shared / "reference" / "pymskt_knee_dess_right").is_dir():
        met &= against_pymskt(options.shared)
    else:
        print("Real knee: left out, its data is not beside the checkout.")
    print("Wear: denuded area and thickness over tAB")
    met &= wear.report([wear.wear_errors(seed, Grid.sagittal())
                        for seed in range(options.first, options.first + options.seeds)])
    if (options.shared / "data").is_dir():
        wear.real_footprints(options.shared)
    print("All bounds met." if met else "A bound was MISSED.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
