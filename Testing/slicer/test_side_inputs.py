"""What a run reads when the input has no DICOM header: exported volumes, matched segments."""

from __future__ import annotations

import json
import os
import sys
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import vtk
from KneePipelineLib.errors import ConfigError, InvalidFormatError
from KneePipelineLib.imaging import read_image, read_labels
from KneePipelineLib.slicer_side import terminology
from KneePipelineLib.slicer_side.inputs import export_all
from KneePipelineLib.slicer_side.inputs.matching import SegmentMappingError, match_segments
from KneePipelineLib.slicer_side.job import JobRequest
from KneePipelineLib.slicer_side.panel.request import reanalysis_of
from KneePipelineLib.slicer_side.parameters import Device, Side, T2Fit

sys.path.insert(0, os.path.dirname(__file__))
from inputs_case import SceneTest, transform_node, volume_node


class Volumes(SceneTest):
    def test_a_volume_without_dicom_is_exported_as_it_is(self):
        rng = np.random.default_rng(0)
        for kind in (np.int16, np.uint8, np.uint16, np.float32, np.float64):
            with self.subTest(kind=kind.__name__):
                array = (rng.random((5, 6, 7)) * 200).astype(kind)
                ras = np.array([[0, 0, 0.7, -10], [-0.5, 0, 0, 20], [0, -0.6, 0, 30], [0, 0, 0, 1.0]])
                node = volume_node(array, ras)
                before = slicer.mrmlScene.GetNumberOfNodes()
                exported = self.export(input_node=node)
                self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
                self.assertFalse(exported.used_dicom)
                volume = read_image(exported.input)
                np.testing.assert_array_equal(volume.array, array.astype(np.float32) if kind == np.float64 else array)
                np.testing.assert_allclose(volume.to_physical((1, 2, 3)),
                                           (np.diag([-1, -1, 1, 1]) @ ras @ [1, 2, 3, 1])[:3], atol=1e-6)

    def test_a_transform_is_hardened_on_the_export_only(self):
        angle = 0.3
        turn = np.array([[np.cos(angle), -np.sin(angle), 0, 5], [np.sin(angle), np.cos(angle), 0, -7], [0, 0, 1, 11],
                         [0, 0, 0, 1.0]])
        node = volume_node(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
        before = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(before)
        transform = transform_node(turn)
        node.SetAndObserveTransformNodeID(transform.GetID())
        volume = read_image(self.export(input_node=node).input)
        expected = np.diag([-1, -1, 1, 1]) @ turn @ np.diag([-0.5, -0.6, 0.7, 1.0]) @ [4, 3, 2, 1]
        np.testing.assert_allclose(volume.to_physical((4, 3, 2)), expected[:3], atol=1e-6)
        after = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(after)
        self.assertEqual([before.GetElement(r, c) for r in range(4) for c in range(4)],
                         [after.GetElement(r, c) for r in range(4) for c in range(4)])
        self.assertIs(node.GetParentTransformNode(), transform)

    def test_a_bent_volume_is_resampled_on_a_copy(self):
        array = np.zeros((20, 20, 20), np.int16)
        array[8:12, 8:12, 8:12] = 1000
        node = volume_node(array, np.eye(4))
        points, moved = vtk.vtkPoints(), vtk.vtkPoints()
        for corner in np.ndindex(2, 2, 2):
            place = np.array(corner) * 19.0
            points.InsertNextPoint(place)
            moved.InsertNextPoint(place + [4.0, 0.0, 0.0])
        spline = vtk.vtkThinPlateSplineTransform()
        spline.SetSourceLandmarks(points)
        spline.SetTargetLandmarks(moved)
        spline.SetBasisToR()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
        transform.SetAndObserveTransformToParent(spline)
        node.SetAndObserveTransformNodeID(transform.GetID())
        volume = read_image(self.export(input_node=node).input)
        places = np.argwhere(volume.array > 500)[:, ::-1]
        centre = np.mean([volume.to_physical(tuple(place)) for place in places], axis=0)
        np.testing.assert_allclose(centre, [-13.5, -9.5, 9.5], atol=0.1)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), array)

    def test_what_cannot_be_exported_is_said(self):
        shear = np.eye(4)
        shear[0, 1] = 0.4
        node = volume_node(np.zeros((3, 4, 5), np.int16))
        node.SetAndObserveTransformNodeID(transform_node(shear).GetID())
        with self.assertRaisesRegex(InvalidFormatError, "shears"):
            self.export(input_node=node)
        with self.assertRaisesRegex(InvalidFormatError, "no image"):
            self.export(input_node=slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"))

    def test_a_request_that_cannot_begin(self):
        node = volume_node(np.zeros((3, 4, 5), np.int16))
        for fields, words in (({}, "No input"), ({"input_node": node, "input_path": "x"}, "both chosen"),
                              ({"input_path": self.folder / "none"}, "does not exist"),
                              ({"input_node": node, "side": "up"}, "side"),
                              ({"input_node": node, "reanalyse": True}, "no segmentation"),
                              ({"input_node": node, "options": {"batch_size": "many"}}, "batch_size")):
            with self.subTest(words=words), self.assertRaisesRegex(ConfigError, words):
                JobRequest(**fields).check()

    def test_the_command_line(self):
        node = volume_node(np.zeros((3, 4, 5), np.int16))
        request = JobRequest(input_node=node, model="nnunet_fullres", device="cpu", side="left", prefix="a",
                             steps=("thickness",), timeout_s=90, make_zip=True, options={"batch_size": 4})
        exported = export_all(request, self.exports)
        self.assertEqual(request.arguments(exported, Path("out")),
                         ["run", str(exported.input), "out", "--events", "-", "--config", str(exported.config),
                          "--model", "nnunet_fullres", "--prefix", "a", "--steps", "thickness", "--side", "left",
                          "--device", "cpu", "--timeout", "90", "--zip"])
        from KneePipelineLib.cli import build_parser

        self.assertEqual(build_parser().parse_args(request.arguments(exported, Path("out"))).segmentation_model,
                         "nnunet_fullres")


class Segments(SceneTest):
    def segmentation(self, segments: dict[str, tuple], matrix=None):
        """A segmentation on a 20^3 grid: name -> (slice of x, terminology value or None)."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        image = volume_node(np.zeros((20, 20, 20), np.int16), matrix, "reference")
        node.SetReferenceImageGeometryParameterFromVolumeNode(image)
        for name, (span, value) in segments.items():
            array = np.zeros((20, 20, 20), np.uint8)
            array[5:15, 5:15, span] = 1
            segment_id = node.GetSegmentation().AddEmptySegment(name, name)
            slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment_id, image)
            if value is not None:
                segment = node.GetSegmentation().GetSegment(segment_id)
                segment.SetTag(segment.GetTerminologyEntryTagName(), terminology.entry(value))
        return node, image

    def test_terminology_then_name(self):
        node, image = self.segmentation({"anything": (slice(0, 5), 5), "Femur": (slice(5, 10), None),
                                         "MedTibCart_2": (slice(10, 12), 1), "blob": (slice(12, 14), None)})
        rows = match_segments(node)
        self.assertEqual([(m.value, m.matched_by) for m in rows],
                         [(5, "terminology"), (1, "name"), (None, ""), (None, "")])
        self.assertIn("its name medial tibial cartilage", rows[2].reason)
        with self.assertRaises(SegmentMappingError) as caught:
            self.export(input_node=image, segmentation_node=node)
        self.assertEqual([m.name for m in caught.exception.matches], ["anything", "Femur", "MedTibCart_2", "blob"])
        self.assertIn("2 of the 4 segments", caught.exception.message)
        self.assertNotIn("blob", caught.exception.message)
        exported = self.export(input_node=image, segmentation_node=node,
                               segment_values={"blob": 3, "MedTibCart_2": 0})
        self.assertEqual(exported.label_scheme, "canonical")
        labels = read_labels(exported.segmentation)
        self.assertEqual(np.unique(labels.array).tolist(), [0, 1, 3, 5])
        self.assertEqual(labels.array[10, 10, ::3].tolist(), [5, 5, 1, 1, 3, 0, 0])

    def test_the_same_structure_twice_is_left_to_a_person(self):
        node, _ = self.segmentation({"Femur": (slice(0, 5), None), "femur": (slice(5, 10), None)})
        self.assertEqual([m.value for m in match_segments(node)], [1, None])

    def test_parts_of_the_femoral_cartilage_are_one(self):
        node, image = self.segmentation({"one": (slice(0, 5), None), "two": (slice(5, 10), None)})
        for name, value in (("one", 12), ("two", 15)):
            terminology.describe(node.GetSegmentation().GetSegment(name), value)
        labels = read_labels(self.export(input_node=image, segmentation_node=node).segmentation)
        self.assertEqual(int((labels.array == 4).sum()), 1000)

    def test_an_empty_segmentation_is_refused(self):
        image = volume_node(np.zeros((20, 20, 20), np.int16))
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        with self.assertRaisesRegex(InvalidFormatError, "no segments"):
            self.export(input_node=image, segmentation_node=empty)
        node, _ = self.segmentation({"Femur": (slice(0, 0), None)})
        with self.assertRaisesRegex(InvalidFormatError, "No voxel"):
            self.export(input_node=image, segmentation_node=node)

    def test_the_labels_lie_on_the_grid_of_the_image(self):
        node, _ = self.segmentation({"Femur": (slice(4, 8), None)}, np.eye(4))
        matrix = np.diag([0.5, 0.5, 0.5, 1.0])
        matrix[:3, 3] = -0.25  # no voxel of one grid lies half-way between two of the other
        finer = volume_node(np.zeros((40, 40, 40), np.int16), matrix)
        labels = read_labels(self.export(input_node=finer, segmentation_node=node).segmentation)
        self.assertEqual(labels.array.shape, (40, 40, 40))
        inside = np.argwhere(labels.array)
        self.assertEqual((inside.min(0).tolist(), inside.max(0).tolist()), ([10, 10, 8], [29, 29, 15]))

    def test_a_segmentation_under_a_transform_lies_where_it_is_shown(self):
        node, image = self.segmentation({"Femur": (slice(4, 8), None)}, np.eye(4))
        shift = np.eye(4)
        shift[0, 3] = 6.0
        node.SetAndObserveTransformNodeID(transform_node(shift).GetID())
        labels = read_labels(self.export(input_node=image, segmentation_node=node).segmentation)
        self.assertEqual(np.unique(np.argwhere(labels.array)[:, 2]).tolist(), [10, 11, 12, 13])
        alone = self.export(segmentation_node=node)
        self.assertTrue(alone.is_labels)
        self.assertIsNone(alone.segmentation)
        moved = read_labels(alone.input)
        places = [moved.to_physical(tuple(p[::-1])) for p in np.argwhere(moved.array)]
        np.testing.assert_allclose([min(p[0] for p in places), max(p[0] for p in places)], [-13, -10], atol=1e-6)

    def earlier_run(self, **options):
        """The folder of a run with these options, its labels given by the run itself."""
        output = self.folder / "run"
        output.mkdir()
        config = {"input": str(self.folder / "gone"), "side": "right", "t2_fit": "nonlinear", "device": "cpu",
                  "prefix": "knee", "segmentation": None, **options}
        (output / "config.json").write_text(json.dumps(config))
        return output

    def test_a_repeated_analysis_has_the_side_and_the_options_of_the_earlier_run(self):
        """What stands in the panel by then is for the next knee; a left knee's medial side is a right one's lateral."""
        node, image = self.segmentation({"Femur": (slice(4, 8), None)})
        parameters = mock.Mock(resultsVolume=image, resultsSegmentation=node, side=Side.LEFT, t2Fit=T2Fit.LINEAR,
                               device=Device.AUTO, timeoutMinutes=0, cartilageSmoothing=1.5,
                               resultsPath=str(self.earlier_run()))
        request = reanalysis_of(parameters, {})
        exported = export_all(request, self.exports, Path(parameters.resultsPath))
        self.assertNotIn("--side", request.arguments(exported, Path(parameters.resultsPath)))
        self.assertEqual(json.loads(exported.config.read_text()),
                         {"side": "right", "t2_fit": "nonlinear", "prefix": "knee"})

    def test_a_repeated_analysis_reads_the_files_of_the_earlier_run(self):
        node, image = self.segmentation({"Femur": (slice(4, 8), None)})
        for name in ("input", "echoes"):
            (self.folder / name).mkdir()
        output = self.earlier_run(input=str(self.folder / "input"), echoes=str(self.folder / "echoes"))
        exported = self.export(output, segmentation_node=node, reanalyse=True)
        self.assertEqual((exported.input, exported.echoes), (self.folder / "input", self.folder / "echoes"))
        exported = self.export(output, input_node=image, segmentation_node=node, reanalyse=True)
        self.assertEqual(exported.input.name, "input.nrrd")

    def test_without_the_options_of_the_earlier_run_nothing_is_guessed(self):
        node, image = self.segmentation({"Femur": (slice(4, 8), None)})
        for damage in ("", "[]", "{"):
            output = self.folder / f"run{len(damage)}"
            output.mkdir(exist_ok=True)
            (output / "config.json").write_text(damage)
            with self.subTest(damage), self.assertRaisesRegex(InvalidFormatError, "options of the earlier run"):
                self.export(output, input_node=image, segmentation_node=node, reanalyse=True)

    def test_a_label_map_volume_is_given_with_its_own_numbers(self):
        array = np.zeros((5, 6, 7), np.uint8)
        array[1:3] = 7
        labels = volume_node(array, kind="vtkMRMLLabelMapVolumeNode")
        image = volume_node(np.ones((5, 6, 7), np.int16))
        exported = self.export(input_node=image, segmentation_node=labels, label_scheme="native")
        self.assertEqual(exported.label_scheme, "native")
        np.testing.assert_array_equal(read_labels(exported.segmentation).array, array)
        self.assertTrue(self.export(input_node=labels).is_labels)


if __name__ == "__main__":
    unittest.main()
