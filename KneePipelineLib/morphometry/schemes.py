"""Label maps of any known numbering -> canonical labels, or a sentence why not.

A label map is never trusted blindly: read in the wrong order, every bone is painted as cartilage. What decides, in this
order: a scheme named by the caller; the names and codes of the segments (.seg.nrrd); otherwise plausibility, and only
if exactly one known order is plausible. However it was chosen, the knee it shows must be one: large enough bones, the
femur above the tibia, every cartilage on its bone.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import SegmentationError
from ..imaging import check_plausible_geometry
from ..imaging.volume import Volume
from .hollow import fill_hollow_bones
from .numberings import PARTED, PUBLIC, PUBLIC_TITLES, SCHEME_TITLES, SCHEMES, in_words, mapping_of
from .parting import part_at_the_middle
from .plausibility import PLACE, Fault, Seen, bone_like, fault_of
from .scheme_file import example, read_scheme
from .segments import scheme_from_segments, side_named
from .two_knees import one_knee
from .values import apply_mapping, integer_labels, value_counts

READ_AS = {"file": "Read with the given scheme file", "segments": "Read by the names of its segments"}
WAYS_OUT = ("If it is a numbering of your own, give --label-scheme a JSON file such as {example}; those of public data "
            f"sets have names: {', '.join(PUBLIC)}.")


def canonical_labels(labels: Volume, scheme: str | Path = "auto", *, side: str = "auto") -> Volume:
    """The same map with canonical values (design section 7), as uint8.

    Parameters
    ----------
    labels : Volume
        Integer label map of any orientation; ``meta["segments"]``, when there, is a list of
        ``{"name", "value", "terminology"}``.
    scheme : str or Path
        ``auto``, a name of `numberings.SCHEMES` or `numberings.PUBLIC`, or a JSON file such as
        ``{"1": "femur", "2": 4, "3": 0}`` (names or canonical values; 0 drops a structure on purpose).
    side : str
        ``right``, ``left`` or ``auto``: which knee it is, where one label for both sides has to be parted, and which
        is meant where the map shows two.

    Returns
    -------
    Volume
        ``meta["label_scheme"]`` says which scheme was taken, ``meta["warnings"]`` holds the map's own and what was done
        to it (one of two knees cut out, bones filled, labels parted) as (code, sentence), ``meta["named_side"]`` which
        knee its segments' names and codes speak of (``right``, ``left`` or None), and ``meta["segments"]`` is left out.

    Raises
    ------
    SegmentationError
        If values have no structure in the scheme, the scheme that was named shows no knee, or with ``auto`` none or
        more than one known scheme does; or if the map shows two knees and nobody said which.
    InvalidFormatError
        If the map's size, spacing or field of view is not that of a knee.
    ConfigError, MissingFileError
        If the scheme is unknown, or its file cannot be read or does not say what it should.
    """
    array = integer_labels(labels.array)
    counts = value_counts(array)
    if not counts:
        raise SegmentationError("The label map is empty: none of its voxels has a label.",
                                "Check that the segmentation was saved, and that it is the one meant.")
    check_plausible_geometry(labels, "label map")
    seen = Seen(labels.with_array(array), counts)
    name, mapping = _chosen_scheme(seen, labels.meta.get("segments"), scheme)
    missing = sorted(v for v in counts if v not in mapping)
    if missing:
        raise SegmentationError(
            f"The label map holds values {missing} for which the label scheme '{name}' has no structure.",
            "Give --label-scheme the scheme of this file, or a JSON file that maps every value, such as "
            f"{example(counts, mapping)} (0 leaves a structure out).", unknown=missing)
    if name not in SCHEMES or str(scheme) != "auto":  # the others were chosen for their plausibility
        fault = fault_of(seen, mapping)
        if fault is not None:
            raise SegmentationError(f"{READ_AS.get(name, f'Read as {name}')}, {fault.clause}.", fault.hint)
    return _as_measured(seen, {value: mapping[value] for value in counts}, name, side)


def _as_measured(seen: Seen, mapping: dict[int, int], name: str, side: str) -> Volume:
    """The map in canonical values: hollow bones filled, labels of both sides parted."""
    labels = seen.labels
    meta = {k: v for k, v in labels.meta.items() if k != "segments"} | {"label_scheme": name}
    meta["named_side"] = side_named(labels.meta.get("segments") or [], seen.counts)
    warnings = list(meta.get("warnings", []))
    found = Volume(apply_mapping(labels.array, mapping), labels.spacing, labels.origin, labels.direction, meta)
    found, cut = one_knee(found, side)
    found, filled = fill_hollow_bones(found)
    parted: list[tuple[str, str]] = []
    if set(mapping.values()) & set(PARTED):
        found, parted = part_at_the_middle(found, side)
    return found.with_array(found.array, warnings=[*warnings, *cut, *filled, *parted])


def _chosen_scheme(seen: Seen, segments: list[dict] | None, scheme: str | Path) -> tuple[str, dict[int, int]]:
    if str(scheme) in SCHEMES or str(scheme) in PUBLIC:
        return str(scheme), mapping_of(str(scheme), seen.counts)
    if str(scheme) != "auto":
        return "file", read_scheme(Path(scheme))
    if segments:
        mapping = scheme_from_segments(segments, seen.counts)
        if mapping is not None:
            return "segments", mapping
    return _plausible_scheme(seen)


def _plausible_scheme(seen: Seen) -> tuple[str, dict[int, int]]:
    mappings = {name: mapping_of(name, seen.counts) for name in SCHEMES}
    faults = {name: fault_of(seen, mapping) for name, mapping in mappings.items()}
    fitting = [name for name, fault in faults.items() if fault is None]
    if len(fitting) == 1:
        return fitting[0], mappings[fitting[0]]
    if fitting:
        raise SegmentationError(
            f"The label map fits more than one label scheme ({', '.join(fitting)}), so its structures are uncertain.",
            "Say which with --label-scheme.",
            fitting=fitting,
        )
    raise _refusal(seen, faults)


def _refusal(seen: Seen, faults: dict[str, Fault]) -> SegmentationError:
    """Why no known numbering fits: the bones, a public numbering, the anatomy, or all reasons."""
    reasons = {name: fault.clause for name, fault in faults.items()}
    bones = bone_like(seen)
    if len(bones) < 2:
        return _without_bones(seen, bones, reasons)
    public = [name for name in PUBLIC if fault_of(seen, mapping_of(name, seen.counts)) is None]
    if public:
        titles = " or ".join(f"{PUBLIC_TITLES[name]} ({in_words(PUBLIC[name])})" for name in public)
        return SegmentationError(
            f"The label map is in none of KneePipeline's own numberings, but it may be in that of {titles}.",
            "If it is, give " + " or ".join(f"--label-scheme {name}" for name in public) + ".", reasons=reasons,
            fitting=public)
    way_out = WAYS_OUT.format(example=example(seen.counts, {}))
    nearest = max(faults, key=lambda name: faults[name].check)
    if faults[nearest].check >= PLACE:  # sizes and values fit, so what is wrong may well be the anatomy
        hint = faults[nearest].hint if faults[nearest].check == PLACE else f"{faults[nearest].hint} {way_out}"
        return SegmentationError(f"Read as {nearest}, {reasons[nearest]}.", hint, reasons=reasons)
    listed = "; ".join(f"{SCHEME_TITLES[name]}: {reason}" for name, reason in reasons.items())
    return SegmentationError(f"The label map fits no known label scheme. {listed}.", way_out, reasons=reasons)


def _without_bones(seen: Seen, bones: list[int], reasons: dict[str, str]) -> SegmentationError:
    alike = [PUBLIC_TITLES[name] for name, mapping in PUBLIC.items()
             if set(seen.counts) <= set(mapping) and not {1, 2} & set(mapping.values())]
    known = f" {' and '.join(alike)} label no bones." if alike and not bones else ""
    held = f"only one label, {bones[0]}, is" if bones else "none of its labels is"
    return SegmentationError(
        f"There are no bones in this map: {held} large and thick enough for one." if not bones else
        f"There is only one bone in this map: {held} large and thick enough for one.",
        f"Femur and tibia are both needed to measure on; add them to the map.{known}", reasons=reasons)
