"""The digital knee: one object from which labels, images and the truth are drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from ..imaging import Volume
from ..imaging import labels as L
from .anatomy import CARTILAGE_BONE, Anatomy, Defect, Fields
from .grid import Grid, rotation_matrix
from .implicit import foot_points, normals, project
from .parameters import KneeParameters
from .render import Frame, Layer, paint
from .surfaces import TrueSurface, thickness_along_normals
from .truth import CARTILAGE_NAMES, TrueRegions, measure_regions, surface_with_regions, true_regions

THICKEST_MM = 5.0
"""No cartilage is thicker (canonical mm); bounds the search for blocks that may hold some."""

CARTILAGE_LABELS = {"femoral": L.FEMORAL_CARTILAGE, "medial_tibial": L.MEDIAL_TIBIAL_CARTILAGE,
                    "lateral_tibial": L.LATERAL_TIBIAL_CARTILAGE, "patellar": L.PATELLAR_CARTILAGE}
BONE_LABELS = {"femur": L.FEMUR, "tibia": L.TIBIA, "patella": L.PATELLA, "fibula": L.FIBULA}


def cartilage_distance(name: str, fields: Fields) -> np.ndarray:
    """Distance beyond the cartilage's outer surface; bone is painted over the inside afterwards."""
    return fields.outer(name)[0]


def cartilage_bound(name: str, fields: Fields) -> np.ndarray:
    """A safe lower bound of the distance to a cartilage: it lies on covered bone and is at most THICKEST_MM high."""
    bone = CARTILAGE_BONE[name]
    value = getattr(fields, bone)
    bound = np.maximum(value - THICKEST_MM, -value)
    near = np.flatnonzero(bound < 5)
    if len(near):
        p = tuple(c[near] for c in fields.p)
        q, _ = foot_points(fields.anatomy.bone(bone), p, value[near])
        bound[near] = np.maximum(bound[near], -fields.anatomy.coverage(name, q) / 1.5 - 1)
    return bound


class DigitalKnee:
    """A knee whose every thickness, area, volume and T2 is known.

    Parameters
    ----------
    seed : int
        Which individual.
    side : {"right", "left"}
        A left knee is the mirror image (in x) of the right knee of the same seed.
    variation : float
        Scales the anatomical variation, size and pose: 0 is the typical knee, upright at the origin; 1 a plausible
        population; more is for training.
    defects : sequence of Defect
        Lesions of the cartilage.
    parameters : KneeParameters, optional
        Exactly this knee instead of a seeded one.

    Raises
    ------
    ValueError
        If the side is neither right nor left.
    """

    def __init__(self, seed: int = 0, side: str = "right", variation: float = 1.0,
                 defects: tuple[Defect, ...] = (), *, parameters: KneeParameters | None = None) -> None:
        if side not in ("right", "left"):
            raise ValueError(f"side is 'right' or 'left', not '{side}'")
        self.seed, self.side, self.variation, self.defects = int(seed), side, float(variation), tuple(defects)
        self.parameters = parameters or KneeParameters.sample(seed, variation)
        self.anatomy = Anatomy(self.parameters, self.defects)
        self.frame = self._frame()

    def _frame(self) -> Frame:
        scale = self.parameters.scale
        matrix = rotation_matrix(self.parameters.rotation_deg).T / scale
        offset = -matrix @ np.array(self.parameters.translation_mm)
        if self.side == "left":
            matrix = matrix * np.array([-1.0, 1.0, 1.0])
        return Frame(matrix, offset, scale)

    def intact(self) -> DigitalKnee:
        """The same knee before its defects."""
        return self.with_defects() if self.defects else self

    def mirrored(self) -> DigitalKnee:
        """The same knee on the other side."""
        other = "left" if self.side == "right" else "right"
        return self._sharing_regions(
            DigitalKnee(self.seed, other, self.variation, self.defects, parameters=self.parameters))

    @cached_property
    def _label_layers(self) -> list[Layer]:
        layers = []
        for side, label in (("medial", L.MEDIAL_MENISCUS), ("lateral", L.LATERAL_MENISCUS)):
            layers.append(Layer(side, lambda f, s=side: f.meniscus(s), np.array([label]),
                                bound=lambda f, s=side: f.meniscus(s)))
        for name, label in CARTILAGE_LABELS.items():
            layers.append(Layer(name, lambda f, n=name: cartilage_distance(n, f), np.array([label]),
                                bound=lambda f, n=name: cartilage_bound(n, f)))
        for name, label in BONE_LABELS.items():
            layers.append(Layer(name, lambda f, n=name: getattr(f, n), np.array([label])))
        return layers

    def labels(self, grid: Grid | None = None) -> Volume:
        """Canonical labels (uint8) at the voxel centres of ``grid`` (the OAI's sagittal DESS by default)."""
        grid = grid or Grid.sagittal()
        array = paint(self.anatomy, self.frame, grid, self._label_layers, np.zeros(1, np.uint8), dtype=np.uint8)[0]
        return grid.volume(array, side=self.side)

    def with_defects(self, *defects: Defect) -> DigitalKnee:
        """The same knee with these lesions instead of its own."""
        return self._sharing_regions(
            DigitalKnee(self.seed, self.side, self.variation, defects, parameters=self.parameters))

    def _sharing_regions(self, other: DigitalKnee) -> DigitalKnee:
        """Hand on the subregions' borders if known: neither defects nor the side move them."""
        if "true_regions" in self.__dict__:
            other.__dict__["true_regions"] = self.true_regions
        return other

    def with_parameters(self, **parts: object) -> DigitalKnee:
        """The same knee with whole parameter groups replaced (``cartilage=CartilageParameters(...)``)."""
        return DigitalKnee(self.seed, self.side, self.variation, self.defects,
                           parameters=replace(self.parameters, **parts))

    # -- the truth -------------------------------------------------------------------------------------------------

    @cached_property
    def true_regions(self) -> TrueRegions:
        """The borders of the femoral subregions, in the femur's own frame (canonical mm), from the intact cartilage."""
        whole = self.intact()
        layers = [layer for layer in whole._label_layers if layer.name in ("femoral", "femur")]
        return true_regions(whole.anatomy, layers)

    @cached_property
    def _surfaces(self) -> dict[str, TrueSurface]:
        return {}

    def _surface(self, cartilage: str, step_mm: float = 0.6) -> TrueSurface:
        key = f"{cartilage} {step_mm}"
        if key not in self._surfaces:
            regions = self.true_regions if cartilage == "femoral" else None
            self._surfaces[key] = surface_with_regions(self.anatomy, cartilage, regions, step_mm)
        return self._surfaces[key]

    def true_surface(self, structure: str, step_mm: float = 0.6) -> TrueSurface:
        """The subchondral bone under one cartilage with exact normals, thickness, areas and regions, in LPS mm.

        Parameters
        ----------
        structure : str
            ``fem_cart``, ``med_tib_cart``, ``lat_tib_cart`` or ``pat_cart``.
        step_mm : float
            About the distance between points; they lie on the exact surface whatever it is.

        Returns
        -------
        TrueSurface
            Bare margins of about 2 mm around the cartilage are included, with thickness and intact thickness 0.

        Raises
        ------
        ValueError
            If the structure has no cartilage of its own.
        """
        surface, scale = self._surface(_cartilage(structure), step_mm), self.frame.scale
        points = self.frame.to_physical(surface.points)
        normal = self.frame.to_physical(surface.points + surface.normals) - points
        triangles = surface.triangles if self.side == "right" else surface.triangles[:, ::-1]
        return TrueSurface(points, normal / scale, triangles, surface.area_mm2 * scale**2,
                           surface.covered_mm2 * scale**2, surface.thickness_mm * scale,
                           surface.intact_mm * scale, surface.region)

    def true_thickness(self, points: np.ndarray, structure: str) -> np.ndarray:
        """Exact thickness in mm at LPS points, shape (n, 3), moved onto the bone surface first; 0 where it is bare."""
        cartilage = _cartilage(structure)
        shape = self.anatomy.bone(CARTILAGE_BONE[cartilage])
        on_bone = project(shape, self.frame.to_canonical(np.atleast_2d(points)))
        exact = thickness_along_normals(self.anatomy, cartilage, on_bone, normals(shape, on_bone))
        return exact * self.frame.scale

    def truth(self, step_mm: float = 0.6, *, regions: tuple[str, ...] = L.REGIONS) -> dict[str, dict[str, float]]:
        """Region -> measure -> true value, with the regions and column suffixes of every results table.

        Only the ``regions`` asked for are computed: fem_cart, ant_fem_cart, med_wb_fem_cart, lat_wb_fem_cart,
        med_post_fem_cart, lat_post_fem_cart, med_tib_cart, lat_tib_cart, pat_cart. Measures: mm_mean, mm_std,
        mm_median, VC_mm3, tAB_mm2, cAB_mm2, dAB_mm2, dAB_percent, ThC_tAB_mm, ThC_cAB_mm. Conventions: see
        :mod:`KneePipelineLib.phantom.truth`.
        """
        needed = {CARTILAGE_NAMES.get(region, "femoral") for region in regions}
        return measure_regions({name: self._surface(name, step_mm) for name in needed}, self.frame.scale, regions)


def _cartilage(structure: str) -> str:
    if structure in CARTILAGE_NAMES:
        return CARTILAGE_NAMES[structure]
    if structure in CARTILAGE_LABELS:
        return structure
    raise ValueError(f"'{structure}' is not a cartilage; choose one of {', '.join(CARTILAGE_NAMES)}")
