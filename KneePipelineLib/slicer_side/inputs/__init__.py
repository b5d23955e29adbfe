"""What a run reads, made ready in a temporary folder: original DICOM files as links, everything else as plain NRRD.

`export_inputs` is a generator, so that whoever runs it decides when: from a timer in Slicer, where each step between
two yields is short, or straight through in a script.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import DicomError, InvalidFormatError
from .dicom import DicomInput, gather, has_dicom, is_in_database, look_behind
from .matching import match_segments, require_all
from .request import JobRequest
from .segments import TargetGrid, draw_labels
from .volumes import Picture, elsewhere, is_moved, picture_of, to_world, write_nrrd

_OF_ONE_RUN = ("input", "output", "segmentation", "echoes", "steps", "restart", "timeout", "truth", "device")
"""Options that a repeated analysis does not take over from the earlier run's config.json."""
_SHAPE_SWITCHES = ("perform_bone_only_nsm", "perform_bone_and_cart_nsm")
"""What nsm_type and perform_nsm stand for; both spellings at once would contradict each other."""


@dataclass
class ExportedInputs:
    """What the command line gets.

    Attributes
    ----------
    input, echoes, segmentation, config : path or None
        As the options of ``run``.
    label_scheme : str
        What the numbers of the label map mean.
    is_labels : bool
        INPUT itself is the label map: there is no image.
    used_dicom : bool
        INPUT is the node's original files.
    stacked : bool
        The node holds several echoes on top of each other; it is no reference for showing results.
    notes : list of str
        What a person should know, one sentence each.
    """

    input: Path | None = None
    echoes: Path | None = None
    segmentation: Path | None = None
    config: Path | None = None
    label_scheme: str = "auto"
    is_labels: bool = False
    used_dicom: bool = False
    stacked: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class _Image:
    """What is known of the input volume when the segmentation's turn comes."""

    behind: DicomInput | None = None
    grid: TargetGrid | None = None


def export_inputs(request: JobRequest, folder: Path, output: Path | None = None) -> Iterator[ExportedInputs | None]:
    """Make everything ready that `request` names.

    Parameters
    ----------
    request : JobRequest
    folder : path
        An existing, empty, temporary folder; must stay until the run has ended.
    output : path, optional
        The run's folder; needed for ``request.reanalyse``, whose corrected labels are put there.

    Yields
    ------
    None
        After each short step on the main thread, and while another thread writes.
    ExportedInputs
        At last.

    Raises
    ------
    KneePipelineError
        With one sentence and where to look in the panel; SegmentMappingError carries the mapping table.
    """
    exported, image = ExportedInputs(label_scheme=request.label_scheme), _Image()
    earlier = _earlier_config(output) if request.reanalyse and output is not None else None
    exported.input = Path(request.input_path) if request.input_path else _earlier_path(request, earlier, "input")
    exported.echoes = Path(request.echo_path) if request.echo_path else _earlier_path(request, earlier, "echoes")
    yield from _export_input(request, folder, exported, image)
    yield from _export_echoes(request, folder, exported, image)
    edit = _edit_target(earlier, output) if exported.input is not None else None
    yield from _export_segmentation(request, folder, exported, image, edit)
    _write_config(request, folder, exported, earlier)
    if exported.input is None and exported.segmentation is not None:
        exported.input, exported.segmentation, exported.is_labels = exported.segmentation, None, True
    yield exported


def export_all(request: JobRequest, folder: Path, output: Path | None = None) -> ExportedInputs:
    """`export_inputs` straight through, for scripts."""
    *_, exported = export_inputs(request, folder, output)
    return exported


def _export_input(request: JobRequest, folder: Path, exported: ExportedInputs, image: _Image) -> Iterator[None]:
    node = request.input_node
    if node is None:
        return
    exported.is_labels = node.IsA("vtkMRMLLabelMapVolumeNode")
    if has_dicom(node) and not exported.is_labels and _may_use_dicom(node, exported):
        behind = yield from _behind(node)
        if behind.is_shown_by(node):
            image.behind = behind
            yield from _use_dicom(node, behind, folder, exported, image)
            return
        exported.notes.append("The volume is no longer as it was loaded from DICOM (cropped or resampled, it seems), "
                              "so the volume itself is analysed, without its echo times and further facts.")
    picture = picture_of(node)
    yield None
    image.grid = TargetGrid.of_picture(picture)
    exported.input = folder / "input.nrrd"
    yield from elsewhere(write_nrrd, picture, exported.input)


def _use_dicom(node: Any, behind: DicomInput, folder: Path, exported: ExportedInputs, image: _Image) -> Iterator[None]:
    exported.input, exported.used_dicom, exported.stacked = folder / "input", True, behind.stacked
    if not behind.stacked:
        image.grid = TargetGrid.of_volume(node)
    else:
        exported.notes.append(f"The volume holds {max(len(behind.echoes), 2)} echoes, one on top of the other; "
                              "they are told apart for the analysis.")
    yield from elsewhere(gather, behind.files, exported.input)


def _may_use_dicom(node: Any, exported: ExportedInputs) -> bool:
    if is_moved(node):
        exported.notes.append("The volume lies under a transform, so it is analysed where it is shown now; the echo "
                              "times and further facts of its DICOM files are not used.")
        return False
    if not is_in_database(node):
        exported.notes.append("The volume's DICOM files are not in Slicer's DICOM database of this computer, so the "
                              "volume itself is analysed, without its echo times and further facts.")
        return False
    return True


def _behind(node: Any) -> Iterator[Any]:
    """`look_behind`, returning what it finds."""
    found = None
    for found in look_behind(node):
        if found is None:
            yield None
    return found


def _export_echoes(request: JobRequest, folder: Path, exported: ExportedInputs, image: _Image) -> Iterator[None]:
    if exported.echoes is not None:
        return
    if request.echo_node is not None:
        if not has_dicom(request.echo_node):
            raise DicomError("The volume chosen as second echo has no DICOM header, and without echo times there is "
                             "no T2.", "Choose the DICOM folder of the echoes under Inputs instead.")
        second = yield from _behind(request.echo_node)
        files = second.all_echoes or [*(image.behind.files if image.behind else ()), *second.files]
    else:
        files = image.behind.all_echoes if image.behind else []
    if files and set(files) != set(image.behind.files if image.behind else ()):
        exported.echoes = folder / "echoes"
        yield from elsewhere(gather, list(dict.fromkeys(files)), exported.echoes)


def _export_segmentation(request: JobRequest, folder: Path, exported: ExportedInputs, image: _Image,
                         edit: Path | None) -> Iterator[None]:
    node = request.segmentation_node
    if node is None:
        return
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        picture = picture_of(node)
    else:
        exported.label_scheme = "canonical"
        values = require_all(match_segments(node, request.segment_values))
        grid = TargetGrid.of_file(edit) if edit is not None else image.grid or _own_grid(node)
        picture = yield from _drawn(node, values, grid)
    yield None
    if edit is not None:
        yield from elsewhere(_write_correction, picture, edit)
        return
    exported.segmentation = folder / "segmentation.nrrd"
    yield from elsewhere(write_nrrd, picture, exported.segmentation)


def _drawn(node: Any, values: dict[str, int], grid: TargetGrid) -> Iterator[Any]:
    """`draw_labels`, returning what it draws."""
    picture = None
    for picture in draw_labels(node, values, grid):
        if picture is None:
            yield None
    return picture


def _own_grid(node: Any) -> TargetGrid:
    """The segmentation's own grid in the world."""
    grid, parent = TargetGrid.of_segmentation(node), node.GetParentTransformNode()
    if parent is None:
        return grid
    if not parent.IsTransformToWorldLinear():
        raise InvalidFormatError("The segmentation lies under a non-linear transform and no volume was chosen.",
                                 "Choose the volume it belongs to under Inputs.")
    return TargetGrid(grid.size, to_world(parent) @ grid.ijk_to_lps)


# --- an analysis that is repeated ------------------------------------------------------------------------------------


def _earlier_config(output: Path) -> dict:
    """The options of the earlier run, its side among them: without them the same knee would be measured another way.

    Raises
    ------
    InvalidFormatError
        When they cannot be read.
    """
    try:
        values = json.loads((output / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise InvalidFormatError("The options of the earlier run cannot be read from its folder (config.json).",
                                 "Choose the segmentation under Inputs and press Apply instead.")
    return values


def _earlier_path(request: JobRequest, earlier: dict | None, key: str) -> Path | None:
    """The files that the earlier run of a repeated analysis was given, while they are there; a node comes before them.

    What had been exported from nodes has gone with that run's temporary folder, and is exported again.
    """
    path = Path(str((earlier or {}).get(key) or ""))
    given = {"input": request.input_node, "echoes": request.echo_node}[key]
    return path if given is None and path.is_absolute() and path.exists() else None


def _edit_target(earlier: dict | None, output: Path | None) -> Path | None:
    """The label map of the earlier run that the correction takes the place of.

    None when there is none, or when that run was given its labels: the corrected ones are then simply given again.
    """
    if not earlier or output is None or earlier.get("segmentation"):
        return None
    path = output / f"{earlier.get('prefix', 'knee')}_all-labels.nrrd"
    return path if path.is_file() else None


def _write_correction(picture: Picture, path: Path, stopped: Callable[[], bool]) -> None:
    """Put corrected labels in the place of the published ones; labels that are the same are left alone."""
    import numpy as np

    from ...imaging import read_labels

    if not np.array_equal(read_labels(path).array, picture.array):
        write_nrrd(picture, path, stopped)


def _write_config(request: JobRequest, folder: Path, exported: ExportedInputs, earlier: dict | None) -> None:
    left_out = _OF_ONE_RUN + _SHAPE_SWITCHES * ("nsm_type" in request.options or "perform_nsm" in request.options)
    values = {key: value for key, value in (earlier or {}).items() if key not in left_out and value is not None}
    values |= dict(request.options)
    if values:
        exported.config = folder / "config.json"
        exported.config.write_text(json.dumps(values), encoding="utf-8")
