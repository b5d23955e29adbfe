"""The last lines that a person at a terminal reads: what was found, what asks for attention, where the report lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .quality import already_said
from .wording import FOLLOWS_FROM_OTHERS, PARTS

SHOWN = (("fem_cart", "femur"), ("med_tib_cart", "medial tibia"), ("lat_tib_cart", "lateral tibia"),
         ("pat_cart", "patella"))

def summary(record: Mapping, folder: Path) -> str:
    """Some lines of text about one results.json.

    Parameters
    ----------
    record : mapping
        The content of results.json.
    folder : Path
        Where it lies; shown to the person who named it, and to nobody else.
    """
    lines = [f"Quality: {record['quality']['overall']}. Side: {record['side']['value']}."]
    means = [(title, record["regions"].get(region, {}).get("measures", {}).get("mm_mean")) for region, title in SHOWN]
    found = [f"{title} {mean:.2f}" for title, mean in means if mean is not None]
    if found:
        lines.append(f"Mean cartilage thickness in mm: {', '.join(found)}.")
    checks = record["quality"]["checks"]
    attention = [w["message"] for w in record["warnings"]
                 if w.get("severity") == "serious" and not already_said(w, checks)]
    attention += [check["message"] for check in checks if check["message"] not in attention]
    lines += [f"Look at this: {message}" for message in attention]
    lines += [f"Failed: {part_title(error['part'])}. {error['message']}" for error in record["errors"]
              if error.get("part")]
    lines += [f"Not done: {part_title(part['part'])}, because {part['reason']}." for part in record["skipped"]
              if part["part"] not in FOLLOWS_FROM_OTHERS]
    scores = [f"{fit['bscore']:.2f} ({fit['title']})" for fit in record.get("shape", {}).values()
              if fit["bscore"] is not None]
    if scores:
        lines.append(f"BScore: {', '.join(scores)}.")
    lines.append(f"Report: {folder / 'report.html'}")
    return "\n".join(lines)


def part_title(name: str) -> str:
    """What a person calls a part of a run."""
    return PARTS.get(name, (name, ""))[0]
