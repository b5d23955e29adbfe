"""Values of DICOM elements as plain numbers and texts, whatever type pydicom found them in."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def number(value: Any) -> float | None:
    """The first finite number in an element's value of whatever type, or None."""
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore").strip(" \0").split("\\")[0]
    elif not isinstance(value, str | int | float) and np.iterable(value):
        value = next(iter(value), None)
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def whole(value: Any) -> int | None:
    """The first number as an integer, or None."""
    result = number(value)
    return int(result) if result is not None else None


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """Exactly ``count`` finite numbers, or None."""
    if value is None or isinstance(value, str | bytes) or not np.iterable(value):
        return None
    result = [number(v) for v in value]
    return tuple(result) if len(result) == count and None not in result else None


def without_identifiers(text: Any, dataset: Dataset) -> str:
    """A free-text field without the patient's name and id and without long digit groups (dates, record numbers)."""
    result = " ".join(str(text or "").split())[:64]
    private = f"{dataset.get('PatientName', '') or ''} {dataset.get('PatientID', '') or ''}"
    for word in re.split(r"[\s^=,]+", private):
        if len(word) >= 3:
            result = re.sub(re.escape(word), "*", result, flags=re.IGNORECASE)
    return re.sub(r"\d{6,}", "*", result)


def words(value: Any) -> tuple[str, ...]:
    """The values of an element of text, upper case, without those that are empty."""
    if value is None:
        return ()
    values = [value] if isinstance(value, str | bytes) or not np.iterable(value) else list(value)
    texts = (v.decode("ascii", "ignore") if isinstance(v, bytes) else str(v) for v in values)
    return tuple(t for text in texts for part in text.split("\\") if (t := part.strip(" \0").upper()))
