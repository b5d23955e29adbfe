"""How a run was made, as text in the scene: readable details, and the records of the run as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .scene_changes import SceneChanges
from .scene_files import checked

LARGEST_RECORD_BYTES = 1 << 20
"""A longer file is no reading matter; it stays in the folder."""


def add_details(changes: SceneChanges, record: dict, scores: dict[str, Any], name: str) -> Any:
    """A text node that tells what was done, with what, and what to look at."""
    return _add_text(changes, name, details(record, scores))


def add_record(changes: SceneChanges, path: Path, name: str) -> Any | None:
    """A small JSON file as text node; None where it is too long to read."""
    if checked(path).stat().st_size > LARGEST_RECORD_BYTES:
        return None
    return _add_text(changes, name, path.read_text(encoding="utf-8"))


def read_scores(folder: Path, outputs: list[dict]) -> dict[str, Any]:
    """Title of each score record -> its numbers."""
    scores = {}
    for output in outputs:
        if output["role"] == "score_record" and output["path"].endswith(".json"):
            values = json.loads(checked(folder / output["path"]).read_text(encoding="utf-8"))
            if isinstance(values, dict):
                scores[output["title"]] = {k: v for k, v in values.items() if isinstance(v, (int, float, str))}
    return scores


def details(record: dict, scores: dict[str, Any] | None = None) -> str:
    """The run in plain text, from results.json; what is not there is left out."""
    run, given, side = record.get("run", {}), record.get("input", {}), record.get("side", {})
    lines = ["KneePipeline: how these results were made", ""]
    if run.get("practice"):
        lines += ["PRACTICE MODE: these are the digital knee's numbers, not those of the input.", ""]
    model = run.get("model") or {}
    facts = [
        ("Date (UTC)", record.get("created", "").replace("T", " ").rstrip("Z")),
        ("Status", record.get("status")),
        ("Side", f"{side.get('value', 'unknown')} (from: {side.get('determined_by', 'none')})"),
        ("Segmentation", _segmentation(run, model)),
        ("Licence of the model", model.get("licence")),
        ("Device", run.get("device")),
        ("Steps", ", ".join(run.get("steps", []))),
        ("Input", _input(given)),
        ("Quality", record.get("quality", {}).get("overall")),
        ("Options", run.get("options_digest", "")[:16] and f"SHA-256 {run['options_digest'][:16]}..."),
    ]
    lines += [f"{title}: {value}" for title, value in facts if value]
    for title, values in (scores or {}).items():
        lines.append(f"{title}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
    lines += _section("Look at", [c["message"] for c in record.get("quality", {}).get("checks", [])
                                  if c.get("flag") != "ok"])
    lines += _section("Warnings", [w["message"] for w in record.get("warnings", [])])
    lines += _section("What failed", [" ".join(filter(None, (e["message"], e.get("hint")))) for e in
                                      record.get("errors", [])])
    lines += _section("Not done", [f"{s['part']}: {s['reason']}" for s in record.get("skipped", [])])
    lines += _section("Software", [f"{name} {version}" for name, version in run.get("versions", {}).items()])
    lines += ["", "On the models 0 mm means that there is no cartilage. A T2 of 0 ms means that none was measured.",
              "The T2 map in the scene holds cartilages and menisci; the whole map is in the results folder."]
    return "\n".join(lines) + "\n"


def _segmentation(run: dict, model: dict) -> str:
    source = {"network": "network", "given": "given labels", "truth": "the digital knee's own labels", "none": "none"}
    words = source.get(run.get("segmentation", ""), run.get("segmentation", ""))
    named = " ".join(filter(None, (model.get("title") or model.get("name"), model.get("notice") and
                                   f"({model['notice']})")))
    return f"{words}: {named}" if named else words


def _input(given: dict) -> str:
    size = " x ".join(map(str, given.get("size", [])))
    spacing = " x ".join(f"{s:g}" for s in given.get("spacing_mm", []))
    parts = [given.get("kind"), size and f"{size} voxels", spacing and f"{spacing} mm", given.get("sequence")]
    return ", ".join(part for part in parts if part)


def _section(title: str, sentences: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"- {sentence}" for sentence in sentences)] if sentences else []


def _add_text(changes: SceneChanges, name: str, text: str) -> Any:
    node = changes.scene.AddNewNodeByClass("vtkMRMLTextNode", name)
    node.SetText(text)
    return node
