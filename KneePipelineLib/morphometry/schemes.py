"""Label maps of any known numbering -> canonical labels, or a sentence why not.

A label map is never trusted blindly: read in the wrong order, every bone is painted as cartilage. What decides, in this
order: a scheme named by the caller; the names and codes of the segments (.seg.nrrd); otherwise plausibility, and only
if exactly one known order is plausible. However it was chosen, the knee it shows must be one: large enough bones, the
femur above the tibia, every cartilage on its bone.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..errors import ConfigError, MissingFileError, SegmentationError
from ..imaging import check_plausible_geometry
from ..imaging.labels import (
    BY_NAME,
    BY_VALUE,
    FEMORAL_CARTILAGE,
    FIBULA,
    NATIVE_TO_CANONICAL,
    STRUCTURES,
    SUBREGIONS,
)
from ..imaging.volume import Volume
from .plausibility import UNKNOWN, fault_of
from .segments import scheme_from_segments

FOLDED_SUBREGIONS = {s.value: FEMORAL_CARTILAGE for s in SUBREGIONS}
"""Maps that come back with femoral subregions: 11 to 15 are femoral cartilage."""

SCHEMES: dict[str, dict[int, int]] = {
    "canonical": {s.value: s.value for s in STRUCTURES} | FOLDED_SUBREGIONS,
    "native": dict(NATIVE_TO_CANONICAL),
    # 1 femoral, 2 medial tibial, 3 lateral tibial, 4 patellar cartilage, 5 femur, 6 tibia, 7 patella, 8 fibula,
    # 9 lateral, 10 medial meniscus: the order of the OAI segmentations that pyMSKT's examples carry.
    "archive": {1: 4, 2: 5, 3: 6, 4: 7, 5: 1, 6: 2, 7: 3, 8: FIBULA, 9: 9, 10: 8} | FOLDED_SUBREGIONS,
}
"""Value in the file -> canonical value, 0 aside, of every numbering known."""

SCHEME_TITLES = {
    "canonical": "canonical (1 femur, 2 tibia, 3 patella, 4 femoral cartilage, ...)",
    "native": "native (1 patellar cartilage, 2 femoral cartilage, ..., 7 femur, 8 tibia, 9 patella)",
    "archive": "archive (1 femoral cartilage, ..., 5 femur, 6 tibia, 7 patella)",
}

READ_AS = {"file": "Read with the given scheme file", "segments": "Read by the names of its segments"}


def canonical_labels(labels: Volume, scheme: str | Path = "auto") -> Volume:
    """The same map with canonical values (design section 7), as uint8.

    Parameters
    ----------
    labels : Volume
        Integer label map of any orientation; ``meta["segments"]``, when there, is a list of
        ``{"name", "value", "terminology"}``.
    scheme : str or Path
        ``auto``, ``canonical``, ``native``, ``archive``, or a JSON file such as ``{"1": "femur", "2": 4, "3": 0}``
        (canonical names or values; 0 drops a structure on purpose).

    Returns
    -------
    Volume
        ``meta["label_scheme"]`` says which scheme was taken and ``meta["segments"]`` is left out.

    Raises
    ------
    SegmentationError
        If values have no structure in the scheme, the scheme that was named shows no knee, or with ``auto`` none or
        more than one known scheme does.
    InvalidFormatError
        If the map's size, spacing or field of view is not that of a knee.
    ConfigError, MissingFileError
        If the scheme is unknown, or its file cannot be read or does not say what it should.
    """
    array = integer_labels(labels.array)
    counts = value_counts(array)
    if not counts:
        raise SegmentationError("The label map is empty.", "Check that the segmentation was saved.")
    check_plausible_geometry(labels, "label map")
    name, mapping = _chosen_scheme(labels, array, counts, scheme)
    missing = sorted(v for v in counts if v not in mapping)
    if missing:
        raise SegmentationError(
            f"The label map holds values {missing} for which the label scheme '{name}' has no structure.",
            "Give --label-scheme the scheme of this file, or a JSON file that maps every value.",
            unknown=missing,
        )
    if name not in SCHEMES or str(scheme) in SCHEMES:  # the others were chosen for their plausibility
        fault = fault_of(labels.with_array(array), counts, mapping)
        if fault is not None:
            raise SegmentationError(f"{READ_AS.get(name, f'Read as {name}')}, {fault.clause}.", fault.hint)
    meta = {k: v for k, v in labels.meta.items() if k != "segments"} | {"label_scheme": name}
    array = apply_mapping(array, {value: mapping[value] for value in counts})
    return Volume(array, labels.spacing, labels.origin, labels.direction, meta)


def integer_labels(array: np.ndarray) -> np.ndarray:
    """Label values as a uint8 or uint16 array.

    Raises
    ------
    SegmentationError
        If values are not whole, negative, or above 65535.
    """
    if array.dtype == np.uint8 or array.dtype == np.uint16:
        return array
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > np.iinfo(np.uint16).max:
        raise SegmentationError(
            "The label map holds values that are no labels (negative, not finite or above 65535).",
            "Give an integer label map, not an image or a probability map.",
        )
    whole = array.astype(np.uint8 if high < 256 else np.uint16)
    if not np.issubdtype(array.dtype, np.integer) and not np.array_equal(whole, array):
        raise SegmentationError(
            "The label map holds fractional values.", "Give an integer label map, not an image or a probability map."
        )
    return whole


def value_counts(array: np.ndarray) -> dict[int, int]:
    """Voxels of every value that occurs, 0 aside; a slab at a time, to keep memory low."""
    total = np.zeros(int(array.max(initial=0)) + 1, dtype=np.int64)
    for slab in array:
        counts = np.bincount(slab.ravel())
        total[: len(counts)] += counts
    return {int(v): int(total[v]) for v in np.flatnonzero(total) if v}


def apply_mapping(array: np.ndarray, mapping: dict[int, int]) -> np.ndarray:
    """Replace values by a table; values that occur must have an entry. The same array if nothing changes."""
    table = np.zeros(np.iinfo(array.dtype).max + 1, dtype=np.uint8)
    for value, canonical in mapping.items():
        if value < len(table):
            table[value] = canonical
    table[0] = 0
    if array.dtype == np.uint8 and all(table[v] == v for v in mapping):
        return array
    mapped = np.zeros(array.shape, np.uint8)
    for source, target in zip(array, mapped, strict=True):
        if source.any():
            target[...] = table[source]
    return mapped


def _chosen_scheme(
    labels: Volume, array: np.ndarray, counts: dict[int, int], scheme: str | Path
) -> tuple[str, dict[int, int]]:
    if str(scheme) in SCHEMES:
        return str(scheme), SCHEMES[str(scheme)]
    if str(scheme) != "auto":
        return "file", read_scheme(Path(scheme))
    segments = labels.meta.get("segments")
    if segments:
        mapping = scheme_from_segments(segments, counts)
        if mapping is not None:
            return "segments", mapping
    return _plausible_scheme(labels.with_array(array), counts)


def _plausible_scheme(labels: Volume, counts: dict[int, int]) -> tuple[str, dict[int, int]]:
    faults = {name: fault_of(labels, counts, mapping) for name, mapping in SCHEMES.items()}
    fitting = [name for name, fault in faults.items() if fault is None]
    if len(fitting) == 1:
        return fitting[0], SCHEMES[fitting[0]]
    if fitting:
        raise SegmentationError(
            f"The label map fits more than one label scheme ({', '.join(fitting)}), so its structures are uncertain.",
            "Say which with --label-scheme.",
            fitting=fitting,
        )
    reasons = {name: fault.clause for name, fault in faults.items()}
    nearest = max(faults, key=lambda name: faults[name].check)
    if faults[nearest].check > UNKNOWN:  # the numbering is known, so what is wrong is the anatomy
        raise SegmentationError(f"Read as {nearest}, {reasons[nearest]}.", faults[nearest].hint, reasons=reasons)
    listed = "; ".join(f"{SCHEME_TITLES[name]}: {reason}" for name, reason in reasons.items())
    raise SegmentationError(
        f"The label map fits no known label scheme. {listed}.",
        "Give --label-scheme a JSON file that maps every value to a structure.",
        reasons=reasons,
    )


def read_scheme(path: Path) -> dict[int, int]:
    """A label scheme from a JSON file that maps values to canonical names or values.

    Raises
    ------
    MissingFileError
        If there is no such file (nor a built-in scheme of that name).
    ConfigError
        If the file is not such a table.
    """
    hint = 'Write it as {"1": "femur", "2": "fem_cart", "3": 0}; known names: ' + ", ".join(BY_NAME) + "."
    if not path.is_file():
        raise MissingFileError(
            "The label scheme is neither auto, canonical, native nor archive, nor a file that exists.",
            "Give one of these names or the path of a JSON file.",
        )
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("The label scheme file is not valid JSON.", hint) from error
    if not isinstance(table, dict) or not table:
        raise ConfigError("The label scheme file does not hold a table from values to structures.", hint)
    mapping = {}
    for key, structure in table.items():
        if not str(key).strip().isdigit():
            raise ConfigError(f"The label scheme file has '{key}' where a label value is expected.", hint)
        mapping[int(key)] = _structure_value(structure, hint)
    return mapping


def _structure_value(structure: object, hint: str) -> int:
    if isinstance(structure, str):
        known = BY_NAME.get(structure.strip().lower())
        value = known.value if known else None
    elif isinstance(structure, int) and not isinstance(structure, bool):
        value = structure if structure == 0 or structure in BY_VALUE else None
    else:
        value = None
    if value is None:
        raise ConfigError(f"The label scheme file names an unknown structure, {json.dumps(structure)}.", hint)
    return FOLDED_SUBREGIONS.get(value, value)
