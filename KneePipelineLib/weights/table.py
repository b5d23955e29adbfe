"""The table of `models list`, in 80 to 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from .entries import Model

_HEADINGS = ("NAME", "WHAT FOR", "SIZE", "LICENCE", "STATE")
_GAP = 2


def models_table(models: Sequence[Model], states: Mapping[str, str], width: int) -> str:
    """All models as lines of at most ``width`` characters (80 or more); long cells are wrapped, never cut."""
    rows = [(model.name, model.purpose, size_text(model), licence_text(model), states[model.name])
            for model in models]
    fixed = [max(len(row[column]) for row in [_HEADINGS, *rows]) for column in (0, 2, 4)]
    flexible = width - sum(fixed) - _GAP * (len(_HEADINGS) - 1)
    licence = min(max(len(row[3]) for row in rows), flexible * 2 // 5)
    widths = (fixed[0], flexible - licence, fixed[1], licence, fixed[2])
    lines = [_line(_HEADINGS, widths), _line(tuple("-" * cell for cell in widths), widths)]
    for row in rows:
        cells = [textwrap.wrap(text, cell) or [""] for text, cell in zip(row, widths, strict=True)]
        for index in range(max(map(len, cells))):
            lines.append(_line(tuple(cell[index] if index < len(cell) else "" for cell in cells), widths))
    return "\n".join(lines)


def size_text(model: Model) -> str:
    """The download's size, with a ~ where the catalogue does not know it exactly."""
    if model.size_bytes is None:
        return "-"
    return f"{'~' if model.size_is_approximate else ''}{bytes_text(model.size_bytes)}"


def licence_text(model: Model) -> str:
    """Licence in a few words, with what a person has to do about it."""
    if model.gated:
        return "non-commercial, gated" if model.non_commercial else "gated"
    return model.licence


def bytes_text(size_bytes: int) -> str:
    """Bytes in the unit people use for downloads (powers of 1000)."""
    for limit, unit, digits in ((1e3, "B", 0), (1e6, "kB", 0), (1e9, "MB", 0)):
        if size_bytes < limit:
            return f"{size_bytes / (limit / 1e3):.{digits}f} {unit}"
    return f"{size_bytes / 1e9:.1f} GB"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (" " * _GAP).join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
