"""results.json and report.html as they read in an archive that does not hold every file they list."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from .report_text import files_beside
from .tables import json_text


def texts_without(folder: Path | str, absent: Collection[str]) -> dict[str, str]:
    """The two files that list a run's files, with the absent ones taken out of their lists.

    Parameters
    ----------
    folder : path-like
        Holds ``results.json`` and, where there is one, ``report.html``; neither is changed.
    absent : collection of str
        Paths, relative to the folder, of files that the reader will not find.

    Returns
    -------
    dict of file name to text
        Only of files that change.
    """
    folder, texts = Path(folder), {}
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    shorter = {**record, "outputs": [output for output in record["outputs"] if output["path"] not in absent]}
    if shorter == record:
        return texts
    texts["results.json"] = json_text(shorter)
    report = folder / "report.html"
    if report.is_file():
        page, listed = report.read_text(encoding="utf-8"), files_beside(record)
        if listed not in page:  # or the archive would name a file that it does not hold
            raise ValueError("report.html does not list the files that results.json lists")
        texts["report.html"] = page.replace(listed, files_beside(shorter))
    return texts
