"""The mark that every file of a practice run carries, in the place where its format keeps such things."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

WORDS = "PRACTICE MODE: digital knee, not a patient"
_NIFTI_DESCRIPTION = slice(148, 228)
"""Bytes of the field ``descrip`` in a NIfTI-1 header (nifti1.h)."""


def mark(path: Path) -> None:
    """Write the mark into one file; formats that cannot carry one are refused.

    Raises
    ------
    ValueError
        For a kind of file that nobody has taught this function.
    """
    name = path.name
    if name.endswith(".nrrd"):
        header, separator, data = path.read_bytes().partition(b"\n\n")
        path.write_bytes(header + b"\npractice:=" + WORDS.encode() + separator + data)
    elif name.endswith(".nii.gz"):
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[_NIFTI_DESCRIPTION] = WORDS.encode().ljust(80, b"\0")
        path.write_bytes(gzip.compress(bytes(content), 1, mtime=0))
    elif name.endswith(".vtk"):
        version, _, rest = path.read_bytes().partition(b"\n")
        title, _, body = rest.partition(b"\n")
        path.write_bytes(version + b"\n" + WORDS.encode() + b"; " + title + b"\n" + body)
    elif name.endswith(".json"):
        _mark_json(path)
    elif name.endswith(".csv"):
        _mark_csv(path)
    elif name.endswith(".html"):
        page = path.read_text(encoding="utf-8")
        banner = f'<p role="alert" style="background:#b00020;color:#fff;padding:1em">{WORDS}</p>'
        head, tag, rest = page.partition("<body>")
        path.write_text(head + tag + banner + rest if tag else banner + page, encoding="utf-8", newline="\n")
    else:
        raise ValueError(f"a practice run must not leave {name} without a mark")


def is_marked(path: Path) -> bool:
    """Whether a file says that it comes from a practice run."""
    if path.name.endswith(".nii.gz"):
        return WORDS.encode() in gzip.decompress(path.read_bytes())[_NIFTI_DESCRIPTION]
    content = path.read_bytes()
    if path.suffix == ".json":
        values = json.loads(content)
        return bool(values.get("practice") or values.get("run", {}).get("practice"))
    return WORDS.encode() in content


def _mark_json(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    if "run" in values:
        # results.json has a place of its own for this, filled by its writer.
        return
    text = json.dumps({**values, "practice": True}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def _mark_csv(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for number, row in enumerate(rows):
        writer.writerow([*row, "practice" if number == 0 else WORDS])
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
