"""Make KneePipelineLib/morphometry/footprints.npz: the healthy footprints of the two real label maps.

    python Testing/Benchmarks/make_footprints.py [--shared DIR] [--out FILE]

Both maps come with PyPI's mskt 0.1.22 (MIT licence) and lie in ``../shared/data``. Bones are measured as always; only
the part near the joint is kept, thinned out, and with it the distance to the edge of each cartilage plate. The patella
of the DESS knee is left out: its cartilage is worn to the margin, so it shows no healthy footprint.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from KneePipelineLib.imaging import read_labels
from KneePipelineLib.morphometry import KneeMorphometry, MorphometryOptions, canonical_labels, measure_knee
from KneePipelineLib.morphometry.footprint import footprint, in_right_knee
from KneePipelineLib.morphometry.templates import FILE, PLATES, joint_end

MAPS = {"dess": "knee_dess_right_labels.nrrd", "isotropic": "knee_isotropic_labels_source.nrrd"}
WORN = {("dess", "patella")}
VERTICES = {"femur": 5000, "tibia": 3500, "patella": 2500}


def parts_of(result: KneeMorphometry, bone: str) -> dict[str, np.ndarray]:
    """``points``, ``normals`` (n, 3) of the joint end in the right knee's frame, and the depth (n,) by plate."""
    surface, mirrored = result.surfaces[bone], result.side == "left"
    points = in_right_knee(result.frame.to_frame(surface.points), mirrored)
    normals = in_right_knee(surface.normals @ result.frame.axes.T, mirrored)
    covered = np.where(np.isfinite(surface.thickness_mm), surface.region, 0)
    covered = np.where(covered > 10, 4, covered).astype(np.uint8)
    plates = footprint(bone, (points, surface.triangles), normals, surface.vertex_area_mm2, covered,
                       MorphometryOptions().closing_mm, templates=()).plate
    near = joint_end(bone, points[:, 2])
    depths = {str(label): depth_inside(points[near], plates[near] == label) for label in PLATES[bone]}
    return {"points": points[near], "normals": normals[near], **depths}


def depth_inside(points: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Distance (mm) of every point to the nearest one on the other side of the edge; negative outside."""
    from scipy.spatial import cKDTree

    within, beyond = cKDTree(points[inside]), cKDTree(points[~inside])
    return np.where(inside, beyond.query(points)[0], -within.query(points)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    arrays = {}
    for person, name in MAPS.items():
        result = measure_knee(canonical_labels(read_labels(options.shared / "data" / name)))
        for bone in PLATES:
            if (person, bone) in WORN:
                continue
            parts = parts_of(result, bone)
            some = np.random.default_rng(0).permutation(len(parts["points"]))[: VERTICES[bone]]
            for key, values in parts.items():
                kind = np.float32 if key == "points" else np.float16
                arrays[f"{person} {bone} {key}"] = values[np.sort(some)].astype(kind)
    np.savez_compressed(options.out, **arrays)
    print(f"{options.out.name}: {options.out.stat().st_size / 1024:.0f} kB, {len(arrays)} arrays")
    return 0


if __name__ == "__main__":
    sys.exit(main())
