"""The label maps a run leaves: NRRD for machines, .nii.gz beside it for people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ..imaging.labels import DEEP_OFFSET, SUPERFICIAL_OFFSET
from ..imaging.volume import Volume
from .outputs import Output, checked_prefix
from .threads import in_threads

_KINDS = {
    "labels": ("all_labels", "all-labels", ("nrrd", "nii.gz"), "Bones, cartilages and menisci"),
    "subregions": ("subregion_labels", "subregions-labels", ("nrrd", "nii.gz"), "Labels with femoral subregions"),
    "parts": ("fine_region_labels", "fine-regions-labels", ("nrrd",),
              "Cartilage by subregion: the sixteen, trochlea and patella in halves"),
    "depth": ("depth_labels", "depth_seg", ("nrrd",),
              f"Cartilage layers: region + {DEEP_OFFSET} deep, + {SUPERFICIAL_OFFSET} superficial"),
}


def write_label_files(
    folder: Path | str,
    prefix: str,
    *,
    labels: Volume | None = None,
    subregions: Volume | None = None,
    depth: Volume | None = None,
    parts: Volume | None = None,
) -> list[Output]:
    """Write those label maps that are given, under the names of the design's section 8, side by side.

    Parameters
    ----------
    folder : path-like
        Where they go.
    prefix : str
        Beginning of the file names.
    labels, subregions, depth, parts : Volume, optional
        ``<prefix>_all-labels``, ``<prefix>_subregions-labels`` (both .nrrd and .nii.gz), ``<prefix>_depth_seg.nrrd``,
        ``<prefix>_fine-regions-labels.nrrd``.

    Returns
    -------
    list of Output
        Every file written.
    """
    from ..imaging import write_volume

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    volumes = {"labels": labels, "subregions": subregions, "depth": depth, "parts": parts}
    outputs, calls = [], []
    for kind, volume in volumes.items():
        if volume is None:
            continue
        for output in label_outputs(prefix, kind):
            outputs.append(output)
            calls.append(partial(write_volume, volume, folder / output.path))
    in_threads(calls)
    return outputs


def label_outputs(prefix: str, kind: str) -> list[Output]:
    """The listing of one kind of label map: ``labels``, ``subregions``, ``depth`` or ``parts``."""
    role, stem, suffixes, title = _KINDS[kind]
    first = f"{checked_prefix(prefix)}_{stem}.{suffixes[0]}"
    roles: Mapping[str, str] = {"nrrd": role, "nii.gz": f"{role}_nifti"}
    return [
        Output(role=roles[suffix], path=f"{prefix}_{stem}.{suffix}", type="labels", title=title,
               reference=None if suffix == "nrrd" else first)
        for suffix in suffixes
    ]
