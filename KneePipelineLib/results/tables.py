"""The thickness tables under the names that existing scripts of the field read, and how every number is spelt.

A measure that does not exist is an empty cell in CSV and ``null`` in JSON: a reader gets a missing value from either,
and the JSON stays JSON (``NaN`` is not part of it, RFC 8259).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

from ..imaging.labels import FINE_NAMES, PLATES, REGIONS, SUMS
from ..measures_version import MEASURES_VERSION
from ..morphometry.records import AREA_MEASURES, JOINT_MEASURES, MEASURES
from ..system.atomic import write_text
from .outputs import Output, checked_prefix

FINE_COLUMNS = tuple(f"{name}_{measure}" for name in (*PLATES, *FINE_NAMES) for measure in AREA_MEASURES)
SUM_COLUMNS = tuple(f"{name}_ThC_tAB_mm" for name in SUMS)
_FIRST = MEASURES.index("ThC_cAB_mm") + 1
THICKNESS_COLUMNS = (
    *(f"{region}_{measure}" for region in REGIONS for measure in MEASURES[:_FIRST]),  # where scripts have them
    *(f"{region}_{measure}" for region in REGIONS for measure in MEASURES[_FIRST:]),
    *FINE_COLUMNS, *SUM_COLUMNS, *JOINT_MEASURES, "measures_version")
"""All columns, always in this order, whether or not a knee has that region."""


def thickness_row(
    regions: Mapping[str, Mapping[str, float]], fine: Mapping[str, Mapping[str, float]] | None = None,
    sums: Mapping[str, Mapping[str, float]] | None = None, joint: Mapping[str, float] | None = None,
) -> dict[str, float | str | None]:
    """One value for each of `THICKNESS_COLUMNS`; None where a region or a measure does not exist."""
    found = {f"{name}_{measure}": value for table in (regions, fine or {}, sums or {})
             for name, values in table.items() for measure, value in values.items()}
    found |= joint or {}
    row: dict[str, float | str | None] = {column: number(found.get(column)) for column in THICKNESS_COLUMNS[:-1]}
    return {**row, THICKNESS_COLUMNS[-1]: MEASURES_VERSION}


def write_thickness_files(
    folder: Path | str, prefix: str, regions: Mapping[str, Mapping[str, float]],
    fine: Mapping[str, Mapping[str, float]] | None = None, sums: Mapping[str, Mapping[str, float]] | None = None,
    joint: Mapping[str, float] | None = None,
) -> list[Output]:
    """Write ``<prefix>_thickness_results.csv`` (one row under the columns) and ``.json`` (one flat object).

    Parameters
    ----------
    folder : path-like
        Where they go.
    prefix : str
        Beginning of the file names.
    regions, fine, sums : mapping of region to mapping of measure to float
    joint : mapping of measure to float
        As `morphometry.KneeMorphometry`'s.
    """
    folder, prefix = Path(folder), checked_prefix(prefix)
    row = thickness_row(regions, fine, sums, joint)
    outputs = thickness_outputs(prefix)
    write_text(folder / outputs[0].path, csv_text(THICKNESS_COLUMNS, [row]))
    write_text(folder / outputs[1].path, json_text(row))
    return outputs


def thickness_outputs(prefix: str) -> list[Output]:
    """The listing of both files: CSV, JSON."""
    title = "Cartilage thickness, one row"
    stem = f"{prefix}_thickness_results"
    return [
        Output(role="thickness_table", path=f"{stem}.csv", type="table", title=title, units="mm, mm2, mm3, percent"),
        Output(role="thickness_record", path=f"{stem}.json", type="record", title=title, units="mm, mm2, mm3, percent"),
    ]


def number(value: object) -> float | int | None:
    """A Python number, or None for a missing, NaN or infinite one."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise TypeError("a measure is a number, not true or false")
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, (int, float)):
        raise TypeError(f"a measure is a number, not {type(plain).__name__}")
    return plain if math.isfinite(plain) else None


def csv_text(columns: tuple[str, ...], rows: list[Mapping[str, object]]) -> str:
    """CSV as RFC 4180 has it but with ``\\n``; None is an empty cell, numbers keep every digit."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return buffer.getvalue()


def json_text(value: object) -> str:
    """Indented JSON that every reader accepts; a NaN that slipped through is a ValueError."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
