"""results.json: one record of what was done to a knee and what came out, checked against the schema shipped beside it.

The record is a plain dictionary so that every stage, and every reader, can look into it without this package. It holds
no identifiers and no paths but the relative ones of its own outputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

import numpy as np

from ..imaging.labels import BY_NAME, REGION_OF, REGIONS, SUMS
from ..imaging.volume import Volume
from ..measures_version import MEASURES_VERSION
from ..system.atomic import write_text
from . import quality
from .counts import region_counts
from .outputs import Output, checked_prefix
from .rules import ACTIONS, MENISCUS, T2, THICKNESS
from .shape_record import shape_facts
from .t2_files import t2_counts, t2_record
from .tables import json_text, number
from .wording import JOINT_TABLE, MENISCUS_TABLE, T2_TABLE, severity_of, title_of, without_paths

SCHEMA_VERSION = "1.3"


def build_results(
    *,
    prefix: str,
    run: Mapping[str, object],
    input_facts: Mapping[str, object] | None = None,
    side: str = "unknown",
    side_from: str = "none",
    other_sides: Mapping[str, str] | None = None,
    regions: Mapping[str, Mapping[str, float]] | None = None,
    menisci: Mapping[str, Mapping[str, float]] | None = None,
    fine: Mapping[str, Mapping[str, float]] | None = None,
    sums: Mapping[str, Mapping[str, float]] | None = None,
    joint: Mapping[str, float] | None = None,
    t2: Mapping[str, object] | None = None,
    fits: Mapping[str, Mapping[str, object]] | None = None,
    scores: Mapping[str, object] | None = None,
    confidence: Mapping[str, object] | None = None,
    labels: Volume | None = None,
    subregions: Volume | None = None,
    surfaces: Mapping[str, object] | None = None,
    warnings: Iterable[tuple[str, str]] = (),
    outputs: Iterable[Output] = (),
    errors: Sequence[Mapping[str, object]] = (),
    skipped: Iterable[tuple[str, str]] = (),
    truth: Mapping[str, Mapping[str, float]] | None = None,
    notices: Iterable[tuple[str, str]] = (),
) -> dict:
    """Join what the stages found into the record of one knee.

    Every part may be missing, as after a failure: what is there is recorded, what is not is flagged.

    Parameters
    ----------
    prefix : str
        Beginning of the file names.
    run : mapping
        From `provenance.run_facts`.
    input_facts : mapping, optional
        From `provenance.input_facts`.
    side, side_from : str
        ``right``, ``left`` or ``unknown``; how it was found: ``option``, ``labels``, ``header``, ``truth``, ``none``.
    other_sides : mapping of source to side, optional
        What other sources say, for the quality check: ``header``, ``name`` (of the input), ``labels_name``.
    regions, menisci, fine, sums, joint : mapping, optional
        As `morphometry.KneeMorphometry`'s.
    t2 : mapping, optional
        As `t2_files.write_t2_files` takes it; its regional measures join those of ``regions``.
    fits, scores : mapping, optional
        As `shape_record.shape_facts` takes them.
    confidence : mapping, optional
        The network's verdict, as `segmentation.Confidence.to_dict`; of labels that were given there is none.
    labels, subregions, surfaces : optional
        For the numbers of points behind the measures and the checks that need the label map.
    warnings : iterable of (code, sentence)
        From any room.
    outputs : iterable of Output
        Files already written or about to be.
    errors : sequence of mapping
        As `errors.KneePipelineError.to_dict`, with ``part`` besides where only one branch failed.
    skipped : iterable of (part, reason)
        What was not done, and honestly why.
    truth : mapping, optional
        The digital knee's own regional measures.
    notices : iterable of (about, sentence)
        What whoever uses the results must know about a model; that of the run's model is added by itself.

    Returns
    -------
    dict
        JSON-serialisable; `write_results` validates and writes it.
    """
    regions, menisci, other_sides = regions or {}, menisci or {}, other_sides or {}
    counts = region_counts(labels=labels, subregions=subregions, surfaces=surfaces)
    shape = shape_facts(fits or {}, scores)
    t2 = t2 or {}
    for region in t2.get("regions", {}):
        counts[region] = {**counts.get(region, {}), **t2_counts(t2, region)}
    warnings = [(code, without_paths(sentence)) for code, sentence in warnings]
    checks = quality.check_knee(quality.KneeFacts(
        regions, counts, menisci, t2, labels, side, other_sides, confidence or {}, shape, warnings))
    for region, values in t2.get("regions", {}).items():
        regions = {**regions, region: {**regions.get(region, {}), **values}}
    warning_list = [_warning(code, sentence) for code, sentence in warnings]
    record = {
        "schema_version": SCHEMA_VERSION,
        "measures_version": MEASURES_VERSION,
        "prefix": checked_prefix(prefix),
        "status": "complete" if not errors else "partial" if regions or t2 or shape else "failed",
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run": dict(run),
        "input": dict(input_facts or {}),
        "side": _side(side, side_from, other_sides),
        "regions": {r: _region(r, regions[r], counts.get(r), checks) for r in REGIONS if r in regions},
        "menisci": {m: _meniscus(m, values, counts.get(m), checks) for m, values in menisci.items()},
        "warnings": warning_list,
        "quality": {"overall": quality.overall(checks, warning_list, errors), "checks": checks},
        "notices": _notices(run, notices),
        "outputs": [output.to_dict() for output in outputs],
        "errors": [_error(e) for e in errors],
        "skipped": [{"part": part, "reason": without_paths(reason)} for part, reason in skipped],
    }
    if fine:
        record["subregions"] = {name: _subregion(name, fine[name], checks) for name in fine}
        record["sums"] = {name: {"title": f"{' + '.join(SUMS[name])}, sum of thickness", "ThC_tAB_mm":
                                 number(values["ThC_tAB_mm"])} for name, values in (sums or {}).items()}
    if joint:
        record["joint"] = {name: number(joint.get(name)) for name in JOINT_TABLE}
    if t2:
        record["t2"] = plain(t2_record(t2))
    if shape:
        record["shape"] = plain(shape)
    if confidence:
        record["confidence"] = plain(confidence)
    if truth:
        record["truth"] = {r: {m: number(v) for m, v in truth[r].items()} for r in REGIONS if r in truth}
    return record


def write_results(folder: Path | str, record: Mapping[str, object]) -> list[Output]:
    """Validate the record, then write ``results.json`` and the tidy ``results.csv`` into the folder.

    Raises
    ------
    ValueError
        If the record breaks the schema; nothing is written then.
    """
    from .tidy import tidy_csv

    validate_results(record)
    outputs = results_outputs()
    texts = json_text(record), tidy_csv(record)  # both, before either file is touched
    for output, text in zip(outputs, texts, strict=True):
        write_text(Path(folder) / output.path, text)
    return outputs


def results_outputs() -> list[Output]:
    """The listing of results.json and results.csv."""
    return [
        Output(role="results", path="results.json", type="record", title="Everything about this run"),
        Output(role="results_table", path="results.csv", type="table", title="All measures, one a row"),
    ]


@cache
def results_schema() -> dict:
    """The JSON Schema (draft 2020-12) of results.json."""
    return json.loads(Path(__file__).with_name("results.schema.json").read_text(encoding="utf-8"))


def validate_results(record: Mapping[str, object]) -> None:
    """Raise ValueError, naming the place, when the record is not what results.schema.json describes."""
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(results_schema()).iter_errors(record))
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the record itself"
        raise ValueError(f"results.json would break its schema at {place}: {error.message}")


def options_digest(options: Mapping[str, object]) -> str:
    """SHA-256 of the options as compact JSON with sorted keys: equal digests, equal analysis."""
    text = json.dumps(options, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _side(side: str, determined_by: str, others: Mapping[str, str]) -> dict:
    entry: dict = {"value": side, "determined_by": determined_by}
    known = {source: other == side for source, other in others.items() if other in ("right", "left")}
    return {**entry, "agrees_with": known} if known else entry


def _region(region: str, measures: Mapping[str, float], counts: Mapping[str, int] | None, checks: list[dict]) -> dict:
    structure = BY_NAME[region]
    about = (THICKNESS, T2) if any(name in T2_TABLE for name in measures) else (THICKNESS,)
    entry = {
        "title": title_of(region),
        "structure": region,
        "label": structure.value,
        "color": list(structure.color),
        "measures": {name: number(value) for name, value in measures.items()},
        "flag": quality.flag_of(region, checks, *about),
    }
    return {**entry, "counts": dict(counts)} if counts else entry


def _subregion(name: str, measures: Mapping[str, float], checks: list[dict]) -> dict:
    """A plate or fine region; what throws doubt on the region it belongs to throws doubt on it."""
    entry = {"title": title_of(name), "region": REGION_OF[name],
             "measures": {measure: number(value) for measure, value in measures.items()},
             "flag": quality.flag_of(REGION_OF[name], checks, THICKNESS)}
    if name in BY_NAME:
        entry |= {"label": BY_NAME[name].value, "color": list(BY_NAME[name].color)}
    return entry


def _meniscus(name: str, measures: Mapping[str, float], counts: Mapping[str, int] | None, checks: list[dict]) -> dict:
    values = {m: number(measures.get(m)) for m in MENISCUS_TABLE}
    flag = quality.flag_of(name, checks, MENISCUS) if values["volume_mm3"] else "missing"
    entry = {"title": BY_NAME[name].title, "measures": values, "flag": flag}
    return {**entry, "counts": dict(counts)} if counts else entry


def _warning(code: str, message: str) -> dict:
    entry = {"code": code, "message": message, "severity": severity_of(code)}
    return {**entry, "action": ACTIONS[code]} if code in ACTIONS else entry


def _notices(run: Mapping, more: Iterable[tuple[str, str]]) -> list[dict]:
    """The notice of the run's own model first; each once."""
    model = run.get("model") or {}
    own = [(model["name"], model["notice"])] if model.get("notice") else []
    return [{"about": about, "message": without_paths(message)} for about, message in dict.fromkeys([*own, *more])]


def _error(error: Mapping[str, object]) -> dict:
    entry = {"code": str(error.get("code", "PIPELINE_ERROR")), "message": without_paths(str(error.get("message", "")))}
    for key in ("hint", "part"):
        if error.get(key):
            entry[key] = without_paths(str(error[key]))
    if error.get("details"):
        entry["details"] = plain(error["details"])
    return entry


def plain(value: object) -> object:
    """``value`` as JSON can carry it: NumPy numbers as numbers, NaN as None, unknown things as text, no paths."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, np.ndarray)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, np.generic)) and not isinstance(value, np.str_):
        return bool(value) if isinstance(value, np.bool_) else number(value)
    return without_paths(str(value))
