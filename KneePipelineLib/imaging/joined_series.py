"""Series that an anonymiser or a converter tore apart, put together again: a SeriesInstanceUID for every file."""

from __future__ import annotations

from collections import defaultdict

from .dicom_frames import Frame


def joined(groups: list[list[Frame]]) -> list[list[Frame]]:
    """Groups of one image each that are the slices of one series, as one group; all others as they are.

    Evidence: one classic image in each, all of one folder or study, with the same series number, description, size,
    orientation and kind, at places that differ. Two such images may be two localizers, so it takes three.
    """
    families: dict[tuple, list[list[Frame]]] = defaultdict(list)
    result = []
    for group in groups:
        frame = group[0]
        if len(group) > 1 or frame.index is not None or frame.position is None or frame.orientation is None:
            result.append(group)
            continue
        header = frame.header
        families[(header.path.parent, header.series_number, header.description, header.modality, frame.rows,
                  frame.columns, tuple(round(c, 2) + 0.0 for c in frame.orientation), frame.kind)].append(group)
    for family in families.values():
        frames = [group[0] for group in family]
        if len(frames) >= 3 and len({f.position for f in frames}) > 1:
            result.append(frames)
        else:
            result.extend(family)
    return result
