"""T2 of every cartilage region, through its full depth and in its deep and superficial layers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import InvalidFormatError
from ..imaging import Volume
from ..imaging.labels import (
    BY_NAME,
    DEEP_OFFSET,
    FEMORAL_CARTILAGE,
    REGIONS,
    SUBREGIONS,
    SUPERFICIAL_OFFSET,
)
from .mapping import STATUS_WORDS, Status
from .placing import GRID_TOLERANCE_MM

DEPTHS = ("all", "deep", "superficial")
STATISTICS = ("mean", "std", "median")
_FEMORAL = (FEMORAL_CARTILAGE, *(s.value for s in SUBREGIONS))
_LAYERS = {"deep": DEEP_OFFSET, "superficial": SUPERFICIAL_OFFSET}


def measure_name(depth: str, statistic: str) -> str:
    """``t2_ms_mean``, ``deep_t2_ms_mean``, ...: the column suffix after the region's name."""
    return f"t2_ms_{statistic}" if depth == "all" else f"{depth}_t2_ms_{statistic}"


def region_values(region: str) -> tuple[int, ...]:
    """The labels of a region: the whole femoral cartilage is the sum of its subregions."""
    return _FEMORAL if region == "fem_cart" else (BY_NAME[region].value,)


def regional_t2(t2_ms: Volume, status: Volume, subregions: Volume, depth: Volume | None = None) -> dict[str, dict]:
    """Mean, standard deviation and median of T2 in every region that the label map holds.

    Parameters
    ----------
    t2_ms, status : Volume
        From a :class:`~.mapping.T2Map` placed on the grid of the labels.
    subregions : Volume
        Canonical labels with 11 to 15 (or 4).
    depth : Volume, optional
        Region + 100 in the deep half, + 200 in the superficial half. Without it only the full depth is measured.

    Returns
    -------
    dict of region to {"measures": {...}, "counts": {depth: {...}}}
        Measures are named by :func:`measure_name`, in ms, NaN where no voxel counts; the standard deviation is that of
        the voxels (divisor n). Counts give ``n`` voxels that count, ``excluded`` ones, and those by reason
        (`STATUS_WORDS`).

    Raises
    ------
    InvalidFormatError
        If the grids differ.
    """
    for other in (status, subregions, *(() if depth is None else (depth,))):
        if not t2_ms.same_grid(other, GRID_TOLERANCE_MM):
            raise InvalidFormatError("The T2 map and the labels lie on different grids.", "Run again with --restart.")
    labels = np.asarray(subregions.array)
    cartilage = np.isin(labels, [v for region in REGIONS for v in region_values(region)])
    values, reasons, where = t2_ms.array[cartilage].astype(np.float64), status.array[cartilage], labels[cartilage]
    layer = None if depth is None else depth.array[cartilage]
    found = {}
    for region in REGIONS:
        inside = np.isin(where, region_values(region))
        if not inside.any():
            continue
        entry: dict = {"measures": {}, "counts": {}}
        for name in DEPTHS if layer is not None else DEPTHS[:1]:
            offset = _LAYERS.get(name)
            chosen = inside if offset is None else inside & (layer // 100 == offset // 100)
            measures, counts = _statistics(values[chosen], reasons[chosen])
            entry["measures"].update({measure_name(name, key): value for key, value in measures.items()})
            entry["counts"][name] = counts
        found[region] = entry
    return found


def _statistics(t2_ms: np.ndarray, reasons: np.ndarray) -> tuple[dict[str, float], dict[str, int]]:
    counted = t2_ms[reasons == Status.MEASURED]
    functions: Mapping[str, object] = {"mean": np.mean, "std": np.std, "median": np.median}
    measures = {name: float(functions[name](counted)) if counted.size else float("nan") for name in STATISTICS}
    tally = np.bincount(reasons, minlength=len(Status))
    by_reason = {words: int(tally[reason]) for reason, words in STATUS_WORDS.items()}
    return measures, {"n": int(counted.size), "excluded": int(reasons.size - counted.size), **by_reason}
