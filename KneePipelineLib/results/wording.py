"""What the numbers are called, in which unit they are, how they are defined, and how much a warning weighs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..imaging.labels import BY_NAME, PLATE_TITLES

REGION_TITLES = {
    "fem_cart": "Femur, all",
    "ant_fem_cart": "Femur, anterior",
    "med_wb_fem_cart": "Femur, medial weight-bearing",
    "lat_wb_fem_cart": "Femur, lateral weight-bearing",
    "med_post_fem_cart": "Femur, medial posterior",
    "lat_post_fem_cart": "Femur, lateral posterior",
    "med_tib_cart": "Tibia, medial",
    "lat_tib_cart": "Tibia, lateral",
    "pat_cart": "Patella",
}

REGION_BONES = {name: "tibia" if "tib" in name else "patella" if name == "pat_cart" else "femur"
                for name in REGION_TITLES}

SIDE_SOURCES = {"header": "the DICOM header", "name": "the name of the input",
                "labels_name": "the name of the label map", "option": "--side",
                "segments": "the naming of the segments"}
"""Where else a side may be named."""

BUNDLED_NOTICE = "bundled network: for trying out, not validated for research"


@dataclass(frozen=True)
class Measure:
    """One measured quantity: its short heading, unit, which points it counts, its definition in one sentence."""

    name: str
    heading: str
    unit: str
    counts: str
    definition: str
    decimals: int = 2


_FIELD = "vertices_field"

MEASURE_TABLE = {m.name: m for m in (
    Measure("mm_mean", "Mean", "mm", _FIELD,
            "Mean thickness over the bone vertices whose ray along the surface normal meets the cartilage surface "
            "exactly twice (the covered area only; pyMSKT's rule)."),
    Measure("mm_std", "SD", "mm", _FIELD, "Standard deviation of the thickness over the same vertices."),
    Measure("mm_median", "Median", "mm", _FIELD, "Median of the thickness over the same vertices."),
    Measure("VC_mm3", "VC", "mm3", "voxels", "Cartilage volume: labelled voxels times the volume of one voxel.", 0),
    Measure("tAB_mm2", "tAB", "mm2", "vertices_total",
            "Total area of subchondral bone: what cartilage covers or would cover in health, the footprint.", 0),
    Measure("cAB_mm2", "cAB", "mm2", "vertices_covered", "Area of subchondral bone covered by cartilage.", 0),
    Measure("dAB_mm2", "dAB", "mm2", "vertices_total", "Denuded area: tAB minus cAB.", 0),
    Measure("dAB_percent", "dAB", "%", "vertices_total", "Denuded area as a percentage of tAB.", 1),
    Measure("ThC_tAB_mm", "ThC tAB", "mm", "vertices_total",
            "Area-weighted mean thickness over the total area, denuded bone counting as 0 mm."),
    Measure("ThC_cAB_mm", "ThC cAB", "mm", "vertices_covered",
            "Area-weighted mean thickness over the covered area; where the ray crosses several pieces of cartilage, "
            "their thicknesses are added."),
    Measure("AC_mm2", "AC", "mm2", "vertices_covered", "Area of the cartilage's articular surface.", 0),
    Measure("VCtAB_mm", "VCtAB", "mm", "vertices_total", "Cartilage volume over total area: VC / tAB."),
    Measure("ThC_cAB_std_mm", "SD", "mm", "vertices_covered",
            "SD over the surface: standard deviation of the thickness over the covered area; not an error."),
    Measure("ThC_cAB_cv_percent", "CV", "%", "vertices_covered", "That SD as a percentage of ThC cAB.", 1),
    Measure("aMiv_mm", "aMiv", "mm", "vertices_covered", "Mean of the lowest 1 % of the thickness, by area."),
    Measure("aMav_mm", "aMav", "mm", "vertices_covered", "Mean of the highest 1 % of the thickness, by area."),
)}

JOINT_TABLE = {m.name: m for m in (
    Measure("med_JSW_min_mm", "Medial joint space, least", "mm", "",
            "Least distance from the medial tibial plate's bone to the femur's; lying, not standing."),
    Measure("med_JSW_mean_mm", "Medial joint space, central mean", "mm", "",
            "Mean distance from the bone of the central medial tibia (cMT) to the femur's."),
    Measure("lat_JSW_min_mm", "Lateral joint space, least", "mm", "",
            "Least distance from the lateral tibial plate's bone to the femur's."),
    Measure("lat_JSW_mean_mm", "Lateral joint space, central mean", "mm", "",
            "Mean distance from the bone of the central lateral tibia (cLT) to the femur's."),
    Measure("tibial_width_mm", "Tibial width", "mm", "", "Width of the tibial plateau across both plates.", 1),
    Measure("femorotibial_angle_deg", "Femorotibial angle", "deg", "",
            "How much more in varus (positive) or valgus the knee lies than the template's healthy knees.", 1),
    Measure("flexion_deg", "Flexion", "deg", "", "How much more bent the knee lies than the template's knees.", 1),
    Measure("rotation_deg", "Tibial rotation", "deg", "",
            "How much further the tibia is turned outwards than the template's.", 1),
)}
"""The joint as a whole."""

MENISCUS_TABLE = {m.name: m for m in (
    Measure("volume_mm3", "Volume", "mm3", "voxels", "Labelled voxels times the volume of one voxel.", 0),
    Measure("extrusion_mm", "Extrusion", "mm", "voxels",
            "How far the meniscus reaches outwards beyond the bony margin of the tibial plateau, osteophytes not "
            "followed, on the tibia's own axes, mean over the middle fifth of the compartment from front to back; "
            "negative inside.", 1),
    Measure("coverage_percent", "Coverage", "%", "voxels",
            "Percentage of the compartment's total area (tAB) that lies under the meniscus.", 1),
)}

_LAYERS = (("", "the cartilage's full depth"), ("deep_", "the deep half"), ("superficial_", "the superficial half"))
_T2_STATISTICS = (("mean", "Mean"), ("std", "Standard deviation"), ("median", "Median"))

T2_TABLE = {m.name: m for m in (
    Measure(f"{layer}t2_ms_{name}", f"T2 {name}", "ms", f"{layer}t2_voxels",
            f"{words} of T2 over the region's voxels in {where} whose T2 counts.", 1)
    for layer, where in _LAYERS for name, words in _T2_STATISTICS)}
"""T2 of a region, and of the two halves of its depth."""

T2_METHODS = {
    ("qdess", "spoiled"): "T2 was computed voxel by voxel from both echoes of a qDESS acquisition with the closed form "
                          "of Sveinsson et al. {qdess}, spoiler included",
    ("qdess", "low_spoiling"): "T2 was computed voxel by voxel from both echoes of a qDESS acquisition with the closed "
                               "form of Sveinsson et al. {qdess} for low spoiling, because "
                               "the header does not tell the spoiler: values read somewhat short",
    ("mese", "weighted"): "T2 was fitted voxel by voxel to a train of spin echoes: straight line through the logarithm "
                          "of the signal, weighted with the signal squared",
    ("mese", "linear"): "T2 was fitted voxel by voxel to a train of spin echoes: straight line through the logarithm "
                        "of the signal, unweighted",
    ("mese", "nonlinear"): "T2 was fitted voxel by voxel to a train of spin echoes: least squares of the exponential "
                           "itself",
}
"""(sequence, method) in words."""

PARTS = {
    "image": ("image", ""), "echoes": ("echoes", "There is no T2; the other results are not affected."),
    "metadata": ("DICOM header", "Nothing is known about the scanner; the measures are not affected."),
    "segmentation": ("segmentation", "Only the T2 map is delivered; nothing was measured by region."),
    "review": ("corrections", ""), "surfaces": ("surfaces", ""), "thickness": ("cartilage thickness", ""),
    "t2": ("T2 map", "There is no T2; the other results are not affected."),
    "shape": ("shape of the femur", "There is no shape and no BScore; the other results are not affected."),
    "table": ("joint table", "Each branch's own results are delivered, T2 without layers."),
    "score": ("BScore", "The shape is there, only not scored; the other results are not affected."),
    "files": ("files", ""), "input": ("input", ""),
}
"""Name of a step -> what a person calls it, and what its failure leaves."""

FOLLOWS_FROM_OTHERS = ("image", "echoes", "metadata", "score")
"""Parts whose absence follows from what else is said."""

UNIT_SIGNS = {"deg": "°", "mm": "mm", "mm2": "mm²", "mm3": "mm³", "%": "%", "ms": "ms", "": ""}

SEVERITIES = ("info", "warning", "serious")
_INFO = {"STRUCTURES_IGNORED", "PATELLA_MISSING", "MENISCUS_MISSING", "SHORT_SHAFT", "ECHOES_COMBINED",
         "BUNDLED_NETWORK", "CPU_ONLY", "PARTED_AT_THE_MIDDLE", "SPACING_STATED", "SERIES_JOINED",
         "MEASURES_CHANGED"}
_SERIOUS = {"CARTILAGE_MISSING", "SUBREGIONS_UNAVAILABLE", "SIDE_CONTRADICTED", "SIDE_GUESSED", "SIDE_DOUBTFUL",
            "LOW_CONFIDENCE", "T2_SEQUENCE_ASSUMED", "NOT_A_KNEE_IMAGE", "NOT_A_KNEE_CONTENT", "UNUSUAL_PROPORTIONS",
            "LOOKS_INVERTED"}


def severity_of(code: str) -> str:
    """How much a warning weighs: ``info`` (known and harmless), ``warning`` (look) or ``serious`` (do not use
    unseen). A code this table does not know is a ``warning``."""
    return "info" if code in _INFO else "serious" if code in _SERIOUS else "warning"


def title_of(name: str) -> str:
    """A region's or structure's title."""
    return REGION_TITLES.get(name) or PLATE_TITLES.get(name) or BY_NAME[name].title


_QUOTED_PATH = re.compile(r"""(?P<q>['"‘“`])(?:file://|~?/|[A-Za-z]:[\\/]|\\\\)[^'"’”`]*['"’”`]""")
_BARE_PATH = re.compile(
    r"""(?<![\w<.:/\\])(?:file://|~/|/(?=[^\s/])|[A-Za-z]:[\\/]|\\\\)[^\s'"<>|,;)]*(?<![.:])""")
_RELATIVE_FILE = re.compile(r"[^\s'\"(]*[\\/][^\s'\"]*\.(?:nii(?:\.gz)?|nrrd|mha|mhd|dcm|ima|zip|vtk|json|csv)\b", re.I)


def without_paths(text: str) -> str:
    """``text`` with every file system path replaced by ``(path)``.

    Paths name people and machines, so no result carries one. A last line of defence: messages are already written
    without them at their source.

    >>> without_paths("No voxel in /home/ada/knee 1.nii is set")
    'No voxel in (path) 1.nii is set'
    >>> without_paths("T1/T2 and mm/s stay")
    'T1/T2 and mm/s stay'
    """
    for pattern in (_QUOTED_PATH, _BARE_PATH, _RELATIVE_FILE):
        text = pattern.sub("(path)", text)
    return text
