"""The digital knee: one object from which labels, images and the truth are drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from ..imaging import Volume
from ..imaging import labels as L
from . import images, soft_tissue
from .anatomy import CARTILAGE_BONE, Anatomy, Defect
from .grid import Grid, rotation_matrix
from .implicit import normals, project
from .parameters import KneeParameters
from .render import Frame, Layer, paint
from .sickness import HEALTHY, Sickness, end_of
from .surfaces import TrueSurface, thickness_along_normals
from .tissues import (
    CONTRASTS,
    LINEAR_T2,
    MESE,
    QDESS,
    SOFT_TISSUE_VALUES,
    TISSUES,
    CartilageT2,
    Dess,
    MultiEchoSpinEcho,
    Sequence,
)
from .truth import CARTILAGE_NAMES, TrueRegions, measure_regions, surface_with_regions, true_regions

CARTILAGE_LABELS = {"femoral": L.FEMORAL_CARTILAGE, "medial_tibial": L.MEDIAL_TIBIAL_CARTILAGE,
                    "lateral_tibial": L.LATERAL_TIBIAL_CARTILAGE, "patellar": L.PATELLAR_CARTILAGE}
BONE_LABELS = {"femur": L.FEMUR, "tibia": L.TIBIA, "patella": L.PATELLA, "fibula": L.FIBULA}


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
    sickness : Sickness, optional
        Osteophytes, growth plates, effusion.

    Raises
    ------
    ValueError
        If the side is neither right nor left.
    """

    def __init__(self, seed: int = 0, side: str = "right", variation: float = 1.0,
                 defects: tuple[Defect, ...] = (), *, parameters: KneeParameters | None = None,
                 sickness: Sickness = HEALTHY) -> None:
        if side not in ("right", "left"):
            raise ValueError(f"side is 'right' or 'left', not '{side}'")
        self.seed, self.side, self.variation, self.defects = int(seed), side, float(variation), tuple(defects)
        self.parameters = parameters or KneeParameters.sample(seed, variation)
        self.sickness = sickness
        self.anatomy = Anatomy(self.parameters, self.defects, sickness)
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
            DigitalKnee(self.seed, other, self.variation, self.defects, parameters=self.parameters,
                        sickness=self.sickness))

    @cached_property
    def label_layers(self) -> list[Layer]:
        """What a label map paints, lowest first."""
        layers = []
        for side, label in (("medial", L.MEDIAL_MENISCUS), ("lateral", L.LATERAL_MENISCUS)):
            layers.append(Layer(side, lambda f, s=side: f.meniscus(s), np.array([label]),
                                bound=lambda f, s=side: f.meniscus(s)))
        for name, label in CARTILAGE_LABELS.items():
            layers.append(Layer(name, lambda f, n=name: f.outer(n)[0], np.array([label]),
                                bound=lambda f, n=name: f.cartilage_bound(n)))
        for name, label in BONE_LABELS.items():
            layers.append(Layer(name, lambda f, n=name: f.grown(n), np.array([label])))
        for name in self.anatomy.physis_heights:
            layers.append(Layer(f"{name} physis", lambda f, n=name: f.physis(n), np.array([L.BACKGROUND])))
        return layers

    def labels(self, grid: Grid | None = None) -> Volume:
        """Canonical labels (uint8) at the voxel centres of ``grid`` (the OAI's sagittal DESS by default)."""
        grid = grid or Grid.sagittal()
        array = paint(self.anatomy, self.frame, grid, self.label_layers, np.zeros(1, np.uint8), dtype=np.uint8)[0]
        return grid.volume(array, side=self.side)

    # -- images ----------------------------------------------------------------------------------------------------

    def tissues(self, grid: Grid | None = None) -> Volume:
        """Canonical labels with the soft tissue around them told apart, uint8 (`tissues.SOFT_TISSUE_VALUES`)."""
        grid = grid or Grid.sagittal()
        values = {name: np.array([SOFT_TISSUE_VALUES.get(name, 0)]) for name in TISSUES}
        array = paint(self.anatomy, self.frame, grid, soft_tissue.layers(values) + self.label_layers, values["air"],
                      dtype=np.uint8)[0]
        return grid.volume(array, side=self.side)

    def image(self, grid: Grid | None = None, contrast: str | Sequence = "dess", *, snr: float | None = 30.0,
              bias: float = 0.12, texture: float = 1.0, soft: bool = True, noise_seed: int | None = None,
              t2: CartilageT2 = LINEAR_T2) -> Volume:
        """A magnitude image, float32; a pair of echoes is combined by the root of the sum of squares.

        Parameters
        ----------
        contrast : str or Sequence
            ``dess``, ``t1``, ``pd``, ``pd_fs``, ``t2``, ``t2_fs``, or any sequence of :mod:`.tissues`.
        snr : float or None
            Cartilage signal over noise; None for a noise-free image.
        bias : float
            Largest relative deviation of the receive field; 0 for none.
        texture : float
            Strength of the texture in marrow, muscle and fat; cartilage has none.
        soft : bool
            Partial volume at boundaries (voxels larger than about 0.4 mm are sampled several times besides).
        noise_seed : int, optional
            The knee's own seed by default.
        t2 : CartilageT2
            True T2 against relative depth.

        Raises
        ------
        ValueError
            If the contrast is unknown.
        """
        echoes = self.echoes(grid, contrast, snr=snr, bias=bias, texture=texture, soft=soft, noise_seed=noise_seed,
                             t2=t2)
        if len(echoes) == 1:
            return echoes[0]
        combined = np.sqrt(sum(np.square(e.array) for e in echoes))
        return echoes[0].with_array(combined)

    def echoes(self, grid: Grid | None = None, contrast: str | Sequence = "dess", *, snr: float | None = 30.0,
               bias: float = 0.12, texture: float = 1.0, soft: bool = True, noise_seed: int | None = None,
               t2: CartilageT2 = LINEAR_T2) -> list[Volume]:
        """The echoes of a sequence, one Volume each, with echo_time_ms, repetition_time_ms, ... in ``meta``.

        The parameters are those of :meth:`image`. ``Dess`` gives the qDESS pair from the exact steady state,
        ``MultiEchoSpinEcho`` the train.
        """
        sequence = _sequence(contrast)
        grid = grid or Grid.sagittal()
        clean = images.render(self, grid, sequence, t2=t2, soft=soft, texture=texture)
        seed = self.seed if noise_seed is None else noise_seed
        channels = images.acquire(clean, grid, sequence, snr=snr, bias=bias, seed=seed)
        return images.volumes(channels, grid, sequence, self.side)

    def qdess(self, grid: Grid | None = None, *, sequence: Dess = QDESS, **options: object) -> tuple[Volume, Volume]:
        """The two echoes of a qDESS acquisition (S1, S2); options as for :meth:`image`."""
        first, second = self.echoes(grid, sequence, **options)
        return first, second

    def mese(self, grid: Grid | None = None, *, sequence: MultiEchoSpinEcho = MESE,
             **options: object) -> list[Volume]:
        """The echoes of a multi-echo spin-echo acquisition, 24 sagittal slices of 3 mm at 4 mm by default."""
        grid = grid or Grid.sagittal((256, 256, 24), (0.625, 0.625, 4.0))
        return self.echoes(grid, sequence, **options)

    def true_t2(self, grid: Grid | None = None, t2: CartilageT2 = LINEAR_T2) -> Volume:
        """True T2 (ms, float32) at voxel centres inside cartilage, NaN elsewhere."""
        grid = grid or Grid.sagittal()
        return grid.volume(images.true_t2_map(self, grid, t2), side=self.side)

    def with_defects(self, *defects: Defect) -> DigitalKnee:
        """The same knee with these lesions instead of its own."""
        return self._sharing_regions(
            DigitalKnee(self.seed, self.side, self.variation, defects, parameters=self.parameters,
                        sickness=self.sickness))

    def with_sickness(self, **changes: object) -> DigitalKnee:
        """The same knee, sick: see :class:`.sickness.Sickness` for what there is; no changes make it healthy again."""
        return self._sharing_regions(
            DigitalKnee(self.seed, self.side, self.variation, self.defects, parameters=self.parameters,
                        sickness=replace(self.sickness, **changes) if changes else HEALTHY))

    def with_flexion(self, degrees: float) -> DigitalKnee:
        """The same knee, bent by so many degrees."""
        return self._sharing_regions(
            self.with_parameters(femur=replace(self.parameters.femur, flexion_deg=float(degrees))))

    def showing(self, grid: Grid, femur_mm: float = np.inf, tibia_mm: float = np.inf) -> Grid:
        """The part of a grid that shows so many mm of femur above its distal end, and of tibia below its highest."""
        ends = {bone: np.array([0.0, 0.0, end_of(bone, self.anatomy.bone(bone))]) for bone in ("femur", "tibia")}
        low, high = (float(self.frame.to_physical(ends[bone])[2]) for bone in ("tibia", "femur"))
        return grid.between(low - tibia_mm, high + femur_mm)

    def _sharing_regions(self, other: DigitalKnee) -> DigitalKnee:
        """Hand on the subregions' borders if known: neither defects nor the side move them."""
        if "true_regions" in self.__dict__:
            other.__dict__["true_regions"] = self.true_regions
        return other

    def with_parameters(self, **parts: object) -> DigitalKnee:
        """The same knee with whole parameter groups replaced (``cartilage=CartilageParameters(...)``)."""
        return DigitalKnee(self.seed, self.side, self.variation, self.defects,
                           parameters=replace(self.parameters, **parts), sickness=self.sickness)

    # -- the truth -------------------------------------------------------------------------------------------------

    @cached_property
    def true_regions(self) -> TrueRegions:
        """The borders of the femoral subregions, in the femur's own frame (canonical mm), from the intact cartilage."""
        whole = self.intact()
        layers = [layer for layer in whole.label_layers if layer.name in ("femoral", "femur")]
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

    def truth(self, step_mm: float = 0.6, *, regions: tuple[str, ...] = L.REGIONS,
              t2: CartilageT2 = LINEAR_T2) -> dict[str, dict[str, float]]:
        """Region -> measure -> true value, with the regions and column suffixes of every results table.

        Only the ``regions`` asked for are computed: fem_cart, ant_fem_cart, med_wb_fem_cart, lat_wb_fem_cart,
        med_post_fem_cart, lat_post_fem_cart, med_tib_cart, lat_tib_cart, pat_cart. Measures: mm_mean, mm_std,
        mm_median, VC_mm3, tAB_mm2, cAB_mm2, dAB_mm2, dAB_percent, ThC_tAB_mm, ThC_cAB_mm, and for the T2 gradient
        ``t2`` t2_ms_mean, deep_t2_ms_mean, superficial_t2_ms_mean. Conventions: see
        :mod:`KneePipelineLib.phantom.truth`.
        """
        needed = {CARTILAGE_NAMES.get(region, "femoral") for region in regions}
        return measure_regions({name: self._surface(name, step_mm) for name in needed}, self.frame.scale, regions, t2)


def _sequence(contrast: str | Sequence) -> Sequence:
    if not isinstance(contrast, str):
        return contrast
    if contrast not in CONTRASTS:
        raise ValueError(f"'{contrast}' is not a contrast; choose one of {', '.join(CONTRASTS)}")
    return CONTRASTS[contrast]


def _cartilage(structure: str) -> str:
    if structure in CARTILAGE_NAMES:
        return CARTILAGE_NAMES[structure]
    if structure in CARTILAGE_LABELS:
        return structure
    raise ValueError(f"'{structure}' is not a cartilage; choose one of {', '.join(CARTILAGE_NAMES)}")
