"""What the values of an image are: anatomy, and which, or a map that was computed from it.

The words are those of ImageType (PS3.3 C.7.6.1.1.2, C.8.3.1.1.1), FrameType (C.8.13.3.1.1) and ComplexImageComponent
(C.8.13.3.1.2), and what Philips, Siemens, GE, Canon and UIH write into the vendor's part of ImageType. A word that is
not known says nothing: an image is taken as anatomy unless its header says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAGNITUDE = "magnitude"
WATER, FAT, IN_PHASE, OPPOSED_PHASE = "water", "fat", "in-phase", "opposed-phase"
COMBINATION, PROJECTION, MOSAIC = "combination", "projection", "mosaic"
PHASE, REAL, IMAGINARY, SUBTRACTION = "phase", "real part", "imaginary part", "subtraction"

PREFERRED = (MAGNITUDE, WATER, IN_PHASE, OPPOSED_PHASE, FAT, COMBINATION, PROJECTION)
"""Kinds that show anatomy, the one to be read first: a knee's networks have learnt water-excited images."""

_COMPONENTS = {"M": MAGNITUDE, "P": PHASE, "R": REAL, "I": IMAGINARY}
_FLAVOURS = {
    MOSAIC: r"MOSAIC|VFRAME",
    WATER: r"W|WATER",
    FAT: r"F|FAT",
    IN_PHASE: r"IP|IN_?PHASE",
    OPPOSED_PHASE: r"OP|OPP_?PHASE|OPPOSED_?PHASE|OUT_?(OF_?)?PHASE",
    SUBTRACTION: r"SUB(TRACTION)?",
    PROJECTION: r"(MAX|MIN)_?IP|MIP|PROJECTION(_IMAGE)?",
    COMBINATION: r"COMBINED|COMBINATION|ADDITION|SUM|MEAN|MEAN_IMAGE|SOS|RSS",
    "fat fraction map": r"FF|(FAT|WATER)_?FRACTION(_MAP)?|FF_?MAP",
    "field map": r"B[01]_?MAP|FIELD_?MAP",
    "diffusion map": r"ADC(_?MAP)?|EADC|FA_?MAP",
    "T1rho map": r"(T|R)1_?(RHO|R)_?MAP",
    "T2* map": r"(T|R)2(_?STAR|\*)_?MAP|R2(_?STAR|\*)",
    "T2 map": r"(T|R)2_?MAP",
    "T1 map": r"(T|R)1_?MAP",
    "map": r"(PD|MTR|M0|S0|QUANTITY|CHI2?|ERROR|RESIDUAL)_?MAP|QUANTITY|STD_DEVIATION|T_TEST|Z_SCORE|TEMPERATURE(_MAP)?"
           r"|VELOCITY(_MAP)?|METABOLITE_MAP",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _FLAVOURS.items()}
_PLAIN_PHASE = re.compile(r"P|PHASE(_MAP)?")
_CUT_FROM_ANOTHER = re.compile(r"MPR|CPR|CURVED|REFORMATTED|RESAMPLED|MPR_?.*")


def kind_of(image_type: Iterable[str], complex_component: str = "") -> str:
    """What one image shows.

    Parameters
    ----------
    image_type : iterable of str
        All values of ImageType or FrameType, upper case.
    complex_component : str
        ComplexImageComponent, or a vendor's private word for it, as ``MAGNITUDE``, ``PHASE``, ``REAL``, ``IMAGINARY``.

    Returns
    -------
    str
        ``magnitude`` when nothing else is said; otherwise one of the kinds of this module.
    """
    tokens = [re.sub(r"[\s-]+", "_", token) for token in list(image_type)[2:]]
    for kind, pattern in _PATTERNS.items():
        if any(pattern.fullmatch(token) for token in tokens):
            return kind
    if complex_component[:1] in _COMPONENTS and complex_component in ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY"):
        return _COMPONENTS[complex_component[0]]
    for token in tokens:
        if _PLAIN_PHASE.fullmatch(token):
            return PHASE
        if token in ("R", "REAL"):
            return REAL
        if token in ("I", "IMAGINARY"):
            return IMAGINARY
    return MAGNITUDE


def is_picture(kind: str) -> bool:
    """Whether an image of this kind shows anatomy, so that it can be segmented."""
    return kind in PREFERRED


def is_original(image_type: Iterable[str]) -> bool:
    """Whether the image came from the scanner rather than from another image (value 1 of ImageType and reformats).

    Derived are ``DERIVED`` images of value 2 ``SECONDARY`` and those cut anew from a volume. A ``DERIVED\\PRIMARY``
    image (a scanner's own filter or Dixon reconstruction) is as good as an original.
    """
    tokens = [re.sub(r"[\s-]+", "_", token) for token in image_type]
    secondary = tokens[:1] == ["DERIVED"] and tokens[1:2] == ["SECONDARY"]
    return not secondary and not any(_CUT_FROM_ANOTHER.fullmatch(token) for token in tokens[2:])
