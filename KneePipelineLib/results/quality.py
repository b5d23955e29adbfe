"""Whether a knee's numbers are plausible: rules that ask a person to look, never a diagnosis.

The limits are wide on purpose: they are meant to catch a segmentation that failed, not a knee that is ill. Thickness:
published regional means of healthy and osteoarthritic knees lie between about 1 and 4 mm (Eckstein et al.,
Osteoarthritis Cartilage 2006;14:974-983, and the cohorts that followed it).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..imaging.labels import BY_NAME, BY_VALUE, CARTILAGES, REGIONS
from ..imaging.volume import Volume
from .tables import number
from .wording import title_of

THICKNESS_LIMITS_MM = (0.8, 5.0)
DENUDED_LIMIT_PERCENT = 10.0
FEWEST_VERTICES = 50
T2_EXCLUDED_LIMIT_PERCENT = 20.0
CHECKS = {
    "REGION_MISSING": "a region that a complete knee has is not there",
    "THICKNESS_RANGE": "mean thickness outside the plausible range",
    "DENUDED_BONE": "much bare bone: a defect, or cartilage the segmentation missed",
    "FEW_POINTS": "so few surface points that the means say little",
    "T2_EXCLUDED": "many voxels of a region have no usable T2",
    "CARTILAGE_AT_BORDER": "cartilage touches the edge of the image, so part of it may be cut off",
    "SIDE_DISAGREES": "another source of the side says otherwise",
}
_ORDER = ("ok", "check", "poor")


def worst(flags: list[str]) -> str:
    """The worst of several flags (``missing`` counts as ``poor``); ``ok`` when there are none."""
    ranks = [_ORDER.index("poor" if flag == "missing" else flag) for flag in flags]
    return _ORDER[max(ranks, default=0)]


def check_regions(
    regions: Mapping[str, Mapping[str, float]], counts: Mapping[str, Mapping[str, int]] | None = None
) -> list[dict]:
    """The rules on regional measures; one entry for each rule a region breaks, in the schema's form."""
    found = []
    for region in REGIONS:
        measures = regions.get(region)
        mean = number((measures or {}).get("mm_mean"))
        if measures is None or mean is None:
            found.append(_check("REGION_MISSING", "missing", region, f"{title_of(region)}: no cartilage was measured."))
            continue
        low, high = THICKNESS_LIMITS_MM
        if not low <= mean <= high:
            found.append(_check(
                "THICKNESS_RANGE", "poor", region,
                f"{title_of(region)}: a mean thickness of {mean:.2f} mm is outside {low:g} to {high:g} mm.",
                value=mean, unit="mm", limits=[low, high]))
        denuded = number(measures.get("dAB_percent"))
        if denuded is not None and denuded > DENUDED_LIMIT_PERCENT:
            found.append(_check(
                "DENUDED_BONE", "check", region,
                f"{title_of(region)}: {denuded:.0f} % of the bone is bare; a defect, or missed by the segmentation.",
                value=denuded, unit="%", limits=[None, DENUDED_LIMIT_PERCENT]))
        vertices = (counts or {}).get(region, {}).get("vertices_field")
        if vertices is not None and vertices < FEWEST_VERTICES:
            found.append(_check(
                "FEW_POINTS", "check", region, f"{title_of(region)}: only {vertices} surface points were measured.",
                value=vertices, unit="", limits=[FEWEST_VERTICES, None]))
    return found


def check_t2(counts: Mapping[str, Mapping[str, int]]) -> list[dict]:
    """One entry for each region in which T2 could not be used in many voxels."""
    found = []
    for region, numbers in counts.items():
        counted, excluded = numbers.get("t2_voxels", 0), numbers.get("t2_excluded", 0)
        share = 100 * excluded / max(counted + excluded, 1)
        if share > T2_EXCLUDED_LIMIT_PERCENT:
            found.append(_check(
                "T2_EXCLUDED", "check", region,
                f"{title_of(region)}: {share:.0f} % of the voxels have no usable T2; the rest may not stand for all.",
                value=round(share, 3), unit="%", limits=[None, T2_EXCLUDED_LIMIT_PERCENT]))
    return found


def check_border(labels: Volume) -> list[dict]:
    """One entry for each cartilage with voxels on a face of the grid (bones are always cut)."""
    array = np.asarray(labels.array)
    faces = [array.take(index, axis) for axis in range(3) for index in (0, -1)]
    touching = np.unique(np.concatenate([np.unique(face) for face in faces]))
    return [
        _check("CARTILAGE_AT_BORDER", "check", BY_VALUE[value].name,
               f"{BY_VALUE[value].title} reaches the edge of the image; part of it may be cut off.")
        for value in CARTILAGES if value in touching
    ]


def check_side(side: str, others: Mapping[str, str]) -> list[dict]:
    """One entry for each other source (``header``, ``option``, ...) that names another side."""
    return [
        _check("SIDE_DISAGREES", "poor", None, f"The labels show a {side} knee, but the {source} says {other}.")
        for source, other in others.items() if other in ("right", "left") and other != side
    ]


def _check(code: str, flag: str, subject: str | None, message: str, **more: object) -> dict:
    entry = {"code": code, "flag": flag, "message": message, **more}
    if subject is not None:
        entry["subject"] = BY_NAME[subject].name
    return entry
