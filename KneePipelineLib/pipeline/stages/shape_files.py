"""The files that the fits of the shape model become, and what the report draws of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ... import results
from ...imaging.labels import BY_NAME
from ...results import Output, ShapePicture
from ..context import StageContext
from ..files import read_json, write_json
from .shape import NAMES

ORIGINAL_FILES = {"femur": "femur_mesh_NSM_orig.vtk", "fem_cart": "fem_cart_mesh_NSM_orig.vtk"}
PREFIXES = {"bone_and_cart": "NSM_recon_", "bone_only": "NSM_bone_only_recon_"}
DISTANCE_ARRAY = "distance to original (mm)"


def write_files(context: StageContext, out: Path) -> list[Output]:
    """Write the files of every fit, with its score where there is one; returns their listing."""
    outputs: list[Output] = []
    fits = read_json(context.path("shape", "shape.json"))["fits"]
    scored = read_json(context.path("score", "bscore.json")) if context.has("score") else {}
    with np.load(context.path("shape", "shapes.npz"), allow_pickle=False) as archive:
        for kind, parameters in fits.items():
            for name in NAMES:
                for which, file, title in _files_of(kind, name):
                    key = f"{kind}/{which}/{name}"
                    if f"{key}/points" in archive.files and file not in {output.path for output in outputs}:
                        arrays = {}
                        if f"{key}/distance_mm" in archive.files:
                            arrays[DISTANCE_ARRAY] = archive[f"{key}/distance_mm"]
                        results.write_vtk(out / file, archive[f"{key}/points"], archive[f"{key}/triangles"], arrays)
                        outputs.append(Output("shape_surface", file, "model", title, structure=name,
                                              color=BY_NAME[name].color, units="mm",
                                              scalars=DISTANCE_ARRAY if arrays else None))
            name = f"{PREFIXES[kind]}params.json"
            write_json(out / name, {**parameters, "Bscore": scored.get(kind)})
            outputs.append(Output("shape_record", name, "record", "Shape model fit"))
    if scored:
        write_json(out / "bscore_results.json", scored)
        outputs.append(Output("score_record", "bscore_results.json", "record", "BScore"))
    return outputs


def read_shapes(context: StageContext) -> list[ShapePicture]:
    """What the report draws of every fit."""
    fits = read_json(context.path("shape", "shape.json"))["fits"]
    found = []
    with np.load(context.path("shape", "shapes.npz"), allow_pickle=False) as archive:
        for kind in fits:
            for name in NAMES:
                key = f"{kind}/recon/{name}"
                if f"{key}/points" in archive.files:
                    original = f"{kind}/original/{name}"
                    found.append(ShapePicture(
                        kind, name, archive[f"{key}/points"], archive[f"{key}/triangles"],
                        archive[f"{key}/distance_mm"],
                        (archive[f"{original}/points"], archive[f"{original}/triangles"])))
    return found


def _files_of(kind: str, name: str) -> list[tuple[str, str, str]]:
    """(original or reconstruction, file name, title) of a structure of a fit."""
    title = BY_NAME[name].title
    more = ", bone only" if kind == "bone_only" else ""
    return [("original", ORIGINAL_FILES[name], f"{title} as fitted"),
            ("recon", f"{PREFIXES[kind]}{name}_mesh.vtk", f"{title} reconstructed{more}")]
