"""The host's scene: every kind of file and node there and back, orientation, bundles, the subject hierarchy."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest

import numpy as np
import slicer
import vtk

sys.path.insert(0, os.path.dirname(__file__))
from provoking import provokes_the_engine


def sphere_model(name: str = "ball") -> object:
    source = vtk.vtkSphereSource()
    source.SetCenter(10, 20, 30)
    source.Update()
    mesh = source.GetOutput()
    values = vtk.vtkFloatArray()
    values.SetName("thickness (mm)")
    for i in range(mesh.GetNumberOfPoints()):
        values.InsertNextValue(i / 10)
    mesh.GetPointData().AddArray(values)
    return slicer.modules.models.logic().AddModel(mesh) if name is None else _named_model(mesh, name)


def _named_model(mesh: vtk.vtkPolyData, name: str) -> object:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(mesh)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetActiveScalar("thickness (mm)", vtk.vtkAssignAttribute.POINT_DATA)
    node.GetDisplayNode().SetScalarVisibility(True)
    return node


def oblique_volume(class_name: str = "vtkMRMLScalarVolumeNode") -> object:
    """4 x 3 x 2 voxels of 0.5, 0.6, 0.7 mm, rotated by 30 degrees about the long axis of the body."""
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    node = slicer.util.addVolumeFromArray(values, name="oblique", nodeClassName=class_name)
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    directions = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([0.5, 0.6, 0.7])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = directions, [-11, 22, 33]
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def ijk_to_ras(node: object) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


class SceneTestCase(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)

    def path(self, name: str) -> str:
        return os.path.join(self._folder.name, name)


class Files(SceneTestCase):
    def test_volumes_keep_values_and_orientation(self):
        node = oblique_volume()
        for name in ("v.nrrd", "v.nii.gz", "v.mha"):
            with self.subTest(name):
                self.assertTrue(slicer.util.saveNode(node, self.path(name)))
                back = slicer.util.loadVolume(self.path(name))
                np.testing.assert_array_equal(slicer.util.arrayFromVolume(back), slicer.util.arrayFromVolume(node))
                np.testing.assert_allclose(ijk_to_ras(back), ijk_to_ras(node), atol=1e-5)

    def test_an_nrrd_of_simpleitk_lands_where_its_header_says(self):
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16))
        image.SetOrigin((1, 2, 3))
        image.SetSpacing((0.5, 0.6, 0.7))
        sitk.WriteImage(image, self.path("lps.nrrd"))
        node = slicer.util.loadVolume(self.path("lps.nrrd"))
        np.testing.assert_allclose(
            ijk_to_ras(node), [[-0.5, 0, 0, -1], [0, -0.6, 0, -2], [0, 0, 0.7, 3], [0, 0, 0, 1]], atol=1e-9
        )

    def test_label_volume_is_shown_as_labels(self):
        slicer.util.saveNode(oblique_volume(), self.path("labels.nrrd"))
        node = slicer.util.loadLabelVolume(self.path("labels.nrrd"))
        self.assertTrue(node.IsA("vtkMRMLLabelMapVolumeNode"))
        composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
        self.assertEqual(composite.GetLabelVolumeID(), node.GetID())

    def test_segmentation_round_trip(self):
        segmentation = self._segmentation()
        slicer.util.saveNode(segmentation, self.path("two.seg.nrrd"))
        back = slicer.util.loadSegmentation(self.path("two.seg.nrrd"))
        names = [back.GetSegmentation().GetNthSegment(i).GetName() for i in range(2)]
        self.assertEqual(names, ["femur", "cartilage"])
        reference = oblique_volume()
        for original, copy in zip(self._ids(segmentation), self._ids(back), strict=True):
            np.testing.assert_array_equal(
                slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, original, reference),
                slicer.util.arrayFromSegmentBinaryLabelmap(back, copy, reference),
            )

    def _ids(self, node: object) -> list[str]:
        segmentation = node.GetSegmentation()
        return [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]

    def _segmentation(self) -> object:
        labels = oblique_volume("vtkMRMLLabelMapVolumeNode")
        slicer.util.updateVolumeFromArray(labels, (np.arange(24).reshape(2, 3, 4) % 3).astype(np.uint8))
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "knee")
        node.SetReferenceImageGeometryParameterFromVolumeNode(labels)
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, node)
        for name, segment_id in zip(("femur", "cartilage"), self._ids(node), strict=True):
            node.GetSegmentation().GetSegment(segment_id).SetName(name)
        return node

    def test_model_table_text_transform_and_markups(self):
        model = sphere_model()
        slicer.util.saveNode(model, self.path("ball.vtp"))
        back = slicer.util.loadModel(self.path("ball.vtp"))
        np.testing.assert_allclose(
            slicer.util.arrayFromModelPoints(back), slicer.util.arrayFromModelPoints(model), atol=1e-5
        )
        with open(self.path("t.csv"), "w") as file:
            file.write("region,mm\nfem_cart,2.5\npat_cart,3.5\n")
        table = slicer.util.loadTable(self.path("t.csv"))
        self.assertEqual([table.GetCellText(r, 0) for r in range(2)], ["fem_cart", "pat_cart"])
        with open(self.path("note.txt"), "w") as file:
            file.write("measured")
        self.assertEqual(slicer.util.loadText(self.path("note.txt")).GetText(), "measured")
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 1, 1, 1])))
        slicer.util.saveNode(shift, self.path("shift.h5"))
        self.assertAlmostEqual(
            slicer.util.arrayFromTransformMatrix(slicer.util.loadTransform(self.path("shift.h5")))[0, 0], 2.0
        )
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        points.AddControlPoint(1, 2, 3)
        slicer.util.saveNode(points, self.path("p.mrk.json"))
        self.assertEqual(slicer.util.loadMarkups(self.path("p.mrk.json")).GetNumberOfControlPoints(), 1)

    @provokes_the_engine
    def test_errors_are_slicers(self):
        with self.assertRaises(RuntimeError):
            slicer.util.loadVolume(self.path("missing.nrrd"))
        with self.assertRaises(RuntimeError):
            slicer.util.loadModel(self.path("missing.vtk"))

    def test_export_hardens_the_transform_in_the_copy_only(self):
        model = sphere_model()
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[0, 3] = 100
        shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        model.SetAndObserveTransformNodeID(shift.GetID())
        before = slicer.util.arrayFromModelPoints(model).copy()
        slicer.util.exportNode(model, self.path("world.vtp"), world=True)
        np.testing.assert_array_equal(slicer.util.arrayFromModelPoints(model), before)
        exported = slicer.util.arrayFromModelPoints(slicer.util.loadModel(self.path("world.vtp")))
        np.testing.assert_allclose(exported, before + [100, 0, 0], atol=1e-4)


class Bundle(SceneTestCase):
    @provokes_the_engine  # an oblique slice's orientation is no preset, which the engine says of its own file
    def test_scene_with_everything_survives_mrb(self):
        volume, model = oblique_volume(), sphere_model()
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "results")
        slicer.util.updateTableFromArray(table, [np.array([1.5, 2.5])], ["mm"])
        text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "details")
        text.SetText("bundled model")
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        folder = tree.CreateFolderItem(tree.GetSceneItemID(), "Right knee")
        tree.SetItemParent(tree.GetItemByDataNode(model), folder)
        points = slicer.util.arrayFromModelPoints(model).copy()
        values = slicer.util.arrayFromVolume(volume).copy()
        self.assertTrue(slicer.util.saveScene(self.path("all.mrb")))
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(self.path("all.mrb"))
        np.testing.assert_allclose(slicer.util.arrayFromModelPoints(slicer.util.getNode("ball")), points, atol=1e-6)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(slicer.util.getNode("oblique")), values)
        display = slicer.util.getNode("ball").GetDisplayNode()
        self.assertEqual(display.GetActiveScalarName(), "thickness (mm)")
        self.assertEqual(slicer.util.getNode("details").GetText(), "bundled model")
        np.testing.assert_allclose(slicer.util.arrayFromTableColumn(slicer.util.getNode("results"), "mm"), [1.5, 2.5])
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        parent = tree.GetItemParent(tree.GetItemByDataNode(slicer.util.getNode("ball")))
        self.assertEqual(tree.GetItemName(parent), "Right knee")


class SubjectHierarchy(SceneTestCase):
    def test_items_follow_nodes_and_segments(self):
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "knee")
        item = tree.GetItemByDataNode(node)
        self.assertNotEqual(item, tree.GetInvalidItemID())
        self.assertEqual(tree.GetItemOwnerPluginName(item), "Segmentations")
        segment_id = node.GetSegmentation().AddEmptySegment("", "femur")
        child = tree.GetItemChildWithName(item, "femur")
        self.assertNotEqual(child, tree.GetInvalidItemID())
        node.GetSegmentation().RemoveSegment(segment_id)
        self.assertEqual(tree.GetItemChildWithName(item, "femur"), tree.GetInvalidItemID())
        slicer.mrmlScene.RemoveNode(node)
        self.assertEqual(tree.GetItemByDataNode(node), tree.GetInvalidItemID())

    def test_terminology_strings_are_understood(self):
        logic = slicer.modules.terminologies.logic()
        entry = slicer.vtkSlicerTerminologyEntry()
        text = (
            "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^71341001^Femur"
            "~^^~Anatomic codes - DICOM master list~^^~^^"
        )
        self.assertTrue(logic.DeserializeTerminologyEntry(text, entry))
        self.assertEqual(entry.GetTypeObject().GetCodeMeaning(), "Femur")


if __name__ == "__main__":
    unittest.main()
