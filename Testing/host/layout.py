"""``slicer.app.layoutManager()``: layout node, slice logics and the offscreen views, each made when first asked for."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

SLICE_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
_COLOURS = {"Red": (0.95, 0.29, 0.21), "Yellow": (0.93, 0.84, 0.29), "Green": (0.43, 0.69, 0.29)}


class LayoutManager:
    """Three slice views and one 3D view; which of them a layout shows is only noted. Tables and plots are not drawn."""

    threeDViewCount = 1

    def __init__(self, scene: Any, app_logic: Any) -> None:
        self._scene, self._app_logic = scene, app_logic
        self._slice_logics = vtk.vtkCollection()
        self._slices = {name: self._make_slice_logic(name) for name in SLICE_VIEWS}
        app_logic.SetSliceLogics(self._slice_logics)
        self._view_logics = vtk.vtkCollection()
        self._view_logic = slicer.vtkMRMLViewLogic()
        self._view_logic.SetMRMLScene(scene)
        self._view_logic.AddViewNode("1")
        self._view_logics.AddItem(self._view_logic)
        app_logic.SetViewLogics(self._view_logics)
        self._layout_logic = slicer.vtkMRMLLayoutLogic()  # last: it adopts the view nodes that are there
        self._layout_logic.SetMRMLScene(scene)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)  # re-orients the slices after a scene's close
        self._widgets: dict[str, Any] = {}

    def _make_slice_logic(self, name: str) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._app_logic)
        logic.SetMRMLScene(self._scene)
        logic.AddSliceNode(name)
        node = logic.GetSliceNode()
        node.SetOrientation(SLICE_VIEWS[name])
        node.SetLayoutColor(*_COLOURS[name])
        self._slice_logics.AddItem(logic)
        return logic

    @property
    def layout(self) -> int:
        return self._layout_logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, layout: int) -> None:
        self._layout_logic.GetLayoutNode().SetViewArrangement(layout)

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def mrmlSliceLogics(self) -> Any:
        return self._slice_logics

    def sliceWidget(self, name: str) -> Any:
        from Testing.host.views import SliceWidget

        if name not in self._slices:
            return None
        return self._widget(name, lambda: SliceWidget(self._slices[name], self._app_logic))

    def threeDWidget(self, index: int) -> Any:
        from Testing.host.views import ThreeDWidget

        if index != 0:
            return None
        node = self._scene.GetSingletonNode("1", "vtkMRMLViewNode")
        return self._widget("3D", lambda: ThreeDWidget(node, self._app_logic))

    def _widget(self, name: str, make: Any) -> Any:
        if name not in self._widgets:
            self._widgets[name] = make()
        return self._widgets[name]

    def resetThreeDViews(self) -> None:
        if "3D" in self._widgets:
            self._widgets["3D"].threeDView().resetFocalPoint()

    def resetSliceViews(self) -> None:
        for logic in self._slices.values():
            logic.FitSliceToBackground()

    def close(self) -> None:
        """Free the views before VTK goes."""
        for widget in self._widgets.values():
            widget.close()
        self._widgets.clear()
