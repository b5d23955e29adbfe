"""The whole joint: bones brought together so that the cartilages just clear one another, defects, menisci.

:class:`Anatomy` is one canonical right knee; :class:`Fields` is that knee evaluated at a set of points, every function
at most once. A cartilage is the set of points outside its bone whose distance is below the thickness at their foot
point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .femur import Femur
from .implicit import Points, Shape, ellipse, foot_points, normals, project, smooth_max
from .parameters import KneeParameters
from .patella import Patella
from .sickness import HEALTHY, Sickness, end_of
from .tibia import Tibia

GAP_MM = 0.35
"""Least width of the joint space between two cartilages."""
FILM_MM = 0.12
"""Least width of the fluid film between a meniscus and its neighbours."""
OUTSIDE_MM = -2.0
"""Floor of the (negative) pseudo-thickness where there is no cartilage."""
DEFECT_WALL_MM = 0.5
THICKEST_MM = 6.0
"""No cartilage is thicker; bounds the search for places that may hold some."""

CARTILAGE_BONE = {"femoral": "femur", "medial_tibial": "tibia", "lateral_tibial": "tibia", "patellar": "patella"}


@dataclass(frozen=True)
class Defect:
    """A lesion of the cartilage: everything within ``radius_mm`` of a point on the subchondral bone.

    Parameters
    ----------
    cartilage : str
        ``femoral``, ``medial_tibial``, ``lateral_tibial`` or ``patellar``.
    position : (2,) floats
        Where: for the femur (x in mm, angle in degrees: 0 distal, 90 anterior, -90 posterior; 0 to -30 on a condyle
        bears weight), for the tibia (x, y) in mm, for the patella (x, z) in mm from the median ridge's middle; x is
        positive to medial. In the canonical knee, before size and pose.
    radius_mm : float
        Radius of the ball around that surface point, in true millimetres; bone area about pi r^2 (exact on a sphere).
    depth : float
        Lost fraction of the thickness; 1 is a full-thickness defect with steep walls, less a smooth thinning.
    """

    cartilage: str
    position: tuple[float, float]
    radius_mm: float = 5.0
    depth: float = 1.0

    def __post_init__(self) -> None:
        if self.cartilage not in CARTILAGE_BONE:
            raise ValueError(f"a defect's cartilage is one of {', '.join(CARTILAGE_BONE)}, not '{self.cartilage}'")
        if not 0 < self.depth <= 1 or self.radius_mm <= 0:
            raise ValueError("a defect needs a radius above 0 mm and a depth between 0 and 1")

    @classmethod
    def whole(cls, cartilage: str, depth: float = 1.0) -> Defect:
        """The loss of a whole plate."""
        middle = {"femoral": (0.0, 40.0), "medial_tibial": (20.0, 0.0), "lateral_tibial": (-20.0, 0.0)}
        return cls(cartilage, middle.get(cartilage, (0.0, 0.0)), 100.0 if cartilage == "femoral" else 60.0, depth)


class Anatomy:
    """One canonical right knee: bones in contact position, ready to be evaluated.

    Parameters
    ----------
    parameters : KneeParameters
    defects : sequence of Defect
    sickness : Sickness
        What else is wrong with it.
    """

    def __init__(self, parameters: KneeParameters, defects: tuple[Defect, ...] = (),
                 sickness: Sickness = HEALTHY) -> None:
        self.parameters, self.sickness = parameters, sickness
        cartilage, ripples = parameters.cartilage, parameters.ripples
        self.femur = Femur(parameters.femur, cartilage, ripples[0])
        flexion = np.radians(parameters.femur.flexion_deg)
        self._cos, self._sin = float(np.cos(flexion)), float(np.sin(flexion))
        self.tibia = Tibia(parameters.tibia, cartilage, (ripples[1], ripples[2]))
        self.patella = Patella(parameters.patella, cartilage, ripples[3])
        self.defects: tuple[tuple[Defect, np.ndarray], ...] = ()
        self._bring_together()
        self.defects = tuple((d, self._defect_centre(d)) for d in defects)

    # -- frames and bones ------------------------------------------------------------------------------------------

    def to_femur(self, p: Points) -> Points:
        """Knee frame to the extended femur's own frame: flexion undone about the transcondylar axis."""
        y, z = p[1] - self.femur.shape.axis_y, p[2] - self.femur.shape.axis_z
        return (p[0], y * self._cos - z * self._sin + self.femur.shape.axis_y,
                z * self._cos + y * self._sin + self.femur.shape.axis_z)

    def from_femur(self, p: Points) -> Points:
        """The inverse of :meth:`to_femur`."""
        y, z = p[1] - self.femur.shape.axis_y, p[2] - self.femur.shape.axis_z
        return (p[0], y * self._cos + z * self._sin + self.femur.shape.axis_y,
                z * self._cos - y * self._sin + self.femur.shape.axis_z)

    def bone(self, name: str) -> Shape:
        """The implicit function of femur, tibia, patella or fibula in the knee frame."""
        if name == "femur":
            return lambda p: self.femur.bone(self.to_femur(p))
        return {"tibia": self.tibia.bone, "patella": self.patella.bone, "fibula": self.tibia.fibula}[name]

    def own_frame(self, bone: str, p: Points) -> Points:
        """Points of the knee frame in the frame that a bone's sickness is said in."""
        return self.to_femur(p) if bone == "femur" else p

    @cached_property
    def physis_heights(self) -> dict[str, float]:
        """Bone -> height (mm, own frame) of its open growth plate."""
        heights = {}
        for bone, upwards in (("femur", 1.0), ("tibia", -1.0)):
            distance = self.sickness.physis_mm(bone)
            if distance is not None:
                shape = self.femur.bone if bone == "femur" else self.tibia.bone
                heights[bone] = end_of(bone, shape) + upwards * distance
        return heights

    # -- cartilage thickness on the bone surface -------------------------------------------------------------------

    def coverage(self, cartilage: str, q: Points) -> np.ndarray:
        """Millimetres inside the edge of the (intact) cartilage for points on its bone, knee frame."""
        if cartilage == "femoral":
            return self.femur.coverage(self.to_femur(q))
        if cartilage == "patellar":
            return self.patella.coverage(q)
        return self.tibia.coverage(q, cartilage.split("_")[0])

    def intact_thickness(self, cartilage: str, q: Points) -> np.ndarray:
        """Nominal thickness without defects; negative (the distance to the edge, floored) where none grows."""
        edge = self.coverage(cartilage, q)
        if cartilage == "femoral":
            full = self.femur.thickness(self.to_femur(q))
        elif cartilage == "patellar":
            full = self.patella.thickness(q)
        else:
            full = self.tibia.thickness(q, cartilage.split("_")[0])
        t = np.clip(edge / self.parameters.cartilage.taper_mm, 0, 1)
        rounded = np.sqrt(t * (2 - t))
        return np.where(edge > 0, full * rounded, np.maximum(edge, OUTSIDE_MM)).astype(edge.dtype)

    def thickness(self, cartilage: str, q: Points) -> np.ndarray:
        """Nominal thickness (mm) at points on the bone surface, defects included; negative where there is none."""
        value = self.intact_thickness(cartilage, q)
        for defect, centre in self.defects:
            if defect.cartilage != cartilage:
                continue
            radius = defect.radius_mm / self.parameters.scale
            away = np.sqrt(sum((c - o) ** 2 for c, o in zip(q, centre.tolist(), strict=True)))
            if defect.depth == 1:
                beyond = away - radius
                t = np.clip(beyond / DEFECT_WALL_MM, 0, 1)
                value = np.where(beyond > 0, np.where(value > 0, value * np.sqrt(t * (2 - t)), value),
                                 np.minimum(value, np.maximum(beyond, OUTSIDE_MM))).astype(value.dtype)
            else:
                inside = np.maximum(1 - (away / radius) ** 2, 0)
                value = np.where(value > 0, value * (1 - defect.depth * inside * inside), value).astype(value.dtype)
        return value

    def covered(self, cartilage: str, q: Points) -> np.ndarray:
        """Millimetres inside the edge of what full-thickness defects left of the cartilage; negative on bare bone."""
        edge = self.coverage(cartilage, q)
        for defect, centre in self.defects:
            if defect.cartilage == cartilage and defect.depth == 1:
                away = np.sqrt(sum((c - o) ** 2 for c, o in zip(q, centre.tolist(), strict=True)))
                edge = np.minimum(edge, away - defect.radius_mm / self.parameters.scale)
        return edge

    # -- assembling ------------------------------------------------------------------------------------------------

    def _bring_together(self) -> None:
        """Raise the plateaus and move the patella until the narrowest joint space is GAP_MM wide."""
        for _ in range(6):
            low = {side: self._clearance("tibia", grid) for side, grid in _plateaus(self.tibia).items()}
            moved = replace_levels(self.tibia, low["medial"] - GAP_MM, low["lateral"] - GAP_MM)
            spine = self._clearance("tibia", _SPINE)
            if spine < 1.0:
                moved.spine_height = max(moved.spine_height + spine - 1.0, 1.0)
            self.tibia = moved
            gap = self._clearance("patella", None)
            self.patella.y += gap - GAP_MM

    def _clearance(self, bone: str, plan: tuple[np.ndarray, np.ndarray] | None) -> float:
        """Least distance (mm) from the outer cartilage surface of tibia or patella to the femur's."""
        if plan is None:
            x, z = (g.ravel() for g in np.meshgrid(np.arange(-19, 20, 2.0), np.arange(-17, 19, 2.0)))
            start = np.stack([x + self.patella.shape.centre_x, self.patella.y - 0.3 * np.abs(x),
                              z + self.patella.shape.centre_z], axis=1)
            cartilages = ("patellar",)
        else:
            x, y = plan
            start = np.stack([x, y, self.tibia.height(x, y)[0]], axis=1)
            cartilages = ("medial_tibial", "lateral_tibial")
        shape = self.bone(bone)
        points = project(shape, start, 4)
        height = np.zeros(len(points))
        for cartilage in cartilages:
            height = np.maximum(height, self.intact_thickness(cartilage, tuple(points.T)))
        outer = points + height[:, None] * normals(shape, points)
        return float(Fields(self, tuple(outer.T)).femur_clearance.min())

    def _defect_centre(self, defect: Defect) -> np.ndarray:
        """The defect's middle on the bone surface, (3,) in the knee frame."""
        u, v = defect.position
        if defect.cartilage == "femoral":
            s, angle = self.femur.shape, np.radians(v)
            guess = np.array([u, s.axis_y - 30 * np.sin(angle), s.axis_z - 30 * np.cos(angle)])
            axis = np.array([u, s.axis_y, s.axis_z])
            reach = np.linspace(0.2, 2.0, 361)[:, None]
            ray = axis + reach * (guess - axis)
            inside = self.femur.bone(tuple(ray.T)) < 0
            start = np.array(self.from_femur(tuple(ray[np.flatnonzero(inside)[-1]])))
        elif defect.cartilage == "patellar":
            start = np.array([u + self.patella.shape.centre_x, self.patella.y - 0.3 * abs(u),
                              v + self.patella.shape.centre_z])
        else:
            start = np.array([u, v, float(self.tibia.height(np.array(u), np.array(v))[0])])
        return project(self.bone(CARTILAGE_BONE[defect.cartilage]), start[None], 12)[0]


def replace_levels(tibia: Tibia, medial_mm: float, lateral_mm: float) -> Tibia:
    """The same tibia with its plateaus raised."""
    return Tibia(tibia.shape, tibia.cartilage, tibia.ripples, tibia.level_medial + medial_mm,
                 tibia.level_lateral + lateral_mm, tibia.spine_height)


def _lattice(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gx, gy = np.meshgrid(x, y)
    return gx.ravel(), gy.ravel()


def _plateaus(tibia: Tibia) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rows = np.arange(-20, 20.5, 1.0)
    return {"medial": _lattice(np.arange(10, 34.5, 1.0), rows), "lateral": _lattice(np.arange(-34, -9.5, 1.0), rows)}


_SPINE = _lattice(np.arange(-9, 9.5, 1.0), np.arange(-16, 17, 1.0))


class Fields:
    """The knee's functions at one set of points (knee frame, canonical mm), each computed when first asked for."""

    def __init__(self, anatomy: Anatomy, p: Points) -> None:
        self.anatomy, self.p = anatomy, p

    def _outer(self, cartilage: str) -> np.ndarray:
        shape = self.anatomy.bone(CARTILAGE_BONE[cartilage])
        value = getattr(self, CARTILAGE_BONE[cartilage])
        near = np.abs(value) < 8
        outer = np.array(value)
        thickness = np.full_like(value, OUTSIDE_MM)
        if near.any():
            p = tuple(c[near] for c in self.p) if not near.all() else self.p
            q, distance = foot_points(shape, p, value[near] if not near.all() else value)
            thickness[near] = self.anatomy.thickness(cartilage, q)
            outer[near] = distance
        return outer - thickness, thickness

    @cached_property
    def femur(self) -> np.ndarray:
        """Distance to the femur."""
        return self.anatomy.bone("femur")(self.p)

    @cached_property
    def tibia(self) -> np.ndarray:
        """Distance to the tibia."""
        return self.anatomy.tibia.bone(self.p)

    @cached_property
    def patella(self) -> np.ndarray:
        """Distance to the patella."""
        return self.anatomy.patella.bone(self.p)

    @cached_property
    def fibula(self) -> np.ndarray:
        """Distance to the fibula."""
        return self.anatomy.tibia.fibula(self.p)

    def grown(self, bone: str) -> np.ndarray:
        """Distance to a bone with its osteophytes."""
        plain = getattr(self, bone)
        if not any(o.bone == bone for o in self.anatomy.sickness.osteophytes):
            return plain
        return self.anatomy.sickness.grown(bone, plain, self.anatomy.own_frame(bone, self.p))

    def physis(self, bone: str) -> np.ndarray:
        """Distance to a bone's open growth plate, a slab across it."""
        height = self.anatomy.own_frame(bone, self.p)[2] - self.anatomy.physis_heights[bone]
        return np.maximum(self.grown(bone) - 0.5, np.abs(height) - self.anatomy.sickness.physis_gap_mm / 2)

    @cached_property
    def _outers(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {}

    def outer(self, cartilage: str) -> tuple[np.ndarray, np.ndarray]:
        """Distance beyond a cartilage's outer surface (negative within it and its bone), and thickness underneath."""
        if cartilage not in self._outers:
            self._outers[cartilage] = self._outer(cartilage)
        return self._outers[cartilage]

    def cartilage_bound(self, cartilage: str) -> np.ndarray:
        """A safe lower bound of the distance to a cartilage: it lies on covered bone, THICKEST_MM high at most."""
        bone = CARTILAGE_BONE[cartilage]
        value = getattr(self, bone)
        bound = np.maximum(value - THICKEST_MM, -value)
        near = np.flatnonzero(bound < 5)
        if len(near):
            q, _ = foot_points(self.anatomy.bone(bone), tuple(c[near] for c in self.p), value[near])
            bound[near] = np.maximum(bound[near], -self.anatomy.coverage(cartilage, q) / 1.5 - 1)
        return bound

    @cached_property
    def femur_clearance(self) -> np.ndarray:
        """Distance to femur and femoral cartilage together."""
        beyond, thickness = self.outer("femoral")
        return beyond + np.minimum(thickness, 0)

    @cached_property
    def tibia_clearance(self) -> np.ndarray:
        """Distance to tibia and both tibial cartilages together."""
        medial, lateral = self.outer("medial_tibial"), self.outer("lateral_tibial")
        return np.minimum(medial[0] + np.minimum(medial[1], 0), lateral[0] + np.minimum(lateral[1], 0))

    def meniscus(self, side: str) -> np.ndarray:
        """About the distance to one meniscus: a ring, open to the spine, wedged between the two clearances."""
        anatomy, (x, y, _) = self.anatomy, self.p
        m, tibia = anatomy.parameters.meniscus, anatomy.tibia
        sign = 1.0 if side == "medial" else -1.0
        outer_axes, inner_axes, opening = (getattr(m, f"{side}_{n}") for n in ("outer", "inner", "opening"))
        centre = getattr(tibia.shape, f"{side}_x")
        u = x - centre
        from_inner = ellipse(u, y, *inner_axes)
        ring = smooth_max(ellipse(u, y, outer_axes[0] + m.extrusion, outer_axes[1]), -from_inner, 1.0)
        ring = smooth_max(ring, -sign * u - opening, 2.0)
        wedge = smooth_max(FILM_MM - self.femur_clearance, FILM_MM - self.tibia_clearance, 0.3)
        above = tibia.top(self.p)
        roof = np.minimum(1.5 + 0.85 * np.maximum(from_inner, 0), m.height)
        body = np.maximum(smooth_max(ring, (above - roof) * 0.8, 1.5), -above)
        return np.maximum(body, wedge)
