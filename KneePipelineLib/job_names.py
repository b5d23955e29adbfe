"""The other spellings: option and model names of existing configurations and of web forms, mapped to one of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NSM_TYPES = {"bone_and_cart": (False, True), "bone_only": (True, False), "both": (True, True), "none": (False, False)}
"""nsm_type -> (perform_bone_only_nsm, perform_bone_and_cart_nsm)."""

MODEL_NAMES = {
    "nnunet_fullres": ("nnunet_knee", "fullres"),
    "nnunet_cascade": ("nnunet_knee", "cascade"),
    "dosma_ananya": ("acl_qdess_bone_july_2024", None),
}
"""Name a person meets -> (value of default_seg_model, value of nnunet.type)."""


def title_of_model(default_seg_model: str, nnunet_type: str | None) -> str:
    """The name a person meets for a configuration's pair of values.

    >>> title_of_model("nnunet_knee", "cascade")
    'nnunet_cascade'
    """
    for title, (name, kind) in MODEL_NAMES.items():
        if name == default_seg_model and kind in (None, nnunet_type):
            return title
    return default_seg_model


def from_aliases(given: Mapping[str, Any], below: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """One source of options with every alternative spelling replaced by the one JobOptions uses.

    Parameters
    ----------
    given : mapping
        One source, such as a configuration file.
    below : mapping
        What the sources below it have settled already: ``perform_nsm: true`` alone keeps the kind chosen there.
    problems : list of str
        Appended to when two spellings contradict each other or a value has no meaning.
    """
    values = {str(key): value for key, value in given.items()}
    for alias, name in (("segmentation_model", "default_seg_model"), ("model", "default_seg_model"),
                        ("cartilage_smoothing", "image_smooth_var_cart")):
        if alias not in values:
            continue
        value = values.pop(alias)
        if value is None:
            continue
        if name in values and values[name] != value:
            problems.append(f"{alias} and {name} are both given and differ")
        values[name] = value
    if isinstance(values.get("nnunet_type"), str) and "nnunet" not in values:
        values["nnunet"] = {"type": values.pop("nnunet_type")}
    model = values.get("default_seg_model")
    if isinstance(model, str) and model in MODEL_NAMES:
        values["default_seg_model"], kind = MODEL_NAMES[model]
        if kind is not None:
            own = values.get("nnunet")
            values["nnunet"] = {**(own if isinstance(own, Mapping) else {}), "type": kind}
    _shape_model(values, below, problems)
    return values


def _shape_model(values: dict[str, Any], below: Mapping[str, Any], problems: list[str]) -> None:
    """perform_nsm and nsm_type become the two switches perform_bone_only_nsm and perform_bone_and_cart_nsm."""
    switches = ("perform_bone_only_nsm", "perform_bone_and_cart_nsm")
    kind = values.pop("nsm_type", None)
    perform = values.pop("perform_nsm", None)
    if perform is not None and not isinstance(perform, bool):
        problems.append(f"perform_nsm must be true or false, not {perform!r}")
        return
    if kind is not None and (not isinstance(kind, str) or kind not in NSM_TYPES):
        problems.append(f"nsm_type must be one of {', '.join(NSM_TYPES)}, not {kind!r}")
        return
    if kind is None and perform is None:
        return
    if perform is False:
        wanted = NSM_TYPES["none"]
    elif kind is not None:
        wanted = NSM_TYPES[kind]
    else:
        settled = tuple(values.get(s, below.get(s, s == switches[1])) for s in switches)
        wanted = settled if any(settled) else NSM_TYPES["bone_and_cart"]
    for switch, value in zip(switches, wanted, strict=True):
        if switch in values and values[switch] != value:
            problems.append(f"{switch} contradicts nsm_type or perform_nsm")
        values[switch] = value
