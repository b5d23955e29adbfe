"""What a person has chosen in the module's panel, kept in the scene and saved with it."""

from __future__ import annotations

import enum
from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


class InputKind(enum.Enum):
    """Where the knee comes from."""

    VOLUME = "volume"
    FILES = "files"

    def label(self) -> str:
        """The text in the selector."""
        return {"volume": _("Volume in the scene"), "files": _("DICOM folder or file on disk")}[self.value]


class Side(enum.Enum):
    """Which knee it is."""

    AUTO = "auto"
    LEFT = "left"
    RIGHT = "right"

    def label(self) -> str:
        """The text in the selector."""
        return {"auto": _("Detect"), "left": _("Left"), "right": _("Right")}[self.value]


class Device(enum.Enum):
    """The processor that does the work."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """The text in the selector."""
        return {"auto": _("GPU if there is one, else CPU"), "cpu": _("CPU"), "cuda": _("GPU (NVIDIA)"),
                "mps": _("GPU (Apple)")}[self.value]


class T2Fit(enum.Enum):
    """How spin echoes are fitted."""

    WEIGHTED = "weighted"
    LINEAR = "linear"
    NONLINEAR = "nonlinear"

    def label(self) -> str:
        """The text in the selector."""
        return {"weighted": _("Weighted log-linear"), "linear": _("Log-linear"),
                "nonlinear": _("Nonlinear")}[self.value]


class ShapeModel(enum.Enum):
    """Which neural shape models are fitted to the femur."""

    BONE_AND_CARTILAGE = "bone_and_cart"
    BONE_ONLY = "bone_only"
    BOTH = "both"

    def label(self) -> str:
        """The text in the selector."""
        return {"bone_and_cart": _("Bone and cartilage"), "bone_only": _("Bone only"), "both": _("Both")}[self.value]


@parameterNodeWrapper
class KneePipelineParameters:
    """The parameter node of the module.

    The names are those of the panel's ``SlicerParameterName`` properties. `segmentation` is one that exists and is
    measured instead of segmenting; `outputSegmentation` takes the result (None: a new one is made). Those that begin
    with ``results`` are what the panel remembers of the latest run, so that Results and Re-analyse survive saving the
    scene.
    """

    inputKind: InputKind = InputKind.VOLUME
    inputVolume: vtkMRMLScalarVolumeNode
    inputPath: str = ""
    echoPath: str = ""
    segmentation: vtkMRMLSegmentationNode
    side: Side = Side.AUTO
    model: str = "bundled"
    outputSegmentation: vtkMRMLSegmentationNode
    makeModels: bool = True
    makeTable: bool = True
    makeChart: bool = True
    makeT2: bool = True
    makeShape: bool = True
    prefix: str = "knee"
    device: Device = Device.AUTO
    timeoutMinutes: Annotated[int, WithinRange(0, 1440)] = 0
    cartilageSmoothing: Annotated[float, WithinRange(0.0, 2.0)] = 0.3125
    t2Fit: T2Fit = T2Fit.WEIGHTED
    skipFirstEcho: bool = False
    shapeModel: ShapeModel = ShapeModel.BONE_AND_CARTILAGE
    zipResults: bool = False
    resultsPath: str = ""
    resultsSegmentation: vtkMRMLSegmentationNode
    resultsVolume: vtkMRMLScalarVolumeNode
    resultsRun: str = ""


def widgets_by_parameter(ui) -> dict:
    """Each widget of `ui` (as ``slicer.util.childWidgetVariables`` gives it) under its ``SlicerParameterName``.

    ``connectParametersToGui`` is called with it because ``connectGui`` returns no tag in some versions of Slicer, and
    without the tag the panel cannot be taken off the parameter node again.
    """
    named = {}
    for widget in vars(ui).values():
        name = widget.property("SlicerParameterName") if hasattr(widget, "property") else None
        if name:
            named[str(name)] = widget
    return named
