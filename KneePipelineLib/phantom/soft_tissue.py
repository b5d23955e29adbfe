"""The leg around the joint: skin, fat, muscles, tendons, ligaments, vessels, fluid. For images only, never labelled.

Positions are canonical millimetres of the typical knee; the layers are painted from the skin inwards and the joint
itself over them, so nothing here needs to fit exactly.
"""

from __future__ import annotations

import numpy as np

from .anatomy import CARTILAGE_BONE, Fields
from .implicit import Points, capsule, ellipse, ellipsoid, smooth_max, smooth_min, smoothstep
from .render import Layer

_MUSCLES = (
    ((-30, 34, 100), (-36, 27, -12), 12.0, 7.0),  # biceps femoris
    ((24, 36, 100), (28, 30, -18), 14.0, 8.0),  # semimembranosus
    ((38, 22, 100), (36, 22, -30), 7.0, 4.0),  # sartorius and gracilis
    ((17, 33, 30), (22, 32, -95), 9.0, 19.0),  # gastrocnemius, medial head
    ((-18, 32, 28), (-20, 30, -95), 8.0, 17.0),  # gastrocnemius, lateral head
    ((0, 22, -30), (-4, 20, -95), 9.0, 20.0),  # popliteus and soleus
    ((-29, -4, -34), (-28, -8, -95), 7.0, 15.0),  # tibialis anterior
)
FILM_MM = 0.8
_VESSELS = (((2, 34, 100), (-1, 31, -60), 3.2, 2.8), ((7, 39, 100), (4, 36, -60), 4.0, 3.5))
_CRUCIATES = (((-5.5, 7, 21), (2, -11, 2), 4.2, 4.2), ((5.5, -1, 16), (0, 22, -8), 4.8, 4.8))


def _flattened(p: Points, start: tuple, end: tuple, thickness: float, ratio: float, axis: int) -> np.ndarray:
    """A rod flattened to a band: ``ratio`` times wider along one axis."""
    squeezed = tuple(c / ratio if n == axis else c for n, c in enumerate(p))
    a, b = (tuple(v / ratio if n == axis else v for n, v in enumerate(end_)) for end_ in (start, end))
    return capsule(squeezed, a, b, thickness, thickness)


def _skin(f: Fields) -> np.ndarray:
    body, (x, y, z) = f.anatomy.parameters.body, f.p
    thigh, calf = smoothstep((z - 20) / 70), smoothstep((-25 - z) / 50)
    a = body.half_width + 7 * thigh - 3 * calf
    b = body.half_depth + 4 + 5 * thigh - 2 * calf
    return ellipse(x, y - (-10 + 4 * thigh + 5 * calf), a, b)


def _inside_fat(f: Fields) -> np.ndarray:
    """Depth beneath the subcutaneous fat, which is thin in front of the patella."""
    body, (x, y, _) = f.anatomy.parameters.body, f.p
    behind = smoothstep((y + 60) / 60) * (1 + 0.25 * np.sin(x / 17))
    return _skin(f) + body.skin_mm + body.fat_mm * (0.25 + 0.75 * behind)


def _muscle(f: Fields) -> np.ndarray:
    bellies = capsule(f.p, *_MUSCLES[0])
    for muscle in _MUSCLES[1:]:
        bellies = np.minimum(bellies, capsule(f.p, *muscle))
    x, y, z = f.p
    t = smoothstep((z - 38) / 50)
    vasti = ellipse(x, y + 12, 24 + 20 * t, 24 + 12 * t)
    vasti = smooth_max(vasti, 46 - 14 * (np.abs(x) / 35) ** 2 - z, 8.0)
    return smooth_max(np.minimum(bellies, vasti), _inside_fat(f), 2.0)


def _tendons(f: Fields) -> np.ndarray:
    patella, scale = f.anatomy.patella, f.anatomy.patella.shape
    x, y, z = scale.centre_x, patella.y - 0.62 * scale.depth, scale.centre_z
    below, above = z - 0.78 * scale.half_height, z + 0.78 * scale.half_height
    patellar = _flattened(f.p, (x, y, below), (-3.0, -30.0, -36.0), 2.5, 4.5, 0)
    quadriceps = _flattened(f.p, (x, y, above), (0.0, -40.0, 120.0), 3.2, 5.0, 0)
    medial = _flattened(f.p, (39.5, 0.0, 24.0), (34.0, -2.0, -42.0), 1.3, 5.0, 1)
    lateral = capsule(f.p, (-40.5, 5.0, 22.0), (-35.0, 19.0, -16.0), 1.8, 1.8)
    return np.minimum(np.minimum(patellar, quadriceps), np.minimum(medial, lateral))


def _cruciates(f: Fields) -> np.ndarray:
    p = f.anatomy.to_femur(f.p)
    return np.minimum(capsule(p, *_CRUCIATES[0]), capsule(p, *_CRUCIATES[1]))


def _vessels(f: Fields) -> np.ndarray:
    return np.minimum(capsule(f.p, *_VESSELS[0]), capsule(f.p, *_VESSELS[1]))


def _fluid_in_recesses(f: Fields) -> np.ndarray:
    patella = f.anatomy.patella
    swollen = f.anatomy.sickness.effusion
    pouch = ellipsoid(f.p, (0.0, patella.y + 3.0, patella.shape.centre_z + 30),
                      (15.0 + 13.0 * swollen, 2.2 + 9.0 * swollen, 13.0 + 14.0 * swollen))
    popliteal = ellipsoid(f.p, (-20.0, 27.0, 0.0), (6.0 + 6.0 * swollen, 2.0 + 5.0 * swollen, 7.0 + 8.0 * swollen))
    return smooth_min(pouch, popliteal, 1.0)


def _film(f: Fields) -> np.ndarray:
    """Fluid that wets every cartilage: it fills the joint space and the recess along its edges."""
    film = f.outer("femoral")[0]
    for cartilage in CARTILAGE_BONE:
        film = np.minimum(film, f.outer(cartilage)[0])
    return film - FILM_MM


def _film_bound(f: Fields) -> np.ndarray:
    bound = f.cartilage_bound("femoral")
    for cartilage in CARTILAGE_BONE:
        bound = np.minimum(bound, f.cartilage_bound(cartilage))
    return bound - FILM_MM


def layers(signal: dict[str, np.ndarray]) -> list[Layer]:
    """The layers under the joint, lowest first; ``signal`` gives each tissue's channels."""
    inward = [("skin", _skin), ("fat", lambda f: _skin(f) + f.anatomy.parameters.body.skin_mm), ("muscle", _muscle),
              ("vessel", _vessels), ("tendon", _tendons), ("ligament", _cruciates), ("fluid", _fluid_in_recesses)]
    out = [Layer(name, distance, signal[name]) for name, distance in inward]
    out.append(Layer("film", _film, signal["fluid"], bound=_film_bound))
    return out


def marrow(bone: str, f: Fields) -> np.ndarray:
    """Distance to a bone's marrow: the cortex is a thin plate at the joint and thick along the shafts."""
    away = np.abs(f.p[2] - 12.0)
    return f.grown(bone) + 0.45 + 2.0 * smoothstep((away - 38) / 35)
