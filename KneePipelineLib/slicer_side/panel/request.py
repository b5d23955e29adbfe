"""From what stands in the panel to the request of a run, and to what of its results is wanted in the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..inputs.request import JobRequest
from ..parameters import InputKind

_MINUTE_S = 60.0


def request_of(parameters: Any, segment_values: Mapping[str, int]) -> JobRequest:
    """The run that Apply asks for.

    Parameters
    ----------
    parameters : KneePipelineParameters
    segment_values : mapping of segment ID -> canonical label
        The mapping table.
    """
    from_files = parameters.inputKind == InputKind.FILES
    return JobRequest(
        input_node=None if from_files else parameters.inputVolume,
        input_path=Path(parameters.inputPath) if from_files else None,
        echo_path=Path(parameters.echoPath) if parameters.echoPath else None,
        segmentation_node=parameters.segmentation, segment_values=dict(segment_values), side=parameters.side.value,
        model=parameters.model, device=parameters.device.value, prefix=parameters.prefix.strip() or "knee",
        timeout_s=parameters.timeoutMinutes * _MINUTE_S or None, make_zip=parameters.zipResults,
        options=_options(parameters))


def reanalysis_of(parameters: Any, segment_values: Mapping[str, int]) -> JobRequest:
    """The run that Re-analyse asks for: the latest one again, with the segmentation as it is now.

    Its side, its options and its input files are those of the earlier run, which its folder holds; what stands in the
    panel by now may be meant for the next knee. Processor and time limit are the computer's and not the knee's: those
    are the panel's.
    """
    return JobRequest(
        input_node=parameters.resultsVolume, segmentation_node=parameters.resultsSegmentation,
        segment_values=dict(segment_values), device=parameters.device.value,
        timeout_s=parameters.timeoutMinutes * _MINUTE_S or None,
        output_folder=Path(parameters.resultsPath), reanalyse=True)


def _options(parameters: Any) -> dict[str, Any]:
    """Keys of config.json that have no option on the command line."""
    return {
        "image_smooth_var_cart": parameters.cartilageSmoothing, "t2_fit": parameters.t2Fit.value,
        "t2_skip_first_echo": parameters.skipFirstEcho,
        "nsm_type": parameters.shapeModel.value if parameters.makeShape else "none",
    }


def importer_for(parameters: Any, replaces: tuple[str, ...] | None = None) -> Callable[[Path, Any], Iterator[str]]:
    """What a job calls with results.json and itself once the run has succeeded.

    Parameters
    ----------
    parameters : KneePipelineParameters
        As they are when Apply is pressed; read now, because a person may change them while the run goes on.
    replaces : tuple of str, optional
        The earlier imports of the run that is repeated: their nodes go, its segmentation stays as it is. None: a new
        run.
    """
    from ..scene import importer
    from ..scene.kinds import KINDS

    options = {kind.option: getattr(parameters, kind.box) for kind in KINDS if kind.box}
    if replaces is None:
        return importer(parameters.outputSegmentation, **options)
    return importer(parameters.resultsSegmentation, replaces=replaces, segmentation=False, **options)
