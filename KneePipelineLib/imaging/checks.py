"""Whether a volume can be a knee at all: the VALIDATION state's look at size, spacing and values.

The bounds are those of knee MRI with room on both sides. Spacing: clinical and research protocols lie between 0.2 mm
(in-plane, 7 T) and 5 mm (thick 2-D slices). Field of view: the joint itself is about 80 to 100 mm wide and a scan
shows 120 to 200 mm of leg in plane, over 60 to 150 mm of slices; long-leg and both-knees views reach 400 mm, and a
T2 slab that covers one compartment only may be 30 mm thin.
"""

from __future__ import annotations

import re

import numpy as np

from ..errors import InvalidFormatError
from .image_kinds import IMAGINARY, PHASE, REAL, SUBTRACTION, is_picture
from .reading import check_values
from .volume import Volume

SPACING_MM = (0.1, 6.0)
PLANE_MM = (60.0, 400.0)
DEPTH_MM = (20.0, 400.0)
USUAL_PLANE_MM = (100.0, 260.0)
USUAL_DEPTH_MM = (50.0, 260.0)
MIN_VOXELS = 8
_MAX_ANISOTROPY = 20.0
_TENTH, _BRIGHT_FACES = 0.1, 0.5
"""Of the range of grey values; share of the faces: at least 0.7 in negatives of knees, at most 0.1 in knees, 0.35 where
they are cropped to nothing but tissue."""

COMPONENTS = (PHASE, REAL, IMAGINARY, SUBTRACTION)


OTHER_PARTS = re.compile(
    r"BRAIN|HEAD|SKULL|FACE|ORBIT|EYE|EAR|IAC|JAW|TMJ|NECK|[CTL]-?SPINE|SPINE|LSPINE|TSPINE|CSPINE|CHEST|THORAX|HEART|"
    r"CARDIAC|BREAST|ABDOMEN|LIVER|KIDNEY|PANCREAS|PELVIS|PROSTATE|UTERUS|BLADDER|SHOULDER|ELBOW|WRIST|HAND|FINGER|THUMB|"
    r"ANKLE|FOOT|TOE|CALCANEUS")
"""BodyPartExamined (PS3.16 annex L) of what is certainly no knee; leg, thigh, hip and unknown words may show one."""
ANYWAY = "If it is right all the same, add --anyway."


def check_plausible_knee(volume: Volume, *, anyway: bool = False) -> list[tuple[str, str]]:
    """Raise if the volume cannot be a knee MRI; otherwise return what is unusual as (code, sentence) pairs.

    Parameters
    ----------
    anyway : bool
        Only warn of a header that says that this is no picture (a phase image, a map), or not of a knee.

    Raises
    ------
    InvalidFormatError
        Not a picture, or another part of the body by its header; NaN or infinite voxels, a constant image, fewer than 8
        voxels along an axis, spacing outside 0.1 to 6 mm, a field of view outside 60 to 400 mm along the two
        longer axes or 20 to 400 mm along the shortest.
    """
    refused = [sentence for sentence in (_no_picture(volume), _other_part(volume)) if sentence]
    if refused and not anyway:
        raise InvalidFormatError(*refused[0])
    check_values(volume.array)
    warnings = [("NOT_A_KNEE_IMAGE", f"{message} It was read all the same, as asked.") for message, _ in refused]
    warnings += check_plausible_geometry(volume)
    common = np.count_nonzero(volume.array == volume.array.flat[0]) / volume.array.size
    if common > 0.95:
        warnings.append(("MOSTLY_EMPTY", f"{100 * common:.0f} % of the voxels have one and the same value."))
    if _looks_inverted(volume.array):
        warnings.append(("LOOKS_INVERTED", "What surrounds the knee is the brightest in the image: its grey values are "
                         "probably inverted, as in a negative."))
    modality = volume.meta.get("modality")
    if modality and modality != "MR":
        warnings.append(("NOT_MR", f"The image's modality is {modality}, not MR."))
    return warnings


def _looks_inverted(array: np.ndarray) -> bool:
    """Whether most of the volume's faces are as bright as it gets, and hardly anything there is dark: air is dark."""
    low, high = np.percentile(array[:, ::2, ::2], (0.5, 99.5))
    faces = np.concatenate([array.take(at, axis).ravel() for axis in range(3) for at in (0, -1)]).astype(float)
    bright = np.count_nonzero(faces > high - _TENTH * (high - low)) / faces.size
    dark = np.count_nonzero(faces < low + _TENTH * (high - low)) / faces.size
    return bright > _BRIGHT_FACES and dark < bright / 5


def _no_picture(volume: Volume) -> tuple[str, str] | None:
    kind = volume.meta.get("kind")
    if not kind or is_picture(kind):
        return None
    return (f"By its header the image is no picture of the anatomy but its {kind}." if kind in COMPONENTS else
            f"By its header the image is a {kind}, not a picture of the anatomy.",
            f"Give the magnitude images of the examination (--series chooses). {ANYWAY}")


def _other_part(volume: Volume) -> tuple[str, str] | None:
    """What a header says that names another part of the body and nowhere a knee."""
    part = str(volume.meta.get("body_part") or "").upper()
    if (volume.meta.get("header") or {}).get("names_knee") or not OTHER_PARTS.fullmatch(part.replace(" ", "")):
        return None
    return f"By its header the image shows no knee: BodyPartExamined is {part}.", f"Give the knee's series. {ANYWAY}"


def check_plausible_geometry(volume: Volume, what: str = "image") -> list[tuple[str, str]]:
    """The part of `check_plausible_knee` that looks at size, spacing and field of view alone.

    Parameters
    ----------
    volume : Volume
        An image or a label map.
    what : str
        What sentences call it: ``image`` or ``label map``.

    Returns
    -------
    list of (str, str)
        What is unusual.

    Raises
    ------
    InvalidFormatError
        As `check_plausible_knee`, for all but the values.
    """
    size, spacing = volume.size, volume.spacing
    extent = np.sort(np.array(size) * spacing)
    text = " x ".join(f"{e:.0f}" for e in np.array(size) * spacing)
    if min(size) < MIN_VOXELS:
        raise InvalidFormatError(f"The {what} has only {min(size)} voxels along one axis.",
                                 f"Give a 3-D {what} of the knee.", size=list(size))
    if spacing.min() < SPACING_MM[0] or spacing.max() > SPACING_MM[1]:
        raise InvalidFormatError(
            f"The {what}'s voxel spacing of {' x '.join(f'{s:g}' for s in spacing)} mm is not that of a knee MRI.",
            f"Spacings between {SPACING_MM[0]} and {SPACING_MM[1]} mm are expected; the header may be in a wrong unit.",
            spacing_mm=spacing.tolist())
    if not (_within(extent[0], DEPTH_MM) and _within(extent[1], PLANE_MM) and _within(extent[2], PLANE_MM)):
        raise InvalidFormatError(f"The {what}'s field of view of {text} mm is not that of a knee MRI.",
                                 "It should show one knee; its header may have lost the voxel spacing.",
                                 extent_mm=extent.tolist())
    warnings = []
    if not (_within(extent[0], USUAL_DEPTH_MM) and all(_within(e, USUAL_PLANE_MM) for e in extent[1:])):
        warnings.append(("UNUSUAL_FIELD_OF_VIEW", f"The {what}'s field of view of {text} mm is unusual for one knee."))
    if spacing.max() / spacing.min() > _MAX_ANISOTROPY:
        warnings.append(("VERY_ANISOTROPIC", f"The slices are {spacing.max() / spacing.min():.0f} times as thick as "
                         "the pixels are wide; measurements across slices will be coarse."))
    return warnings


def boxes_overlap(one: Volume, other: Volume) -> bool:
    """Whether the boxes of two grids can share a point: no plane along an axis of either lies between them."""
    for a, b in ((one, other), (other, one)):
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in b.size])).reshape(3, -1).T
        within = a.to_indices(b.to_physical(corners))
        if (within.max(axis=0) <= -0.5).any() or (within.min(axis=0) >= np.array(a.size) - 0.5).any():
            return False
    return True


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
