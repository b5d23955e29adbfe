"""What the morphometry room hands out: surfaces with thickness, regional measures, the anatomical frame.

Everything is plain arrays in LPS millimetres, so that a stage can write it to disk and the next one read it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..imaging.volume import Volume

FIELD_MEASURES = ("mm_mean", "mm_std", "mm_median")
AREA_MEASURES = (
    "VC_mm3", "tAB_mm2", "cAB_mm2", "dAB_mm2", "dAB_percent", "ThC_tAB_mm", "ThC_cAB_mm", "AC_mm2", "VCtAB_mm",
    "ThC_cAB_std_mm", "ThC_cAB_cv_percent", "aMiv_mm", "aMav_mm",
)
MEASURES = (*FIELD_MEASURES, *AREA_MEASURES)
"""The measures of every region, as the column suffixes of the tables name them (`<region>_<measure>`).

``mm_*`` follow pyMSKT (vertices whose ray meets the cartilage surface exactly twice); the others are the nomenclature
of Eckstein et al., Osteoarthritis Cartilage 2006;14:974-983: cartilage volume, total, covered and denuded area of
subchondral bone, mean thickness over total (denuded = 0) and over covered area, area of the articular surface, volume
over total area, SD and coefficient of variation of the thickness over the covered surface, mean of its lowest and
highest 1 %. All means over a surface are weighted with area. Plates and fine regions have those of ``AREA_MEASURES``.
"""

JOINT_MEASURES = ("med_JSW_min_mm", "med_JSW_mean_mm", "lat_JSW_min_mm", "lat_JSW_mean_mm", "tibial_width_mm",
                  "femorotibial_angle_deg", "flexion_deg", "rotation_deg")
"""The measures of the joint as a whole; see joint.py."""

MENISCUS_MEASURES = ("volume_mm3", "extrusion_mm", "coverage_percent")
"""The measures of each meniscus: its volume, how far its outer edge lies beyond the bony margin of the tibial plateau,
and the percentage of the plateau's total area that lies under it; see `menisci`."""

WARNINGS = {
    "PATELLA_MISSING": "no patella in the label map",
    "CARTILAGE_MISSING": "a bone without any cartilage label",
    "MENISCUS_MISSING": "a meniscus is not in the label map",
    "TIBIAL_SIDES_SWAPPED": "tibial cartilage voxels lay on the wrong side of the mid-line and were relabelled",
    "SIDE_GUESSED": "nothing but the bones' shape tells the side",
    "SIDE_DOUBTFUL": "what the map shows of both sides disagrees about which knee it is",
    "MENISCI_EXCHANGED": "the menisci lay as in the other knee and were exchanged to fit",
    "SIDE_CONTRADICTED": "the side asked for is not the one the tibial cartilages show",
    "SEVERAL_COMPONENTS": "pieces of a bone lie apart from the one that carries the joint and were left out",
    "GROWTH_PLATES": "a bone is divided across its width; its parts were measured as one",
    "SHORT_SHAFT": "less bone in view than the crop rule keeps",
    "UNUSUAL_PROPORTIONS": "width and depth of the bones do not fit each other; the voxel size is in doubt",
    "FOOTPRINT_NOT_FITTED": "the healthy footprint does not fit a bone; only enclosed bare bone counts there",
    "PLATE_BARE": "a tibial plate without any cartilage; counted as wholly denuded",
    "SUBREGIONS_UNAVAILABLE": "the femoral cartilage could not be divided into subregions",
}
"""Codes of the warnings this room gives and what each means."""


@dataclass(frozen=True)
class MorphometryOptions:
    """How to measure; the defaults are those the field's reference implementation is driven with.

    Attributes
    ----------
    bone_variance_mm2, cartilage_variance_mm2 : float
        Variance of the Gaussian that smooths the binary label before the 0.5 iso-surface is taken.
    vertices : dict
        About how many evenly spread vertices each bone's surface is resampled to.
    crop_fraction : dict
        Height of bone kept from its joint end, as a fraction of its medial-lateral width; None keeps all.
    ray_inside_mm, ray_outside_mm : float
        Where the ray along a vertex's normal begins (inside the bone) and ends (outside).
    closing_mm : float
        Radius of the geodesic closing that bridges narrow gaps in a rim.
    templates : bool
        Whether the healthy footprints that ship with the package say what bare bone is denuded; otherwise only what
        cartilage encloses is.
    """

    bone_variance_mm2: float = 0.5
    cartilage_variance_mm2: float = 0.3125
    vertices: dict = field(default_factory=lambda: {"femur": 20_000, "tibia": 20_000, "patella": 10_000})
    crop_fraction: dict = field(default_factory=lambda: {"femur": 0.8, "tibia": 0.8, "patella": None})
    ray_inside_mm: float = 2.5
    ray_outside_mm: float = 10.0
    closing_mm: float = 1.0
    templates: bool = True


@dataclass(frozen=True, eq=False)
class AnatomicalFrame:
    """Axes found from the bones themselves.

    Attributes
    ----------
    origin : (3,) float64
        LPS mm; a point between the femoral condyles.
    axes : (3, 3) float64
        Rows are unit vectors in LPS, right-handed: towards the patient's left, towards posterior, towards superior.
    side : str
        ``right`` or ``left``; the medial direction is +axes[0] in a right knee and -axes[0] in a left one.
    """

    origin: np.ndarray
    axes: np.ndarray
    side: str

    @property
    def medial(self) -> np.ndarray:
        """Unit vector towards the medial side, LPS."""
        return self.axes[0] if self.side == "right" else -self.axes[0]

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) LPS mm to (left, posterior, superior) mm in this frame."""
        return (np.asarray(points, dtype=np.float64) - self.origin) @ self.axes.T

    def to_dict(self) -> dict:
        """JSON-serialisable form."""
        return {"origin": np.asarray(self.origin).tolist(), "axes": np.asarray(self.axes).tolist(), "side": self.side}


@dataclass(frozen=True, eq=False)
class BoneSurface:
    """One bone's surface and, once measured, the cartilage on it.

    Attributes
    ----------
    bone : str
        ``femur``, ``tibia`` or ``patella``.
    points : (n, 3) float32
        Vertices, LPS mm.
    triangles : (m, 3) int32
        Vertex indices, counter-clockwise seen from outside.
    normals : (n, 3) float32
        Outward unit normals.
    vertex_area_mm2 : (n,) float32
        Area each vertex stands for (a third of its triangles); sums to the surface's area.
    thickness_mm : (n,) float32
        Cartilage along the normal, all pieces summed; NaN where there is none. Before measuring: all NaN.
    field_thickness_mm : (n,) float32
        The same by pyMSKT's rule: 0 unless the ray meets the cartilage surface exactly twice.
    region : (n,) uint8
        Canonical label of the region (11-15 on the femur, 5, 6, 7) found along the ray; 0 where none.
    field_region : (n,) uint8
        The region by pyMSKT's rule, 0 where ``field_thickness_mm`` is 0.
    total_region : (n,) uint8
        ``region`` extended over the denuded bone of the footprint: the total area tAB. Where it is set and
        ``thickness_mm`` is NaN, the bone is denuded.
    footprint : (n,) uint8
        Where cartilage lies or would lie in health (footprint.py): the cartilage's label where it covers the vertex,
        the region's (11-15 on the femur) where the bone is denuded, 0 outside.
    subregion : (n,) uint8
        The finer region (`imaging.labels.FINE_REGIONS`) of the total area, 0 outside. Before measuring: all 0.
    """

    bone: str
    points: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    vertex_area_mm2: np.ndarray
    thickness_mm: np.ndarray
    field_thickness_mm: np.ndarray
    region: np.ndarray
    field_region: np.ndarray
    total_region: np.ndarray
    footprint: np.ndarray
    subregion: np.ndarray


@dataclass(frozen=True, eq=False)
class PreparedKnee:
    """The hand-over between the two stages: everything but thickness.

    Attributes
    ----------
    side, labels, subregions, cartilage_surfaces, warnings, frame :
        As in `KneeMorphometry`.
    surfaces : dict
        bone -> BoneSurface with its footprint, without thickness.
    dense_bones : dict
        bone -> (points, triangles) before resampling, LPS mm.
    femur_frame : AnatomicalFrame
        The femur's own axes, in which its regions are divided; the knee's where the femur was not matched.
    notch_left_mm : float or None
        The trochlear notch in ``femur_frame``, towards the left; None without femoral cartilage.
    pose : (3,) floats or None
        Flexion, varus and outward rotation of the tibia in degrees, see `joint.relative_pose`.
    """

    side: str
    labels: Volume
    subregions: Volume
    surfaces: dict[str, BoneSurface]
    dense_bones: dict[str, tuple[np.ndarray, np.ndarray]]
    cartilage_surfaces: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]
    warnings: list[tuple[str, str]]
    frame: AnatomicalFrame
    femur_frame: AnatomicalFrame
    notch_left_mm: float | None = None
    pose: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class KneeMorphometry:
    """Everything measured on one knee.

    Attributes
    ----------
    side : str
        ``right`` or ``left``.
    labels, subregions, depth : Volume
        Canonical labels (uint8); the same with 11-15 in place of 4; cartilage as subregion + 100 (deep half) or
        + 200 (superficial half), 0 elsewhere. All on the grid that was handed in.
    surfaces : dict
        ``femur``, ``tibia`` and, when there is one, ``patella`` -> BoneSurface.
    raw_femur : (points, triangles) or None
        Dense femur surface, cropped, before resampling; float32 (n, 3) LPS mm and int32 (m, 3).
    cartilage_surfaces : dict
        (bone, i) -> (points, triangles), i counting BONE_CARTILAGES[bone] from 0; absent cartilages are left out.
    regions : dict
        region (`imaging.labels.REGIONS`; those of a missing bone are left out) -> measure (`MEASURES`) -> float; NaN
        where a mean has nothing to average.
    fine : dict
        Plate or fine region (`imaging.labels.PLATES`, `FINE_NAMES`) -> measure (`AREA_MEASURES`) -> float.
    sums : dict
        MFTC, LFTC, cMFTC, cLFTC, those there are -> ``ThC_tAB_mm`` -> float.
    joint : dict
        `JOINT_MEASURES` -> float; NaN where it cannot be computed.
    fine_labels : Volume
        Cartilage voxels by fine region (`imaging.labels.FINE_REGIONS`), 0 elsewhere, uint8.
    menisci : dict
        ``med_meniscus`` and ``lat_meniscus``, those present -> measure (`MENISCUS_MEASURES`) -> float.
    warnings : list of (code, sentence)
        See `WARNINGS`.
    frame : AnatomicalFrame
    """

    side: str
    labels: Volume
    subregions: Volume
    depth: Volume
    surfaces: dict[str, BoneSurface]
    raw_femur: tuple[np.ndarray, np.ndarray] | None
    cartilage_surfaces: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]
    regions: dict[str, dict[str, float]]
    menisci: dict[str, dict[str, float]]
    warnings: list[tuple[str, str]]
    frame: AnatomicalFrame
    fine: dict[str, dict[str, float]]
    sums: dict[str, dict[str, float]]
    joint: dict[str, float]
    fine_labels: Volume
