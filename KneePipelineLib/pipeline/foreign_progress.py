"""Progress out of other people's output: ``[PROGRESS] 3/10: name``, ``45%``, tqdm's bars."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MARKED = re.compile(r"\[PROGRESS\]\s*(\d+)\s*/\s*(\d+)\s*(?::\s*(.*\S))?", re.IGNORECASE)
_TQDM = re.compile(r"(?:^|\r)(?:(?P<name>[^\r|]*?):\s*)?\s*(?P<percent>\d{1,3})%\|[^|]*\|\s*(?P<done>\d+)/(?P<all>\d+)")
_PERCENT = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d+)?)\s?%(?!\w)")


@dataclass(frozen=True)
class Progress:
    """How far (0 to 1) and with what."""

    fraction: float
    message: str = ""


def parse_progress(text: str) -> Progress | None:
    """The progress that one line of foreign output tells, or None when it tells none.

    Parameters
    ----------
    text : str
        A line; with carriage returns in it (tqdm rewrites its line) the last piece counts.

    >>> parse_progress("[PROGRESS] 3/10: Creating meshes")
    Progress(fraction=0.3, message='Creating meshes')
    >>> parse_progress("predicting:  45%|####5     | 9/20 [00:04<00:05,  2.1it/s]")
    Progress(fraction=0.45, message='predicting')
    >>> parse_progress("45%")
    Progress(fraction=0.45, message='')
    >>> parse_progress("Dice 0.9, 12 cases") is None
    True
    """
    pieces = [piece for piece in re.split(r"[\r\n]", text) if piece.strip()]
    if not pieces:
        return None
    piece = pieces[-1]
    marked = _MARKED.search(piece)
    if marked:
        done, total = int(marked[1]), int(marked[2])
        return _progress(done / total, marked[3] or "") if total else None
    bar = _TQDM.search(piece)
    if bar:
        total = int(bar["all"])
        return _progress(int(bar["done"]) / total if total else int(bar["percent"]) / 100, (bar["name"] or "").strip())
    percent = _PERCENT.findall(piece)
    if percent and float(percent[-1]) <= 100:
        return _progress(float(percent[-1]) / 100, "")
    return None


def _progress(fraction: float, message: str) -> Progress | None:
    return Progress(fraction, message) if 0 <= fraction <= 1 else None
