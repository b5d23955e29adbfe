"""Pictures of the host's views, judged loosely: how many pixels have which colour."""

from __future__ import annotations

import os
import sys
import unittest

import numpy as np
import slicer
import vtk

sys.path.insert(0, os.path.dirname(__file__))
from view_pixels import pixels


def picture(view: object, size_px: tuple[int, int] = (300, 300)) -> np.ndarray:
    """The view as (height, width, 3) array of 0..255."""
    view.resize(*size_px)
    return pixels(view).astype(int)


def share(image: np.ndarray, like: str) -> float:
    """The share of pixels that are clearly red, green or blue."""
    channel = ["red", "green", "blue"].index(like)
    others = [image[..., i] for i in range(3) if i != channel]
    return float(np.mean((image[..., channel] > 90) & (image[..., channel] > 2 * np.maximum(*others))))


class Pictures(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        z, y, x = np.mgrid[:30, :40, :40]
        distance = np.sqrt((x - 20) ** 2 + (y - 20) ** 2 + (z - 15) ** 2)
        self.volume = slicer.util.addVolumeFromArray((x + y).astype(np.int16), name="image")
        self.volume.CreateDefaultDisplayNodes()
        labels = slicer.util.addVolumeFromArray(
            ((distance < 10).astype(np.uint8)), name="labels", nodeClassName="vtkMRMLLabelMapVolumeNode"
        )
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "ball")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, self.segmentation)
        self.segmentation.GetSegmentation().GetNthSegment(0).SetColor(1, 0, 0)
        slicer.mrmlScene.RemoveNode(labels)
        self.layout = slicer.app.layoutManager()

    def slice_picture(self) -> np.ndarray:
        slicer.util.setSliceViewerLayers(background=self.volume)
        widget = self.layout.sliceWidget("Red")
        widget.mrmlSliceNode().SetOrientation("Axial")  # an oblique volume of another test may have turned it
        widget.sliceView().resize(300, 300)
        widget.sliceLogic().FitSliceToBackground()
        return picture(widget.sliceView())

    def test_slice_shows_image_fill_and_outline(self):
        display = self.segmentation.GetDisplayNode()
        filled = share(self.slice_picture(), "red")
        display.SetVisibility2DFill(False)
        outlined = share(self.slice_picture(), "red")
        display.SetVisibility(False)
        image = self.slice_picture()
        self.assertEqual(share(image, "red"), 0)
        self.assertGreater(image.std(), 20)
        # the ball has a radius of 10 of 40 voxels: pi/16 = 0.196 of the picture
        self.assertAlmostEqual(filled, 0.196, delta=0.03)
        self.assertTrue(0.002 < outlined < 0.05, outlined)

    def test_the_patients_right_is_on_the_left(self):
        values = np.zeros((30, 40, 40), np.int16)
        values[:, :, 30:] = 100  # i runs to the right: IJK to RAS is the identity
        slicer.util.updateVolumeFromArray(self.volume, values)
        self.volume.GetDisplayNode().SetAutoWindowLevel(False)
        self.volume.GetDisplayNode().SetWindowLevelMinMax(0, 100)
        self.segmentation.GetDisplayNode().SetVisibility(False)
        image = self.slice_picture()
        # the bright columns lie at the patient's right, which an axial slice shows on its left
        self.assertGreater(image[150, :75].mean(), 200)
        self.assertLess(image[150, 75:].mean(), 10)

    def test_models_with_scalars_and_legend(self):
        source = vtk.vtkSphereSource()
        source.SetRadius(20)
        source.SetThetaResolution(40)
        source.SetPhiResolution(40)
        source.Update()
        model = slicer.modules.models.logic().AddModel(source.GetOutput())
        mesh = model.GetPolyData()
        values = vtk.vtkFloatArray()
        values.SetName("thickness (mm)")
        for i in range(mesh.GetNumberOfPoints()):
            values.InsertNextValue(0 if mesh.GetPoint(i)[2] > 0 else 5)
        mesh.GetPointData().AddArray(values)
        display = model.GetDisplayNode()
        colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "two")
        colours.SetTypeToUser()
        colours.SetNumberOfColors(2)
        colours.SetColor(0, "thin", 1, 0, 0, 1)
        colours.SetColor(1, "thick", 0, 0, 1, 1)
        display.SetActiveScalar("thickness (mm)", vtk.vtkAssignAttribute.POINT_DATA)
        display.SetAndObserveColorNodeID(colours.GetID())
        display.SetScalarRangeFlag(display.UseManualScalarRange)
        display.SetScalarRange(0, 5)
        display.SetScalarVisibility(True)
        self.segmentation.GetDisplayNode().SetVisibility(False)
        view = self.layout.threeDWidget(0).threeDView()
        view.mrmlViewNode().SetBoxVisible(False)
        view.mrmlViewNode().SetAxisLabelsVisible(False)
        view.mrmlViewNode().SetBackgroundColor(1, 1, 1)
        view.mrmlViewNode().SetBackgroundColor2(1, 1, 1)
        view.resetCamera()
        plain = picture(view)
        self.assertGreater(share(plain, "red"), 0.1)
        self.assertGreater(share(plain, "blue"), 0.1)
        camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view.mrmlViewNode())
        camera.RotateTo(camera.Superior)
        from_above = picture(view)
        self.assertGreater(share(from_above, "red"), 1.5 * share(plain, "red"))
        self.assertLess(share(from_above, "blue"), 0.02)
        camera.RotateTo(camera.Anterior)
        plain = picture(view)
        legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(model)
        legend.SetTitleText("thickness (mm)")
        with_legend = picture(view)
        right = slice(200, 300)
        changed = (np.abs(with_legend[:, right] - plain[:, right]).sum(axis=2) > 60).mean()
        self.assertGreater(changed, 0.02)

    def test_a_translucent_surface_is_drawn(self):
        self.segmentation.CreateClosedSurfaceRepresentation()
        self.segmentation.GetDisplayNode().SetOpacity3D(0.5)
        view = self.layout.threeDWidget(0).threeDView()
        view.resetCamera()
        shown = picture(view)
        self.segmentation.GetDisplayNode().SetVisibility(False)
        self.assertGreater((np.abs(shown - picture(view)).sum(axis=2) > 30).mean(), 0.02)


if __name__ == "__main__":
    unittest.main()
