"""ANALYSIS of the echoes: the T2 map in the space of the labels, and T2 by region.

The layers of the cartilage are found by the thickness branch, which runs beside this one; FUSION joins the two.
"""

from __future__ import annotations

import numpy as np

from ...imaging import Volume, read_image, read_labels, write_volume
from ...imaging.labels import REGIONS
from ...relaxometry import Status, T2Map, T2Options, make_t2_map, place, region_values, regional_t2
from ..context import StageContext
from ..files import read_json, write_json
from . import handover

MOST_OUTSIDE = 0.05
"""Share of the cartilage outside the echoes' field of view that a person should know of."""


def t2_map(context: StageContext) -> dict:
    """Leave the map (``t2map.nrrd``), the status of its voxels, and T2 by region (``t2.json``).

    Returns
    -------
    dict
        ``sequence`` and ``t2_method``.
    """
    context.progress(0.05, "Reading the echoes")
    files = sorted(context.folders["echoes"].glob("echo_*.nrrd"), key=lambda path: int(path.stem.split("_")[1]))
    options = T2Options(fit=context.options.t2_fit, skip_first_echo=context.options.t2_skip_first_echo)
    context.progress(0.3, "Computing T2")
    t2 = make_t2_map([read_image(path) for path in files], options)
    regions: dict[str, dict] = {}
    if context.has("surfaces"):
        context.progress(0.6, "Placing the T2 map on the labels")
        subregions = read_labels(context.path("surfaces", "subregions.nrrd"))
        t2 = place(t2, subregions)
        _check_view(context, t2, subregions)
        regions = regional_t2(t2.t2_ms, t2.status, subregions)
    for code, message in t2.warnings:
        context.warn(code, message)
    context.progress(0.8, "Keeping the T2 map")
    write_volume(t2.t2_ms, context.out / "t2map.nrrd")
    write_volume(t2.status, context.out / "t2status.nrrd")
    write_json(context.out / "t2.json", handover.finite({
        **t2.facts(), "regions": {name: entry["measures"] for name, entry in regions.items()},
        "counts": {name: entry["counts"] for name, entry in regions.items()}}))
    return {"sequence": t2.sequence.name, "t2_method": t2.method}


def with_layers(context: StageContext) -> dict:
    """The T2 step's ``t2.json``, its regions divided into layers where the thickness step found them."""
    found = read_json(context.path("t2", "t2.json"))
    if not (context.has("thickness") and (context.folders["t2"] / "t2status.nrrd").is_file()):
        return found
    depth = read_labels(context.path("thickness", "depth.nrrd"))
    layers = regional_t2(read_image(context.path("t2", "t2map.nrrd"), allow_nan=True),
                         read_labels(context.path("t2", "t2status.nrrd")), depth.with_array(depth.array % 100), depth)
    for region, entry in layers.items():
        # The full depth was measured on the labels themselves; a voxel without a layer still belongs to it.
        if region in found["regions"]:
            found["regions"][region] = {**entry["measures"], **found["regions"][region]}
            found["counts"][region] = {**entry["counts"], **found["counts"][region]}
    return handover.finite(found)


def _check_view(context: StageContext, t2: T2Map, subregions: Volume) -> None:
    """Warn when the echoes show only part of the cartilage."""
    cartilage = np.isin(subregions.array, [value for region in REGIONS for value in region_values(region)])
    outside = np.count_nonzero(t2.status.array[cartilage] == Status.OUTSIDE)
    share = outside / max(np.count_nonzero(cartilage), 1)
    if share > MOST_OUTSIDE:
        context.warn("T2_FIELD_OF_VIEW", f"{100 * share:.0f} % of the cartilage lies outside the field of view of "
                     "the echoes; regional T2 stands for the rest.")
