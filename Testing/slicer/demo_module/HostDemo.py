"""A small scripted module for the tests of the host: counts a volume's voxels above a threshold."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HostDemo(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Host demonstration")
        parent.categories = ["Testing"]


class Side(enum.Enum):
    AUTO = "auto"
    LEFT = "left"

    def label(self):
        return self.value.capitalize()


@parameterNodeWrapper
class HostDemoParameters:
    inputVolume: vtkMRMLScalarVolumeNode
    threshold: Annotated[float, WithinRange(0, 100)] = 20
    side: Side = Side.AUTO
    folder: Path
    keep: bool = True
    prefix: str = "knee"
    names: list[str]


class HostDemoWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.entered = 0
        self.cleaned = False
        self.counted = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HostDemo.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = HostDemoLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.parameterNode = None
        self.bind()

    def bind(self):
        self.parameterNode = HostDemoParameters(self.logic.getParameterNode())
        self.guiTag = self.parameterNode.connectGui(self.ui)
        self.addObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self.check)
        self.check()

    def check(self, caller=None, event=None):
        self.ui.applyButton.enabled = self.parameterNode is not None and self.parameterNode.inputVolume is not None

    def onSceneStartClose(self, caller, event):
        if self.parameterNode is None:
            return
        self.parameterNode.disconnectGui(self.guiTag)
        self.removeObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self.check)
        self.parameterNode = None

    def enter(self):
        self.entered += 1
        if self.parameterNode is None:
            self.bind()

    def exit(self):
        self.entered -= 1

    def cleanup(self):
        self.cleaned = True
        self.removeObservers()

    def onApply(self):
        self.counted = self.logic.count(self.parameterNode.inputVolume, self.parameterNode.threshold)


class HostDemoLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return super().getParameterNode()

    def count(self, volume, threshold):
        return int((slicer.util.arrayFromVolume(volume) > threshold).sum())


class HostDemoTest(ScriptedLoadableModuleTest):
    ran = False

    def runTest(self):
        slicer.mrmlScene.Clear(0)
        HostDemoTest.ran = True
