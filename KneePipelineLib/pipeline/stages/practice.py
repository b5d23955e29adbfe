"""Practice mode: every step of a run with the digital knee in place of a patient's, in a second or two.

For learning, for tests of user interfaces and for demonstrations. The labels are the digital knee's truth on a coarse
grid; T2, shape and score are made up. Every file that is written says so (see `practice_marks`).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ... import results
from ...imaging import Volume, read_labels, write_volume
from ...imaging.labels import BY_NAME, REGIONS
from ...phantom import DigitalKnee, Grid
from ...results import Output
from ..context import StageContext
from ..files import read_json, write_json
from . import analysis, formatting, handover, practice_marks
from . import fusion as fusion_stage

SPACING_MM = 2.0
DEEP_T2_MS, SUPERFICIAL_T2_MS = 32.0, 46.0
LATENT_LENGTH = 16
PRACTICE = {"practice": True}
FEMORAL = ("fem_cart", "ant_fem_cart", "med_wb_fem_cart", "lat_wb_fem_cart", "med_post_fem_cart", "lat_post_fem_cart")

review = analysis.review
surfaces = analysis.surfaces
thickness = analysis.thickness
table = fusion_stage.join


def _grid() -> Grid:
    return Grid.isotropic(SPACING_MM)


def _labels(context: StageContext) -> Volume:
    return _labels_of("right" if context.options.side == "auto" else context.options.side)


@cache
def _labels_of(side: str) -> Volume:
    """The knee of one side; image and segmentation both ask for it, mostly in the same worker."""
    return DigitalKnee(seed=0, side=side, variation=0.0).labels(_grid())


def input(context: StageContext) -> dict:
    """Nothing of INPUT is looked at."""
    context.warn("PRACTICE", "Practice mode: these are the digital knee's numbers, not those of the input.")
    grid = _grid()
    return {"kind": "image", "dicom": False, "echo_count": 2, "format": "digital knee", "size": list(grid.size),
            "spacing_mm": list(grid.spacing), **PRACTICE}


def image(context: StageContext) -> dict:
    """A picture of the labels: one grey for each structure, some noise."""
    labels = _labels(context)
    greys = np.zeros(11)
    greys[:] = [60, 150, 150, 150, 320, 320, 320, 320, 40, 40, 150]
    noise = np.random.default_rng(context.options.seed).normal(0, 12, labels.array.shape)
    picture = np.clip(greys[labels.array] + noise, 0, None).astype(np.int16)
    write_volume(labels.with_array(picture), context.out / "image.nrrd")
    return dict(PRACTICE)


def echoes(context: StageContext) -> dict:
    """Two echoes of one value each."""
    size = _grid()
    for number, value in ((1, 200), (2, 120)):
        write_volume(size.volume(np.full(size.shape, value, np.int16)), context.out / f"echo_{number}.nrrd")
    return {"echo_times_ms": [6.0, 34.0], **PRACTICE}


def metadata(context: StageContext) -> dict:
    """A header of no scanner."""
    write_json(context.out / "metadata.json", {"modality": "MR", "manufacturer": "digital knee", **PRACTICE})
    return dict(PRACTICE)


def segmentation(context: StageContext) -> dict:
    """The digital knee's own labels."""
    write_volume(_labels(context), context.out / "labels.nrrd")
    return {"source": "truth", "scheme": "canonical", "confidence": "high", **PRACTICE}


def t2(context: StageContext) -> dict:
    """A map that rises from the bone to the surface, on the cartilage of this knee."""
    subregions = read_labels(context.path("surfaces", "subregions.nrrd"))
    cartilage = np.isin(subregions.array, [BY_NAME[region].value for region in REGIONS])
    rng = np.random.default_rng(context.options.seed)
    middle = (DEEP_T2_MS + SUPERFICIAL_T2_MS) / 2
    values = np.where(cartilage, rng.normal(middle, 4.0, cartilage.shape), np.nan).astype(np.float32)
    write_volume(subregions.with_array(values), context.out / "t2map.nrrd")
    regions = {}
    for region in REGIONS:
        names = FEMORAL[1:] if region == "fem_cart" else (region,)
        inside = values[np.isin(subregions.array, [BY_NAME[name].value for name in names])]
        if inside.size:
            regions[region] = _t2_measures(inside.astype(np.float64))
    write_json(context.out / "t2.json", {"regions": handover.finite(regions), "counts": {},
                                         "sequence": "practice", "t2_method": "practice", **PRACTICE})
    return dict(PRACTICE)


def _t2_measures(values_ms: np.ndarray) -> dict[str, float]:
    half = (SUPERFICIAL_T2_MS - DEEP_T2_MS) / 2
    measures = {}
    for layer, shift_ms in (("", 0.0), ("deep_", -half), ("superficial_", half)):
        for name, function in (("mean", np.mean), ("std", np.std), ("median", np.median)):
            measures[f"{layer}t2_ms_{name}"] = round(float(function(values_ms + shift_ms)), 3)
    return measures


def shape(context: StageContext) -> dict:
    """The knee's own femur in place of a fitted one, with a made-up latent."""
    rng = np.random.default_rng(context.options.seed)
    latent = np.round(rng.normal(0, 0.1, LATENT_LENGTH), 6).tolist()
    parameters = {"latent": latent, "icp_transform": np.eye(4).tolist(), "center": [0.0, 0.0, 0.0], "scale": 1.0,
                  "assd_bone_mm": 0.0, "assd_cartilage_mm": 0.0, **PRACTICE}
    write_json(context.out / "shape.json", {"fits": {"bone_and_cart": parameters, "bone_only": parameters}, **PRACTICE})
    return dict(PRACTICE)


def score(context: StageContext) -> dict:
    """A score of nobody."""
    write_json(context.out / "bscore.json", {"bone_and_cart": 0.0, "bone_only": 0.0, **PRACTICE})
    return dict(PRACTICE)


def files(context: StageContext) -> dict:
    """Every file of the design's section 8, each marked as practice."""
    found = formatting.Findings(context)
    outputs = formatting.write_measured(context, found)
    if context.has("shape"):
        outputs += _write_shape(context, found)
    formatting.write_record(context, found, outputs)
    for path in sorted(context.out.iterdir()):
        practice_marks.mark(path)
    formatting.pack(context)
    return {"files": len(outputs), "incomplete": context.spare, **PRACTICE}


def _write_shape(context: StageContext, found: formatting.Findings) -> list[Output]:
    out = context.out
    fits = read_json(context.path("shape", "shape.json"))["fits"]
    femur, cartilage = found.raw_femur, found.cartilage_surfaces[("femur", 0)]
    models = [("femur_mesh_NSM_orig.vtk", femur, "femur", "Femur as fitted"),
              ("fem_cart_mesh_NSM_orig.vtk", cartilage, "fem_cart", "Femoral cartilage as fitted"),
              ("NSM_recon_femur_mesh.vtk", femur, "femur", "Femur reconstructed"),
              ("NSM_recon_fem_cart_mesh.vtk", cartilage, "fem_cart", "Femoral cartilage reconstructed"),
              ("NSM_bone_only_recon_femur_mesh.vtk", femur, "femur", "Femur reconstructed, bone only")]
    outputs = []
    for name, (points, triangles), structure, title in models:
        results.write_vtk(out / name, points, triangles)
        outputs.append(Output("shape_surface", name, "model", title, structure=structure,
                              color=BY_NAME[structure].color))
    scores = read_json(context.path("score", "bscore.json")) if context.has("score") else {}
    for kind, name in (("bone_and_cart", "NSM_recon_params.json"), ("bone_only", "NSM_bone_only_recon_params.json")):
        write_json(out / name, {**fits[kind], "Bscore": scores.get(kind)})
        outputs.append(Output("shape_record", name, "record", "Shape model fit"))
    if scores:
        write_json(out / "bscore_results.json", scores)
        outputs.append(Output("score_record", "bscore_results.json", "record", "BScore"))
    return outputs
