"""The sixteen subregions of tibia and weight-bearing femur, the halves of trochlea and patella.

After Wirth and Eckstein (IEEE Trans Med Imaging 2008;27:737-744) and Eckstein et al. (Osteoarthritis Cartilage
2006;14:974-983), all on the footprint (tAB), so that wear moves none:

- Tibia: central is the ellipse around the plate's centre that holds 20 % of its area; what is left parts at the
  diagonals of the plate into external (away from the middle of the knee), internal, anterior and posterior. The axes
  are the tibia's own: across is the line through both plates' centres, up the plates' mean normal.
- Weight-bearing femur: central, external and internal thirds of the plate's width across the knee.
- Trochlea: medial and lateral of the notch. Patella: medial and lateral of the ridge, the most posterior line of the
  bone under the cartilage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..imaging.labels import (
    ANTERIOR_FEMORAL,
    BY_NAME,
    LATERAL_TIBIAL_CARTILAGE,
    LATERAL_WEIGHT_BEARING,
    MEDIAL_TIBIAL_CARTILAGE,
    MEDIAL_WEIGHT_BEARING,
    PATELLAR_CARTILAGE,
)
from .records import AnatomicalFrame, BoneSurface

CENTRAL_SHARE = 0.2
WIDTH_TAIL = 0.005
"""A plate's width is taken between these quantiles of its area, so that no single vertex moves a border."""

RIDGE_BIN_MM = 2.0
_TIBIAL = {MEDIAL_TIBIAL_CARTILAGE: "MT", LATERAL_TIBIAL_CARTILAGE: "LT"}
_FEMORAL = {MEDIAL_WEIGHT_BEARING: "MF", LATERAL_WEIGHT_BEARING: "LF"}


@dataclass(frozen=True, eq=False)
class PlateAxes:
    """A tibial plate: centre and unit vectors (LPS), their spreads (mm), and the radius of the central ellipse."""

    centre: np.ndarray
    medial: np.ndarray
    posterior: np.ndarray
    spread_mm: np.ndarray
    radius: float

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """(n, 2): towards medial and posterior, in units of the plate's spread."""
        return (points - self.centre) @ np.stack([self.medial, self.posterior]).T / self.spread_mm


@dataclass(frozen=True, eq=False)
class FineBorders:
    """The borders of all fine regions; what a knee does not have is missing.

    Attributes
    ----------
    frame : AnatomicalFrame
    plates : dict
        Tibial cartilage -> PlateAxes.
    thirds_mm : dict
        Weight-bearing region -> the two borders across the knee, towards medial.
    notch_mm, ridge_mm : float or None
        Where the trochlea and the patella part, towards medial.
    """

    frame: AnatomicalFrame
    plates: dict[int, PlateAxes] = field(default_factory=dict)
    thirds_mm: dict[int, tuple[float, float]] = field(default_factory=dict)
    notch_mm: float | None = None
    ridge_mm: float | None = None

    def classify(self, points: np.ndarray, base: np.ndarray) -> np.ndarray:
        """The fine region's label, (n,) uint8, of points (n, 3) in LPS mm whose region (5 to 7, 11 to 15) is known."""
        fine = np.zeros(len(points), np.uint8)
        for label, axes in self.plates.items():
            here = base == label
            fine[here] = _tibial(axes, points[here], _TIBIAL[label])
        across = (points - self.frame.origin) @ self.frame.medial
        for label, (low, high) in self.thirds_mm.items():
            here = base == label
            outwards = 1 if label == MEDIAL_WEIGHT_BEARING else -1
            part = np.where(across < low, -1, np.where(across > high, 1, 0)) * outwards
            names = np.array([_value("i", label), _value("c", label), _value("e", label)], np.uint8)
            fine[here] = names[part[here] + 1]
        for label, border, names in ((ANTERIOR_FEMORAL, self.notch_mm, ("mTrF", "lTrF")),
                                     (PATELLAR_CARTILAGE, self.ridge_mm, ("mP", "lP"))):
            if border is not None:
                here = base == label
                fine[here] = np.where(across[here] >= border, BY_NAME[names[0]].value, BY_NAME[names[1]].value)
        return fine


def fine_borders(
    surfaces: Mapping[str, BoneSurface], frame: AnatomicalFrame, notch_left_mm: float | None
) -> FineBorders:
    """Find the borders on the total areas of the measured surfaces.

    Parameters
    ----------
    surfaces : mapping of str to BoneSurface
        With ``total_region``.
    frame : AnatomicalFrame
    notch_left_mm : float or None
        The trochlear notch in the frame, towards the left.
    """
    sign = 1.0 if frame.side == "right" else -1.0
    femur, patella = surfaces.get("femur"), surfaces.get("patella")
    thirds = {label: _thirds(femur, frame, label) for label in _FEMORAL
              if femur is not None and (femur.total_region == label).any()}
    return FineBorders(frame, _plate_axes(surfaces["tibia"], frame) if "tibia" in surfaces else {}, thirds,
                       None if notch_left_mm is None else sign * notch_left_mm,
                       None if patella is None else _ridge(patella, frame))


def _tibial(axes: PlateAxes, points: np.ndarray, plate: str) -> np.ndarray:
    u, v = axes.coordinates(points).T
    outwards = u if plate == "MT" else -u
    sideways = np.where(outwards > 0, BY_NAME[f"e{plate}"].value, BY_NAME[f"i{plate}"].value)
    lengthways = np.where(v > 0, BY_NAME[f"p{plate}"].value, BY_NAME[f"a{plate}"].value)
    outer = np.where(np.abs(u) > np.abs(v), sideways, lengthways)
    return np.where(u * u + v * v <= axes.radius**2, BY_NAME[f"c{plate}"].value, outer).astype(np.uint8)


def _value(part: str, label: int) -> int:
    return BY_NAME[f"{part}c{_FEMORAL[label]}"].value


def _plate_axes(tibia: BoneSurface, frame: AnatomicalFrame) -> dict[int, PlateAxes]:
    chosen = {label: tibia.total_region == label for label in _TIBIAL if (tibia.total_region == label).any()}
    if not chosen:
        return {}
    area = tibia.vertex_area_mm2.astype(np.float64)
    points = tibia.points.astype(np.float64)
    either = np.logical_or.reduce(list(chosen.values()))
    up = _unit((tibia.normals[either] * area[either, None]).sum(axis=0))
    centres = {label: np.average(points[c], axis=0, weights=area[c]) for label, c in chosen.items()}
    medial = frame.medial
    if len(centres) == 2:
        medial = centres[MEDIAL_TIBIAL_CARTILAGE] - centres[LATERAL_TIBIAL_CARTILAGE]
    medial = _unit(medial - (medial @ up) * up)
    posterior = np.cross(up, medial) * (1.0 if frame.side == "right" else -1.0)
    plates = {}
    for label, centre in centres.items():
        offset = (points[chosen[label]] - centre) @ np.stack([medial, posterior]).T
        weights = area[chosen[label]]
        spread = np.sqrt(np.maximum(np.average(offset**2, axis=0, weights=weights), 1e-6))
        radius = np.sqrt(_quantile(((offset / spread) ** 2).sum(axis=1), weights, CENTRAL_SHARE))
        plates[label] = PlateAxes(centre, medial, posterior, spread, float(radius))
    return plates


def _thirds(femur: BoneSurface, frame: AnatomicalFrame, label: int) -> tuple[float, float]:
    chosen = femur.total_region == label
    across = (femur.points[chosen] - frame.origin) @ frame.medial
    low, high = (_quantile(across, femur.vertex_area_mm2[chosen], q) for q in (WIDTH_TAIL, 1 - WIDTH_TAIL))
    return low + (high - low) / 3, low + 2 * (high - low) / 3


def _ridge(patella: BoneSurface, frame: AnatomicalFrame) -> float | None:
    """Where the patella's ridge lies, towards medial: the median over heights of its most posterior place."""
    chosen = patella.total_region == PATELLAR_CARTILAGE
    if not chosen.any():
        return None
    left, posterior, superior = frame.to_frame(patella.points[chosen]).T
    across = left if frame.side == "right" else -left
    low, high = np.quantile(superior, [0.2, 0.8])
    places = [across[here][posterior[here].argmax()] for start in np.arange(low, high, RIDGE_BIN_MM)
              if (here := (superior >= start) & (superior < start + RIDGE_BIN_MM)).any()]
    return float(np.median(places)) if places else float(np.median(across))


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The value below which a share of the weight lies."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order], dtype=np.float64)
    return float(np.interp(share * cumulative[-1], cumulative - weights[order] / 2, values[order]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
