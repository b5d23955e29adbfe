"""The last lines that a person at a terminal reads: what was found, what asks for attention, where the report lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SHOWN = (("fem_cart", "femur"), ("med_tib_cart", "medial tibia"), ("lat_tib_cart", "lateral tibia"),
         ("pat_cart", "patella"))
NOT_WORTH_SAYING = ("image", "echoes", "metadata", "score")
"""Parts whose absence follows from what the other lines say already."""


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
    attention = [w["message"] for w in record["warnings"] if w.get("severity") == "serious"]
    attention += [check["message"] for check in record["quality"]["checks"] if check["message"] not in attention]
    lines += [f"Look at this: {message}" for message in attention]
    lines += [f"Failed: {error['part']}. {error['message']}" for error in record["errors"] if error.get("part")]
    lines += [f"Not done: {part['part']}, because {part['reason']}." for part in record["skipped"]
              if part["part"] not in NOT_WORTH_SAYING]
    lines.append(f"Report: {folder / 'report.html'}")
    return "\n".join(lines)
