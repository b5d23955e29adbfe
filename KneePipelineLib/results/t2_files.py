"""The T2 map and the regional T2 as files, and what results.json says about them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ..imaging.labels import REGIONS
from ..imaging.volume import Volume
from ..system.atomic import write_text
from .outputs import Output, checked_prefix
from .tables import json_text, number
from .threads import in_threads
from .wording import T2_TABLE

_DEPTHS = {"all": "", "deep": "deep_", "superficial": "superficial_"}
_LISTS = ("regions", "counts", "practice")


def write_t2_files(folder: Path | str, prefix: str, t2_map: Volume, t2: Mapping) -> list[Output]:
    """Write ``<prefix>_t2map.nrrd`` and ``.nii.gz`` (ms, NaN where not measured) and ``<prefix>_t2_results.json``.

    Parameters
    ----------
    folder : path-like
        Where they go.
    prefix : str
        Beginning of the file names.
    t2_map : Volume
        float32, ms.
    t2 : mapping
        ``t2_method``, ``sequence``, ``regions`` (region -> measure -> value) and ``counts`` (region -> depth ->
        counts), as the T2 branch leaves them; without labels the last two are empty.
    """
    from ..imaging import write_volume

    folder, outputs = Path(folder), t2_outputs(checked_prefix(prefix), with_labels=bool(t2.get("regions")))
    row = {"t2_method": t2.get("t2_method"), "sequence": t2.get("sequence"), **t2_row(t2)}
    calls = [partial(write_volume, t2_map, folder / output.path) for output in outputs[:2]]
    in_threads([*calls, partial(write_text, folder / outputs[2].path, json_text(row))])
    return outputs


def t2_outputs(prefix: str, with_labels: bool = True) -> list[Output]:
    """The listing of the three files; without labels the map lies on the grid of the echoes."""
    reference = f"{prefix}_all-labels.nrrd" if with_labels else None
    return [
        Output(role="t2_map", path=f"{prefix}_t2map.nrrd", type="volume", title="T2 map", reference=reference,
               units="ms"),
        Output(role="t2_map_nifti", path=f"{prefix}_t2map.nii.gz", type="volume", title="T2 map", reference=reference,
               units="ms"),
        Output(role="t2_record", path=f"{prefix}_t2_results.json", type="record", title="Regional T2", units="ms"),
    ]


def t2_row(t2: Mapping) -> dict[str, float | int | None]:
    """One flat row: ``<region>[_deep|_superficial]_t2_ms_mean|std|median``, ``_t2_n`` and ``_t2_excluded`` (voxels).

    Regions and layers that were not measured have no entry.
    """
    row: dict[str, float | int | None] = {}
    for region in REGIONS:
        measures, counts = t2.get("regions", {}).get(region, {}), t2.get("counts", {}).get(region, {})
        row.update({f"{region}_{name}": number(measures[name]) for name in T2_TABLE if name in measures})
        for depth, layer in _DEPTHS.items():
            for name in ("n", "excluded"):
                if depth in counts:
                    row[f"{region}_{layer}t2_{name}"] = counts[depth][name]
    return row


def t2_counts(t2: Mapping, region: str) -> dict[str, int]:
    """Voxels behind a region's T2, under the names of results.json: ``t2_voxels``, ``deep_t2_voxels``, ..."""
    counts = t2.get("counts", {}).get(region, {})
    return {f"{layer}t2_{word}": counts[depth][name] for depth, layer in _DEPTHS.items() if depth in counts
            for word, name in (("voxels", "n"), ("excluded", "excluded"))}


def t2_record(t2: Mapping) -> dict:
    """How T2 was computed, and by region why voxels were left out, for results.json."""
    excluded = {region: {reason: count for reason, count in counts["all"].items() if reason not in ("n", "excluded")}
                for region, counts in t2.get("counts", {}).items() if "all" in counts}
    return {**{key: value for key, value in t2.items() if key not in _LISTS}, "excluded_voxels": excluded}
