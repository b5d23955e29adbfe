"""How near the measures come to the truth, on digital knees whose every thickness, area and volume is known.

    python Testing/Benchmarks/morphometry_accuracy.py [--seeds N] [--first SEED]

Each seed is another individual, right and left in turn, drawn at 0.36 x 0.36 x 0.7 mm on 384 x 384 x 160 voxels; a
second drawing has a full-thickness defect of known area in each of three cartilages. Exits with 1 when a bound is
missed:

- regional mean thickness (ThC_cAB, and the field's mm_mean): mean error over the seeds at most 0.05 mm in every region;
- thickness at each covered vertex: mean absolute error at most 0.10 mm in every cartilage;
- volume and areas (VC, tAB, cAB): mean error over the seeds at most 3 % in every region;
- denuded area of the defects: mean error over the seeds at most 5 % in every cartilage.

The largest error of a single knee is printed beside each mean.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from KneePipelineLib.imaging.labels import REGIONS
from KneePipelineLib.morphometry import KneeMorphometry, measure_knee
from KneePipelineLib.phantom import Defect, DigitalKnee

BOUNDS = {"ThC_cAB_mm": 0.05, "mm_mean": 0.05, "VC_mm3": 3.0, "tAB_mm2": 3.0, "cAB_mm2": 3.0}
VERTEX_BOUND_MM, DEFECT_BOUND_PERCENT = 0.10, 5.0
CARTILAGES = {"fem_cart": ("femur", range(11, 16)), "med_tib_cart": ("tibia", (5,)), "lat_tib_cart": ("tibia", (6,)),
              "pat_cart": ("patella", (7,))}
DEFECTS = (Defect("femoral", (21, -12), 6.0), Defect("medial_tibial", (20, 0), 5.0), Defect("patellar", (8, 0), 4.5))
DEFECT_REGIONS = ("fem_cart", "med_tib_cart", "pat_cart")


def regional_errors(result: KneeMorphometry, truth: dict) -> dict[str, dict[str, float]]:
    """Region -> measure -> error, in mm for thickness and in per cent for the rest."""
    table = {}
    for region in REGIONS:
        found, true = result.regions[region], truth[region]
        table[region] = {name: found[name] - true[name] if name.endswith("_mm") or name == "mm_mean"
                         else 100 * (found[name] / true[name] - 1) for name in BOUNDS}
    return table


def vertex_errors(result: KneeMorphometry, knee: DigitalKnee) -> dict[str, float]:
    """Cartilage -> area-weighted mean absolute error of the thickness at its covered vertices, mm."""
    errors = {}
    for cartilage, (bone, labels) in CARTILAGES.items():
        surface = result.surfaces[bone]
        covered = np.isin(surface.region, list(labels))
        true = knee.true_thickness(surface.points[covered].astype(float), cartilage)
        errors[cartilage] = float(np.average(np.abs(surface.thickness_mm[covered] - true),
                                             weights=surface.vertex_area_mm2[covered]))
    return errors


def defect_errors(knee: DigitalKnee) -> dict[str, float]:
    """Cartilage -> error of the denuded area, per cent."""
    hurt = knee.with_defects(*DEFECTS)
    result, truth = measure_knee(hurt.labels()), hurt.truth()
    return {region: 100 * (result.regions[region]["dAB_mm2"] / truth[region]["dAB_mm2"] - 1)
            for region in DEFECT_REGIONS}


def line(name: str, values: list[float], bound: float, unit: str) -> bool:
    """Print the mean and the largest of some errors beside the bound of the mean; whether it is kept."""
    mean, worst = float(np.mean(values)), max(values, key=abs)
    met = abs(mean) <= bound
    print(f"  {name:<34}{mean:+8.3f} {unit:<3} worst knee {worst:+8.3f}   bound {bound:g} {'' if met else 'MISSED'}")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    regional, vertex, defects, bare = [], [], [], []
    for seed in range(options.first, options.first + options.seeds):
        knee = DigitalKnee(seed, "right" if seed % 2 == 0 else "left")
        result = measure_knee(knee.labels())
        regional.append(regional_errors(result, knee.truth()))
        vertex.append(vertex_errors(result, knee))
        bare.append(result.regions["fem_cart"]["dAB_mm2"])
        defects.append(defect_errors(knee))
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    met = True
    for name, bound in BOUNDS.items():
        unit = "mm" if bound < 1 else "%"
        print(f"{name}: error, {unit}")
        for region in REGIONS:
            met &= line(region, [errors[region][name] for errors in regional], bound, unit)
    print("Thickness at covered vertices: mean absolute error, mm")
    for cartilage in CARTILAGES:
        met &= line(cartilage, [errors[cartilage] for errors in vertex], VERTEX_BOUND_MM, "mm")
    print("Denuded area of the defects: error, %")
    for region in DEFECT_REGIONS:
        met &= line(region, [errors[region] for errors in defects], DEFECT_BOUND_PERCENT, "%")
    print(f"Denuded area found on intact femurs: {np.mean(bare):.1f} mm2 on average, {max(bare):.1f} at most")
    print("All bounds met." if met else "A bound was MISSED.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
