"""Volumes in and out: DICOM, NIfTI, NRRD, MHA; orientation; label sets and terminology.

Everything named here is loaded when it is first used; importing this package loads NumPy and nothing heavier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .volume import Volume

if TYPE_CHECKING:
    from .checks import boxes_overlap, check_plausible_geometry, check_plausible_knee
    from .choices import EchoChoiceError, root_sum_of_squares
    from .dicom_series import SeriesInfo
    from .limits import DEFAULT_LIMITS, Limits
    from .reading import (
        check_values,
        dicom_facts,
        is_segmentation_file,
        list_series,
        read_echoes,
        read_image,
        read_labels,
    )
    from .resampling import from_sitk, resample_to, to_sitk
    from .source import Source, open_input
    from .writing import write_volume

_HOMES = {
    "DEFAULT_LIMITS": "limits", "EchoChoiceError": "choices", "Limits": "limits", "SeriesInfo": "dicom_series",
    "Source": "source", "boxes_overlap": "checks", "check_plausible_geometry": "checks",
    "check_plausible_knee": "checks", "check_values": "reading", "dicom_facts": "reading",
    "from_sitk": "resampling", "is_segmentation_file": "reading",
    "list_series": "reading", "open_input": "source", "read_echoes": "reading",
    "read_image": "reading", "read_labels": "reading", "resample_to": "resampling", "root_sum_of_squares": "choices",
    "to_sitk": "resampling", "write_volume": "writing",
}

__all__ = [
    "DEFAULT_LIMITS", "EchoChoiceError", "Limits", "SeriesInfo", "Source", "Volume", "boxes_overlap",
    "check_plausible_geometry", "check_plausible_knee", "check_values", "dicom_facts", "from_sitk",
    "is_segmentation_file", "list_series",
    "open_input", "read_echoes", "read_image", "read_labels", "resample_to", "root_sum_of_squares", "to_sitk",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    """Load the module that holds ``name`` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
