"""Offscreen views that draw the scene with Slicer's own displayable managers: one 3D view, one view a slice.

Multisampling stays off: with it, the software renderer draws no translucent surface at all.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
_SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class View:
    """An offscreen render window with a group of displayable managers."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(0)
        self._window.SetAlphaBitPlanes(True)
        self._window.SetSize(*size_px)
        self._renderer = vtk.vtkRenderer()
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._group: Any = None

    def _add_managers(self, factory: Any, names: tuple[str, ...], renderer: Any, style: Any, app_logic: Any) -> None:
        factory.SetMRMLApplicationLogic(app_logic)
        for name in names:
            if hasattr(slicer, name) and not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        style.SetInteractor(self._interactor)
        self._group = factory.InstantiateDisplayableManagers(renderer)
        style.SetDisplayableManagers(self._group)
        self._style = style

    def _show(self, node: Any) -> None:
        self._group.SetMRMLDisplayableNode(node)
        scene = slicer.mrmlScene
        for i in range(scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode")):
            # the manager of legends only hears of new ones; in Slicer the views are there before any legend
            scene.InvokeEvent(scene.NodeAddedEvent, scene.GetNthNodeByClass(i, "vtkMRMLColorLegendDisplayNode"))

    def renderWindow(self) -> Any:
        return self._window

    def renderer(self) -> Any:
        return self._renderer

    def interactor(self) -> Any:
        return self._interactor

    def interactorStyle(self) -> Any:
        return self._style

    @property
    def width(self) -> int:
        return self._window.GetSize()[0]

    @property
    def height(self) -> int:
        return self._window.GetSize()[1]

    def resize(self, width: int, height: int) -> None:
        self._window.SetSize(width, height)

    def forceRender(self) -> None:
        self._window.Render()

    def scheduleRender(self) -> None:
        """A picture is drawn when it is asked for."""

    def close(self) -> None:
        """Free the graphics; the managers let go of the scene first."""
        self._group.SetMRMLDisplayableNode(None)
        self._style.SetInteractor(None)
        self._window.Finalize()


class ThreeDView(View):
    """The 3D view."""

    def __init__(self, view_node: Any, app_logic: Any) -> None:
        super().__init__((640, 480))
        self._node = view_node
        self._renderer.SetUseDepthPeeling(True)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._add_managers(factory, _THREE_D_MANAGERS, self._renderer, style, app_logic)
        self._show(view_node)

    def mrmlViewNode(self) -> Any:
        return self._node

    def cameraNode(self) -> Any:
        return slicer.modules.cameras.logic().GetViewActiveCameraNode(self._node)

    def resetFocalPoint(self) -> None:
        """Turn about the middle of what is visible, from the present distance."""
        bounds = self._renderer.ComputeVisiblePropBounds()
        if not vtk.vtkMath.AreBoundsInitialized(bounds):
            return
        centre = [(bounds[2 * i] + bounds[2 * i + 1]) / 2 for i in range(3)]
        camera = self._renderer.GetActiveCamera()
        shift = [c - f for c, f in zip(centre, camera.GetFocalPoint(), strict=True)]
        camera.SetPosition(*[p + s for p, s in zip(camera.GetPosition(), shift, strict=True)])
        camera.SetFocalPoint(*centre)
        self._renderer.ResetCameraClippingRange()

    def resetCamera(self) -> None:
        self._renderer.ResetCamera()


class SliceView(View):
    """One slice: the volumes below, everything that managers draw above."""

    def __init__(self, logic: Any, app_logic: Any) -> None:
        super().__init__((400, 400))
        self._logic = logic
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._mapper.SetInputConnection(logic.GetImageDataConnection())
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._overlay = vtk.vtkRenderer()
        self._overlay.SetLayer(1)
        self._window.SetNumberOfLayers(2)
        self._window.AddRenderer(self._overlay)
        style = slicer.vtkMRMLSliceViewInteractorStyle()
        style.SetSliceLogic(logic)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self._add_managers(factory, _SLICE_MANAGERS, self._overlay, style, app_logic)
        self._show(logic.GetSliceNode())
        self._window.AddObserver("WindowResizeEvent", lambda *_: self._fit_node())
        self._fit_node()

    def _fit_node(self) -> None:
        self._logic.ResizeSliceNode(self.width, self.height)

    def forceRender(self) -> None:
        self._logic.UpdatePipeline()
        connection = self._logic.GetImageDataConnection()
        if connection is not None:
            self._mapper.SetInputConnection(connection)
        has_image = connection is not None and self._logic.HasInputs()
        shown = self._renderer.HasViewProp(self._image)
        if has_image and not shown:
            self._renderer.AddViewProp(self._image)
        elif shown and not has_image:
            self._renderer.RemoveViewProp(self._image)
        super().forceRender()


class ThreeDWidget:
    """What ``layoutManager().threeDWidget(0)`` gives."""

    def __init__(self, view_node: Any, app_logic: Any) -> None:
        self._view = ThreeDView(view_node, app_logic)

    def threeDView(self) -> ThreeDView:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()

    def close(self) -> None:
        self._view.close()


class SliceWidget:
    """What ``layoutManager().sliceWidget("Red")`` gives."""

    def __init__(self, logic: Any, app_logic: Any) -> None:
        self._logic = logic
        self._app_logic = app_logic
        self._view: SliceView | None = None

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def sliceView(self) -> SliceView:
        if self._view is None:
            self._view = SliceView(self._logic, self._app_logic)
        return self._view

    def close(self) -> None:
        if self._view is not None:
            self._view.close()
