"""How near denuded area and thickness over the total area come to the truth on worn knees.

    python Testing/Benchmarks/morphometry_wear.py [--seeds N] [--first SEED] [--coarse] [--shared DIR]

Each seed is another individual, right and left in turn, measured whole and with full-thickness wear of four kinds, each
of several sizes at several places of every plate at once: open to the outer margin, open to another margin, enclosed,
and whole plates. What `run` calls to measure (`measure_knee`'s two stages) is what is measured here. Exits with 1 when
a bound is missed:

- denuded area (dAB, % of tAB) of worn regions: mean absolute error at most 3 points for each kind;
- thickness over tAB there: mean absolute error at most 0.08 mm;
- intact knees: at most 0.5 % denuded in every region;
- subregions of the intact knee: ThC_tAB against the exact thickness of the same bone, mean absolute error at most
  0.06 mm over the sixteen.

A last table carries the footprint of one real label map to the other and the reverse: area by plate.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from KneePipelineLib.imaging import read_labels
from KneePipelineLib.imaging.labels import BY_NAME, BY_VALUE, FINE_NAMES
from KneePipelineLib.morphometry import KneeMorphometry, canonical_labels, measure_knee
from KneePipelineLib.morphometry.footprint import footprint, in_right_knee
from KneePipelineLib.morphometry.templates import PLATES, shipped_templates
from KneePipelineLib.phantom import Defect, DigitalKnee, Grid

DAB_POINTS, THC_MM, INTACT_PERCENT, SUBREGION_MM = 3.0, 0.08, 0.5, 0.06
LEAST_PERCENT = 2.0
"""Regions that a defect only grazes are not read."""

KINDS = {
    "outer margin": lambda n: (
        Defect("medial_tibial", (28 + n % 3, 3 - 3 * (n % 3)), 8.0 + 2.0 * (n % 4)),
        Defect("lateral_tibial", (-31 + n % 2, 4 - 2 * (n % 3)), 8.0 + 2.0 * (n % 3)),
        Defect("femoral", (31, -14 + 5 * (n % 3)), 8.0 + 1.5 * (n % 4)), Defect("patellar", (-15, 2), 7.0 + n % 3)),
    "other margins": lambda n: (
        Defect("medial_tibial", (21 + n % 4, (17, -17)[n % 2]), 8.0 + n % 4),
        Defect("lateral_tibial", (-21 - n % 3, 18), 7.0 + n % 4),
        Defect("femoral", (-31, -10 + 5 * (n % 3)), 8.0 + n % 4), Defect("patellar", (4, (-10, 14)[n % 2]), 7.0)),
    "enclosed": lambda n: (
        Defect("medial_tibial", (20 + n % 3, 0), 5.0 + n % 4), Defect("lateral_tibial", (-20 - n % 3, 2), 5.0 + n % 4),
        Defect("femoral", (21, -10), 5.0 + n % 4), Defect("patellar", (6, 2), 4.0 + n % 3)),
    "whole plate": lambda n: (Defect.whole(("medial_tibial", "lateral_tibial")[n % 2]),
                              Defect("femoral", ((21, -21)[n % 2], -8), 16.0)),
}


def subregion_errors(result: KneeMorphometry, knee: DigitalKnee) -> dict[str, float]:
    """Subregion -> ThC_tAB less the exact thickness averaged over the same bone, mm."""
    errors = {}
    for bone, cartilages in (("femur", ("fem_cart",)), ("tibia", ("med_tib_cart", "lat_tib_cart"))):
        surface = result.surfaces[bone]
        for cartilage in cartilages:
            ours = [n for n in FINE_NAMES if n[-2:] == {"med_tib_cart": "MT", "lat_tib_cart": "LT"}.get(cartilage)
                    or (bone == "femur" and n[-1] == "F" and n[1] == "c")]
            chosen = np.isin(surface.subregion, [BY_NAME[n].value for n in ours])
            exact = np.zeros(len(chosen))
            exact[chosen] = knee.true_thickness(surface.points[chosen].astype(float), cartilage)
            for name in ours:
                part = surface.subregion == BY_NAME[name].value
                errors[name] = result.fine[name]["ThC_tAB_mm"] - float(np.average(
                    exact[part], weights=surface.vertex_area_mm2[part]))
    return errors


def wear_errors(seed: int, grid: Grid) -> tuple[dict[str, list[tuple]], dict[str, float], dict[str, float]]:
    """Kind -> (region, error of dAB in points, of ThC_tAB in mm, true dAB); region -> dAB % of the intact knee;
    subregion -> error of ThC_tAB there."""
    knee = DigitalKnee(seed, "right" if seed % 2 == 0 else "left")
    whole = measure_knee(knee.labels(grid))
    intact = {region: m["dAB_percent"] for region, m in whole.regions.items()}
    parts = subregion_errors(whole, knee)
    errors = {}
    for kind, defects in KINDS.items():
        hurt = knee.with_defects(*defects(seed))
        found, truth = measure_knee(hurt.labels(grid)).regions, hurt.truth(1.0)
        errors[kind] = [(region, found[region]["dAB_percent"] - true["dAB_percent"],
                         found[region]["ThC_tAB_mm"] - true["ThC_tAB_mm"], true["dAB_percent"])
                        for region, true in truth.items() if true["dAB_percent"] > LEAST_PERCENT]
    return errors, intact, parts


def report(results: list[tuple[dict, dict, dict]]) -> bool:
    """Print every kind's errors beside the bounds; whether all are met."""
    met = True
    for kind in KINDS:
        rows = [row for errors, _, _ in results for row in errors[kind]]
        dab, thc = (np.array([row[i] for row in rows]) for i in (1, 2))
        kept = np.abs(dab).mean() <= DAB_POINTS and np.abs(thc).mean() <= THC_MM
        met &= bool(kept)
        worst = rows[int(np.abs(dab).argmax())]
        print(f"  {kind:<14} n {len(rows):3d}  dAB: mean absolute {np.abs(dab).mean():5.2f} points, mean "
              f"{dab.mean():+5.2f}, worst {worst[1]:+6.2f} of {worst[3]:.0f} % ({worst[0]});  ThC_tAB: mean absolute "
              f"{np.abs(thc).mean():.3f} mm, mean {thc.mean():+.3f}  {'' if kept else 'MISSED'}")
    intact = [(percent, region) for _, whole, _ in results for region, percent in whole.items()]
    kept = max(intact)[0] <= INTACT_PERCENT
    print(f"  intact         n {len(intact):3d}  dAB: mean {np.mean([p for p, _ in intact]):.2f} %, largest "
          f"{max(intact)[0]:.2f} % ({max(intact)[1]})  {'' if kept else 'MISSED'}")
    met &= bool(kept)
    parts = {name: np.array([errors[name] for _, _, errors in results]) for name in results[0][2]}
    absolute = {name: float(np.abs(errors).mean()) for name, errors in parts.items()}
    mean, worst_part = float(np.mean(list(absolute.values()))), max(absolute, key=absolute.get)
    kept = mean <= SUBREGION_MM
    print(f"  subregions     n {len(parts):3d}  ThC_tAB: mean absolute {mean:.3f} mm, worst {worst_part} "
          f"{absolute[worst_part]:.3f} mm (mean {parts[worst_part].mean():+.3f})  {'' if kept else 'MISSED'}")
    return met and bool(kept)


def real_footprints(shared: Path) -> None:
    """Print the area of each plate that the other person's footprint alone predicts, beside the area covered."""
    names = ("knee_dess_right_labels", "knee_isotropic_labels_source")
    print("Footprint of one real knee on the other: predicted / covered mm2, and denuded % that this would print")
    for number, name in enumerate(names):
        result = measure_knee(canonical_labels(read_labels(shared / "data" / f"{name}.nrrd")))
        for bone in ("femur", "tibia"):
            surface, mirrored = result.surfaces[bone], result.side == "left"
            covered = np.where(np.isfinite(surface.thickness_mm), surface.region, 0)
            covered = np.where(covered > 10, 4, covered).astype(np.uint8)
            mesh = in_right_knee(result.frame.to_frame(surface.points), mirrored), surface.triangles
            normals = in_right_knee(surface.normals @ result.frame.axes.T, mirrored)
            other = shipped_templates(bone)[1 - number : 2 - number]
            area = surface.vertex_area_mm2.astype(float)
            for plate in PLATES[bone]:
                rest = np.where(covered == plate, 0, covered).astype(np.uint8)
                alone = footprint(bone, mesh, normals, area, rest, 0.0, templates=other).plate == plate
                both = footprint(bone, mesh, normals, area, covered, 1.0, templates=other).plate == plate
                own = area[covered == plate].sum()
                print(f"  {name:<30} {BY_VALUE[plate].name:<14} {area[alone].sum():6.0f} / {own:6.0f} = "
                      f"{area[alone].sum() / own:.3f}   {100 * (1 - own / area[both].sum()):5.1f} %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--coarse", action="store_true", help="0.66 x 0.66 x 1.05 mm instead of 0.36 x 0.36 x 0.7 mm")
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared")
    options = parser.parse_args()
    grid = Grid.sagittal((210, 210, 105), (0.66, 0.66, 1.05)) if options.coarse else Grid.sagittal()
    results = []
    for seed in range(options.first, options.first + options.seeds):
        results.append(wear_errors(seed, grid))
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    print("Wear: denuded area and thickness over tAB")
    met = report(results)
    if (options.shared / "data").is_dir():
        real_footprints(options.shared)
    print("All bounds met." if met else "A bound was MISSED.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
