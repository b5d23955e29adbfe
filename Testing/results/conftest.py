"""A knee of simple shapes whose every number is known, for tests of what is written about a knee."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from KneePipelineLib.imaging.labels import (
    BY_NAME,
    FEMORAL_CARTILAGE,
    LATERAL_MENISCUS,
    LATERAL_TIBIAL_CARTILAGE,
    MEDIAL_MENISCUS,
    MEDIAL_TIBIAL_CARTILAGE,
    PATELLAR_CARTILAGE,
    REGIONS,
)
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.morphometry import MEASURES, BoneSurface

pytest.register_assert_rewrite("Testing.results.dicom_seg_case")

# LPS mm: where the bones are and how large (ellipsoids); the patella lies in front (small y).
BALLS = {
    "femur": ((0, 0, 28), (30, 26, 24)), "tibia": ((0, 0, -26), (30, 22, 22)), "patella": ((0, -40, 26), (14, 8, 15)),
}


def sphere(rows: int = 40, columns: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere: points and outward, counter-clockwise triangles."""
    polar, azimuth = np.linspace(0, np.pi, rows + 1)[1:-1], (np.arange(columns) + 0.5) * 2 * np.pi / columns
    ring = np.stack([np.outer(np.sin(polar), np.cos(azimuth)), np.outer(np.sin(polar), np.sin(azimuth)),
                     np.outer(np.cos(polar), np.ones(columns))], -1).reshape(-1, 3)
    points = np.vstack([ring, [[0, 0, 1]], [[0, 0, -1]]])
    top, bottom = len(points) - 2, len(points) - 1
    triangles = []
    for c in range(columns):
        d = (c + 1) % columns
        triangles += [(top, c, d), (bottom, (rows - 2) * columns + d, (rows - 2) * columns + c)]
        for r in range(rows - 2):
            a, b, e, f = r * columns + c, r * columns + d, (r + 1) * columns + c, (r + 1) * columns + d
            triangles += [(a, e, f), (a, f, b)]
    return points, np.array(triangles, np.int32)


def bone_surface(bone: str, side: str) -> BoneSurface:
    """An ellipsoid with cartilage where this bone has it, 1 mm thick medially and 3 mm laterally, and one bare spot."""
    unit, triangles = sphere()
    centre, radii = BALLS[bone]
    points = (unit * radii + centre).astype(np.float32)
    normals = unit / np.array(radii)
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    medial = unit[:, 0] > 0 if side == "right" else unit[:, 0] < 0
    covered = {"femur": unit[:, 2] < -0.4, "tibia": unit[:, 2] > 0.6, "patella": unit[:, 1] > 0.3}[bone]
    region = {
        "femur": np.where(unit[:, 1] < -0.5, 11, np.where(medial, 12, 13)),
        "tibia": np.where(medial, MEDIAL_TIBIAL_CARTILAGE, LATERAL_TIBIAL_CARTILAGE),
        "patella": np.full(len(unit), PATELLAR_CARTILAGE),
    }[bone]
    total = np.where(covered, region, 0).astype(np.uint8)
    bare = (np.linalg.norm(unit - [0.4, 0, 0.9], axis=1) < 0.2) if bone == "tibia" else np.zeros(len(unit), bool)
    thickness = np.where(covered & ~bare, np.where(medial, 1.0, 3.0), np.nan).astype(np.float32)
    region = np.where(np.isfinite(thickness), region, 0).astype(np.uint8)
    area = np.full(len(points), 2.0, np.float32)
    field = np.nan_to_num(thickness)
    return BoneSurface(bone, points, triangles, normals, area, thickness, field, region, region, total, total,
                       np.zeros_like(total))


def label_volume(side: str, orientation: str = "PIR") -> Volume:
    """The same knee as voxels of 0.8 x 0.8 x 1.5 mm."""
    spacing = np.array([1.5, 0.8, 0.8])
    size = (60, 110, 140)
    volume = Volume(np.zeros(size[::-1], np.uint8), spacing, (-44.0, -56.0, -55.0))
    k, j, i = np.indices(size[::-1])
    x, y, z = np.moveaxis(volume.to_physical(np.stack([i, j, k], -1)), -1, 0)
    medial = x > 0 if side == "right" else x < 0

    def inside(bone: str, grow: float) -> np.ndarray:
        (cx, cy, cz), (rx, ry, rz) = BALLS[bone]
        return ((x - cx) / (rx + grow)) ** 2 + ((y - cy) / (ry + grow)) ** 2 + ((z - cz) / (rz + grow)) ** 2 <= 1

    array = volume.array.copy()
    array[(np.abs(z) < 3) & (np.abs(x) > 14) & (np.abs(x) < 28) & (np.abs(y) < 20)] = LATERAL_MENISCUS
    array[(array > 0) & medial] = MEDIAL_MENISCUS
    array[inside("femur", 3) & (z < 18)] = FEMORAL_CARTILAGE
    array[inside("tibia", 3) & (z > -12)] = LATERAL_TIBIAL_CARTILAGE
    array[(array == LATERAL_TIBIAL_CARTILAGE) & medial] = MEDIAL_TIBIAL_CARTILAGE
    array[inside("patella", 3) & (y > -38)] = PATELLAR_CARTILAGE
    for bone in BALLS:
        array[inside(bone, 0)] = BY_NAME[bone].value
    return volume.with_array(array).reoriented(orientation)


def divided(labels: Volume) -> Volume:
    """Label 4 split into 11 (in front), 12 and 13 by the regions of `bone_surface`."""
    k, j, i = np.nonzero(labels.array == FEMORAL_CARTILAGE)
    points = labels.to_physical(np.stack([i, j, k], -1))
    array = labels.array.copy()
    array[k, j, i] = np.where(points[:, 1] < -13, 11, np.where(points[:, 0] > 0, 12, 13))
    return labels.with_array(array)


def make_knee(side: str) -> SimpleNamespace:
    """What the morphometry room would hand over."""
    labels = label_volume(side)
    surfaces = {bone: bone_surface(bone, side) for bone in BALLS}
    regions = {
        region: {measure: 1.0 + number + 0.01 * place for place, measure in enumerate(MEASURES)}
        for number, region in enumerate(REGIONS[:4] + REGIONS[6:])
    }
    for region in regions.values():
        region["mm_mean"] = 2.25
        region["dAB_percent"] = 1.5
    menisci = {"med_meniscus": {"volume_mm3": 2400.4, "extrusion_mm": 1.95, "coverage_percent": 47.0},
               "lat_meniscus": {"volume_mm3": 2100.0, "extrusion_mm": float("nan"), "coverage_percent": 58.5}}
    unit, triangles = sphere(8, 12)
    return SimpleNamespace(
        side=side, labels=labels, subregions=divided(labels), surfaces=surfaces, regions=regions, menisci=menisci,
        depth=labels.with_array(np.where(labels.array == 4, 104, 0).astype(np.uint8)),
        raw_femur=(unit.astype(np.float32), triangles),
        cartilage_surfaces={("tibia", 0): (unit.astype(np.float32), triangles), ("tibia", 1): (unit, triangles)},
        warnings=[("SHORT_SHAFT", "The femur shows 60 mm of bone; 68 mm are usual.")],
    )


@pytest.fixture(scope="session")
def right_knee() -> SimpleNamespace:
    return make_knee("right")


@pytest.fixture(scope="session")
def left_knee() -> SimpleNamespace:
    return make_knee("left")
