"""What results.json says about where the images and the labels of a run came from."""

from __future__ import annotations

from ...errors import ConfigError
from ...weights import entry
from ..context import StageContext
from ..files import read_json

_OF_THE_MODEL = ("kind", "device", "precision", "notice", "sha256")
_OF_THE_HEADER = {"manufacturer": "manufacturer", "model": "scanner", "acquisition_type": "acquisition",
                  "repetition_time_ms": "repetition_time_ms", "flip_angle_deg": "flip_angle_deg",
                  "field_strength_t": "magnetic_field_t", "echo_times_ms": "echo_times_ms"}


def source_of_labels(context: StageContext) -> str:
    """``network``, ``given``, ``truth`` or ``none``; labels that come with known values are the digital knee's."""
    source = str(context.result("segmentation").get("source", "none"))
    return "truth" if source == "given" and context.options.truth else source


def about_model(context: StageContext) -> dict | None:
    """The network: its name, what the catalogue says about it, and what it said about itself; None without one."""
    found = context.result("segmentation")
    if found.get("source") != "network":
        return None
    name = context.options.model
    said = found.get("model", {})
    about = {"name": name, **{key: str(value) for key, value in said.items() if key in _OF_THE_MODEL and value},
             **{key: said[key] for key in ("stages", "ignored_structures") if said.get(key)}}
    try:
        known = entry(name)
    except ConfigError:
        return about  # a network of the user's own
    about |= {"title": known.title, "licence": known.licence}
    if known.kind in ("nnunet", "planar"):
        about.setdefault("kind", known.kind)
    return about | ({"citation": known.citation} if known.citation else {})


def about_scanner(context: StageContext) -> dict:
    """What the DICOM header says about the acquisition, in the words of results.json; empty without a header."""
    if not context.has("metadata"):
        return {}
    facts = read_json(context.path("metadata", "metadata.json"))
    return {ours: facts[theirs] for theirs, ours in _OF_THE_HEADER.items() if _is_known(facts.get(theirs))}


def notices(fits: dict) -> list[tuple[str, str]]:
    """What the licences of the shape models oblige a reader to know."""
    found = []
    for name in dict.fromkeys(fit.get("model", "own") for fit in fits.values()):
        if name != "own" and entry(name).non_commercial:
            found.append((name, f"the shape model {entry(name).title} may be used for non-commercial purposes only"))
    return found


def _is_known(value: object) -> bool:
    # The header's reader leaves stars where a text held the patient's name.
    if isinstance(value, str):
        return bool(value) and "*" not in value
    return value is not None and value != [] and not (isinstance(value, list) and None in value)
