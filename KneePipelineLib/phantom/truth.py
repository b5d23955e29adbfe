"""What a perfect measurement of the digital knee would read: regions, areas, volumes, thicknesses.

All integrals run over the exact subchondral surface of :mod:`.surfaces`. Conventions:

- The total bone area (tAB) is what the intact cartilage covers; the denuded area (dAB) is the part of it where a
  full-thickness defect left nothing, and it belongs to the region that its cartilage was cut from.
- A surface point belongs to the femoral subregion in which the middle of its intact cartilage lies (half-way along the
  normal), so a defect moves no border.
- The femoral subregions are those of Eckstein-type analyses as pyMSKT cuts them, in the femur's own frame (shaft up,
  transcondylar axis across), which the digital knee knows exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..imaging import labels as L
from .anatomy import Anatomy
from .grid import AXIAL, Grid
from .render import Frame, paint
from .surfaces import BOXES_MM, TrueSurface, prism_volumes, true_surface
from .tissues import LINEAR_T2, CartilageT2

CARTILAGE_NAMES = {"fem_cart": "femoral", "med_tib_cart": "medial_tibial", "lat_tib_cart": "lateral_tibial",
                   "pat_cart": "patellar"}
LABEL_OF = {"femoral": L.FEMORAL_CARTILAGE, "medial_tibial": L.MEDIAL_TIBIAL_CARTILAGE,
            "lateral_tibial": L.LATERAL_TIBIAL_CARTILAGE, "patellar": L.PATELLAR_CARTILAGE}
STEP_MM, LAYERS = 0.4, 10


@dataclass(frozen=True)
class TrueRegions:
    """The borders of the femoral subregions in the femur's own frame, canonical mm.

    Parameters
    ----------
    notch_x, notch_y : float
        The trochlear notch: the most anterior place between the condyles where the cartilage, flattened along z and
        filled, ends behind.
    posterior_y : float
        60 % of the way from the notch to the most posterior cartilage.
    y : (n,) floats
        Increasing positions from front to back ...
    ceiling_z : (n,) floats
        ... and the height there above which the weight-bearing span counts as posterior.
    """

    notch_x: float
    notch_y: float
    posterior_y: float
    y: np.ndarray
    ceiling_z: np.ndarray

    def classify(self, points: np.ndarray) -> np.ndarray:
        """Labels 11 to 15, shape (n,), of points (n, 3) in the femur's own frame."""
        x, y, z = points.T
        posterior = (y >= self.posterior_y) | (z > np.interp(y, self.y, self.ceiling_z))
        medial = x > self.notch_x
        label = np.where(posterior, np.where(medial, L.MEDIAL_POSTERIOR, L.LATERAL_POSTERIOR),
                         np.where(medial, L.MEDIAL_WEIGHT_BEARING, L.LATERAL_WEIGHT_BEARING))
        return np.where(y < self.notch_y, L.ANTERIOR_FEMORAL, label).astype(np.uint8)


def true_regions(anatomy: Anatomy, layers: list) -> TrueRegions:
    """The subregions' borders from the intact cartilage on a lattice of 0.4 mm in the femur's own frame."""
    from scipy.ndimage import binary_fill_holes

    low, high = (np.array(v, dtype=float) for v in BOXES_MM["femoral"])
    grid = Grid.centred(tuple(np.ceil((high - low) / STEP_MM).astype(int)), (STEP_MM,) * 3, AXIAL,
                        tuple((low + high) / 2))
    label = paint(anatomy, _femur_frame(anatomy), grid, layers, np.zeros(1, np.uint8), dtype=np.uint8)[0]
    cartilage = label == L.FEMORAL_CARTILAGE
    x, y, z = (grid.origin[c] + STEP_MM * np.arange(grid.size[c]) for c in range(3))
    flat = binary_fill_holes(cartilage.any(axis=0))
    between = (np.abs(x) < 12) & flat.any(axis=0)
    last = np.where(between, flat.shape[0] - 1 - np.argmax(flat[::-1], axis=0), flat.shape[0])
    notch = last.min()
    count = cartilage.sum(axis=(0, 2))
    rows = np.flatnonzero(count)
    mean_z = np.einsum("zyx,z->y", cartilage[:, rows], z, dtype=np.float64) / count[rows]
    top = z[np.flatnonzero(cartilage.any(axis=(1, 2)))[-1]] + STEP_MM / 2
    notch_y, back_y = y[notch] + STEP_MM / 2, y[rows[-1]] + STEP_MM / 2
    return TrueRegions(float(x[last == notch].mean()), float(notch_y), float(notch_y + 0.6 * (back_y - notch_y)),
                       y[rows], mean_z + (top - mean_z) / 3)


def _femur_frame(anatomy: Anatomy) -> Frame:
    corner = np.stack(anatomy.from_femur(tuple(np.vstack([np.zeros(3), np.eye(3)]).T)), axis=1)
    return Frame((corner[1:] - corner[0]).T, corner[0], 1.0)


def surface_with_regions(anatomy: Anatomy, cartilage: str, regions: TrueRegions, step_mm: float) -> TrueSurface:
    """The true surface in the canonical frame with its region labels filled in (see the module's conventions)."""
    surface = true_surface(anatomy, cartilage, step_mm)
    if cartilage != "femoral":
        return replace(surface, region=np.full(len(surface.points), LABEL_OF[cartilage], dtype=np.uint8))
    middle = surface.points + 0.5 * surface.intact_mm[:, None] * surface.normals
    own = np.stack(anatomy.to_femur(tuple(middle.T)), axis=1)
    return replace(surface, region=regions.classify(own))


def measures(surface: TrueSurface, chosen: np.ndarray, volume: np.ndarray, scale: float) -> dict[str, float]:
    """The standard measures (Eckstein et al. 2006) of the chosen surface points, in true mm; ``volume`` is theirs.

    ``mm_*`` and ``ThC_cAB_mm`` average over covered bone, ``ThC_tAB_mm`` counts denuded bone as 0; all area-weighted.
    """
    area, covered = (np.where(chosen, a, 0) * scale**2 for a in (surface.area_mm2, surface.covered_mm2))
    thickness = surface.thickness_mm * scale
    total, c_total = area.sum(), min(covered.sum(), area.sum())  # both are read off the lattice's triangles
    bare = total - c_total
    mean = float((covered * thickness).sum() / c_total) if c_total else 0.0
    spread = float(np.sqrt((covered * (thickness - mean) ** 2).sum() / c_total)) if c_total else 0.0
    return {
        "mm_mean": mean, "mm_std": spread, "mm_median": _weighted_median(thickness, covered),
        "VC_mm3": float(volume[chosen].sum() * scale**3), "tAB_mm2": float(total), "cAB_mm2": float(c_total),
        "dAB_mm2": float(bare), "dAB_percent": float(100 * bare / total) if total else 0.0,
        "ThC_tAB_mm": float((covered * thickness).sum() / total) if total else 0.0, "ThC_cAB_mm": mean,
    }


def layer_volumes(surface: TrueSurface) -> np.ndarray:
    """Cartilage volume (mm3) in ten layers of equal relative depth, shared out to the points, shape (10, n)."""
    sweep = surface.thickness_mm / LAYERS
    return np.stack([
        prism_volumes(surface.points + (n * sweep)[:, None] * surface.normals, surface.normals, sweep,
                      surface.triangles) for n in range(LAYERS)])


def t2_measures(volume: np.ndarray, t2: CartilageT2) -> dict[str, float]:
    """Volume-weighted mean T2 (ms), whole and by half of the depth, from the volumes (10,) of the layers."""
    value = t2((np.arange(LAYERS) + 0.5) / LAYERS)
    half = LAYERS // 2
    parts = {"": slice(None), "deep_": slice(0, half), "superficial_": slice(half, None)}
    return {f"{name}t2_ms_mean": float(np.average(value[part], weights=volume[part])) if volume[part].any() else 0.0
            for name, part in parts.items()}


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)]) if cumulative[-1] > 0 else 0.0


def measure_regions(surfaces: dict[str, TrueSurface], scale: float, regions: tuple[str, ...] = L.REGIONS,
                    t2: CartilageT2 = LINEAR_T2) -> dict[str, dict[str, float]]:
    """Region name -> measures, for the regions asked for."""
    volumes = {name: layer_volumes(surface) for name, surface in surfaces.items()}
    table = {}
    for region in regions:
        value = L.BY_NAME[region].value
        cartilage = CARTILAGE_NAMES.get(region, "femoral")
        surface = surfaces[cartilage]
        chosen = np.ones(len(surface.points), bool) if region in CARTILAGE_NAMES else surface.region == value
        volume = volumes[cartilage]
        table[region] = measures(surface, chosen, volume.sum(axis=0), scale)
        table[region] |= t2_measures(volume[:, chosen].sum(axis=1), t2)
    return table
