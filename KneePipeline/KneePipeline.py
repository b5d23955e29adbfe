"""KneePipeline: from one knee MRI to labels, surfaces, cartilage thickness, T2, femoral shape and a report.

Thin on purpose: what the panel and the logic do is in KneePipelineLib/slicer_side, the work itself in the private
environment, behind one child process.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

try:
    import KneePipelineLib  # noqa: F401 - installed, the package lies beside this file
except ImportError:  # in a clone it lies beside this file's folder
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from KneePipelineLib.slicer_side.logic import KneePipelineLogicBase


class KneePipeline(ScriptedLoadableModule):
    """What Slicer shows of the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Knee Pipeline")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = []
        parent.contributors = ["The KneePipeline contributors"]
        parent.helpText = _(
            "Measures a knee MRI: segments bones, cartilages and menisci, makes surfaces coloured by cartilage "
            "thickness, tables and a chart of regional thickness, volume and area, a T2 map where there are echoes, "
            "the shape score of the femur where its model is installed, and a report.<br><br>"
            "Load a knee (or make the digital knee in Sample Data), press Set up once, then Apply. Correct the "
            "segmentation in the Segment Editor if need be and press Re-analyse.<br><br>"
            "The bundled network is for trying out and is not validated for research. For research use a published "
            "network (section Models) or a segmentation of your own. Not a medical device.")
        parent.acknowledgementText = _(
            "The measures follow pyMSKT and OpenMSK (Anthony Gatti and others), the networks in the section Models "
            "are by their authors, who are named there with their licences, and segmentation runs on nnU-Net "
            "(Isensee and others). KneePipeline itself is licensed under Apache-2.0.")
        slicer.app.connect("startupCompleted()", _register)


def _register() -> None:
    """The digital knee in the module Sample Data, made on this computer when asked for; our codes as terminology."""
    from KneePipelineLib.slicer_side import sample_data, terminology

    sample_data.register()
    terminology.register(Path(__file__).resolve().parent / "Resources" / "Terminologies")


def _keep_alive(wrapper: Any) -> None:
    """Slicer 5.10 only: a wrapper that was once bound to widgets must never be collected.

    There ``disconnectGui`` leaves an observer on the node, which calls into the collected wrapper and ends the process
    (mended in 5.12 by pull request 9063 of Slicer). The list outlives a Reload of this file.
    """
    if (slicer.app.majorVersion, slicer.app.minorVersion) < (5, 12):
        vars(slicer.util).setdefault("_kneePipelineWrappers", []).append(wrapper)


def _package_modules() -> list[str]:
    """Names of the modules of the package beside this file that are loaded now."""
    return [name for name in sys.modules if name.partition(".")[0] == "KneePipelineLib"]


def _read_anew(name: str) -> None:
    """Import a module of the package, unless it is no longer there."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise


class KneePipelineWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: its life in Slicer. What is in it: KneePipelineLib/slicer_side/panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel: Any = None
        self._parameterNode: Any = None
        self._guiTag: int | None = None
        self._entered = False

    def setup(self) -> None:
        """Called once, when the module is first shown."""
        from KneePipelineLib.slicer_side.panel import KneePanel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/KneePipeline.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = KneePipelineLogic()
        self.panel = KneePanel(self.ui)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        slicer.app.connect("aboutToQuit()", self.onAboutToQuit)
        self.initializeParameterNode()

    def enter(self) -> None:
        """Called each time the module is shown."""
        self._entered = True
        self.initializeParameterNode()
        self.panel.entered()

    def exit(self) -> None:
        """Called each time another module is shown. A run goes on."""
        self._entered = False

    def cleanup(self) -> None:
        """Called before the module is reloaded and when the application closes."""
        slicer.app.disconnect("aboutToQuit()", self.onAboutToQuit)
        if self.panel is not None:
            self.panel.stop()
            self.setParameterNode(None)
        self.removeObservers()

    def onReload(self) -> None:
        """The developer's button Reload: the package is read anew, too, not only this file.

        What runs is ended first. Where the edited code cannot be read, the former code stays in use, and so does the
        panel: everything is read before the panel is taken away.
        """
        from KneePipelineLib.slicer_side.process.leaving import let_go

        if self.panel is not None:
            self.panel.stop()
        let_go()
        own = sys.modules.get(self.moduleName)
        former = {name: sys.modules.pop(name) for name in _package_modules()}
        try:
            for name in former:
                _read_anew(name)
            ScriptedLoadableModuleWidget.onReload(self)
        except BaseException:
            for name in _package_modules():
                del sys.modules[name]
            sys.modules.update(former)
            if own is not None:
                sys.modules[self.moduleName] = own
            raise

    def onAboutToQuit(self) -> None:
        """The application ends: nothing that was started may outlive it."""
        if self.panel is not None:
            self.panel.stop()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The nodes are about to go: let go of them, and do not bring results into a scene they are not about."""
        self.panel.scene_closes()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """The scene is empty: the panel starts anew."""
        if self._entered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """A scene was read: its parameters and results show."""
        if self._entered:
            self.setParameterNode(None)
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Bind the panel to the scene's parameter node, which is made when there is none."""
        if self._parameterNode is None:
            self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: Any) -> None:
        """Bind the panel to `parameterNode` (wrapped), or to none."""
        from KneePipelineLib.slicer_side.parameters import widgets_by_parameter

        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onModified)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            _keep_alive(parameterNode)
            self._guiTag = parameterNode.connectParametersToGui(widgets_by_parameter(self.ui))
            self.addObserver(parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onModified)
        self.panel.set_parameters(parameterNode)

    def onModified(self, caller: Any = None, event: Any = None) -> None:
        """A parameter has changed."""
        self.panel.update()


class KneePipelineLogic(KneePipelineLogicBase, ScriptedLoadableModuleLogic):
    """``process(...)`` for scripts (see `KneePipelineLogicBase`), and the parameter node of the panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        KneePipelineLogicBase.__init__(self)

    def getParameterNode(self) -> Any:
        """The module's parameters in the scene, typed."""
        from KneePipelineLib.slicer_side.parameters import KneePipelineParameters

        return KneePipelineParameters(super().getParameterNode())


class KneePipelineTest(ScriptedLoadableModuleTest):
    """The whole job, as a person would do it: runs in Slicer (Reload and Test) and in the test host."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Run every test."""
        self.setUp()
        self.test_whole_job()

    def test_whole_job(self) -> None:
        """Digital knee, Apply, results in the scene, a corrected segment, Re-analyse."""
        from KneePipelineLib.slicer_side.self_test import whole_job

        whole_job(self)
