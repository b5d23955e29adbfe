"""Results in the scene: what a practice run lists arrives with codes, colours, places and numbers, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from KneePipelineLib.errors import KneePipelineError
from KneePipelineLib.imaging import read_labels
from KneePipelineLib.imaging.labels import BY_NAME, STRUCTURES, SUBREGIONS
from KneePipelineLib.slicer_side import terminology
from KneePipelineLib.slicer_side.scene import (
    ROLE,
    ImportOptions,
    ImportStopped,
    import_all,
    import_results,
)
from KneePipelineLib.slicer_side.scene_tables import heading
from vtk.util.numpy_support import vtk_to_numpy

sys.path.insert(0, os.path.dirname(__file__))
from practice_results import results_folder

SPACING_MM = 2.0
MOVED = np.array([[1, 0, 0, 30], [0, 1, 0, -20], [0, 0, 1, 10], [0, 0, 0, 1.0]])


def tree():
    return slicer.mrmlScene.GetSubjectHierarchyNode()


def parent_of(node):
    return tree().GetItemParent(tree().GetItemByDataNode(node))


def scene_state():
    """Every node and every item of the tree, with its place."""
    tree()  # makes its node in a scene that has just been cleared
    nodes = {slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())}
    items = vtk.vtkIdList()
    tree().GetItemChildren(tree().GetSceneItemID(), items, True)
    numbers = [items.GetId(i) for i in range(items.GetNumberOfIds())]
    return nodes, sorted((tree().GetItemName(n), tree().GetItemName(tree().GetItemParent(n))) for n in numbers)


def segments_of(node):
    segmentation = node.GetSegmentation()
    return {i: segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()}


def voxels_ras(node, segment_id):
    """RAS positions of a segment's voxels, from Slicer's own representation."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    extent = image.GetExtent()
    shape = [extent[2 * a + 1] - extent[2 * a] + 1 for a in (2, 1, 0)]
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    k, j, i = np.nonzero(values)
    indices = np.stack([i + extent[0], j + extent[2], k + extent[4], np.ones_like(i)])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ indices)[:3].T


def surface_bounds(node, segment_id="patella"):
    """Bounds of a segment's closed surface in the node's own coordinates."""
    bounds = np.zeros(6)
    node.GetClosedSurfaceInternalRepresentation(segment_id).GetBounds(bounds)
    return bounds


def distances_mm(points, mesh):
    """Distance of each point to a surface."""
    measure = vtk.vtkImplicitPolyDataDistance()
    measure.SetInput(mesh)
    return np.array([abs(measure.EvaluateFunction(point)) for point in points])


def reference_like(labels):
    """A volume node on the grid of a label map."""
    node = slicer.util.addVolumeFromArray(np.zeros(labels.array.shape, np.int16), name="input")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1, 1, 1]) @ labels.affine))
    return node


class SceneCase(unittest.TestCase):
    def setUp(self):
        self.folder = results_folder()
        slicer.mrmlScene.Clear(0)

    def copy(self):
        """The results folder once more, to be changed or removed."""
        parent = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, parent, ignore_errors=True)
        return Path(shutil.copytree(self.folder, Path(parent) / "run", ignore=shutil.ignore_patterns("checkpoints")))

    def change_record(self, folder, change):
        path = folder / "results.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        change(record)
        path.write_text(json.dumps(record), encoding="utf-8")

    def record(self):
        return json.loads((self.folder / "results.json").read_text(encoding="utf-8"))


class WhatArrives(SceneCase):
    def setUp(self):
        super().setUp()
        self.results = import_all(self.folder / "results.json")

    def test_every_structure_is_a_segment_with_its_voxels(self):
        labels = read_labels(self.folder / "knee_all-labels.nrrd")
        present = {int(v): int(n) for v, n in zip(*np.unique(labels.array, return_counts=True), strict=True) if v}
        segments = segments_of(self.results.segmentation)
        self.assertEqual({s.GetLabelValue() for s in segments.values()}, set(present))
        for segment_id, segment in segments.items():
            with self.subTest(segment.GetName()):
                structure = BY_NAME[segment_id]
                self.assertEqual(segment.GetName(), structure.title)
                self.assertEqual(len(voxels_ras(self.results.segmentation, segment_id)), present[structure.value])
                np.testing.assert_allclose(segment.GetColor(), np.array(structure.color) / 255, atol=1e-6)

    def test_segments_carry_standard_codes_that_lead_back_to_them(self):
        logic = slicer.modules.terminologies.logic()
        for segment_id, segment in segments_of(self.results.segmentation).items():
            with self.subTest(segment_id):
                text = terminology.tag_of(segment, segment.GetTerminologyEntryTagName())
                self.assertEqual(terminology.value_of_entry(text), segment.GetLabelValue())
                entry = slicer.vtkSlicerTerminologyEntry()
                logic.DeserializeTerminologyEntry(text, entry)
                self.assertEqual(entry.GetTypeObject().GetCodingSchemeDesignator(), "SCT")
                side = entry.GetRegionModifierObject() or entry.GetTypeModifierObject()
                if entry.GetCategoryObject().GetCodeValue() == "123037004":
                    side = entry.GetTypeModifierObject()
                self.assertEqual(side.GetCodeMeaning(), "Right")

    def test_reference_geometry_is_the_label_maps(self):
        converter = slicer.vtkSegmentationConverter
        text = self.results.segmentation.GetSegmentation().GetConversionParameter(
            converter.GetReferenceImageGeometryParameterName())
        image = slicer.vtkOrientedImageData()
        self.assertTrue(converter.DeserializeImageGeometry(text, image))
        labels = read_labels(self.folder / "knee_all-labels.nrrd")
        self.assertEqual(image.GetDimensions(), labels.size)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), np.diag([-1.0, -1, 1, 1]) @ labels.affine,
                                   atol=1e-4)

    def test_meshes_lie_on_their_segments(self):
        """LPS files, RAS scene: a mesh that was mirrored or not turned would be centimetres away."""
        checked = 0
        for output in self.record()["outputs"]:
            if output["type"] != "model" or output["role"] == "shape_surface":
                continue
            segment_id = output["structure"]
            with self.subTest(output["path"]):
                surface = self.results.segmentation.GetClosedSurfaceInternalRepresentation(segment_id)
                points = slicer.util.arrayFromModelPoints(self.results.models[output["path"]])
                away = distances_mm(points[::7], surface)
                self.assertLess(np.median(away), SPACING_MM / 2)
                self.assertLess(np.percentile(away, 95), 1.5 * SPACING_MM)
                checked += 1
        self.assertEqual(checked, 8)

    def test_closed_surfaces_lie_around_their_voxels(self):
        for segment_id in segments_of(self.results.segmentation):
            surface = self.results.segmentation.GetClosedSurfaceInternalRepresentation(segment_id)
            points = voxels_ras(self.results.segmentation, segment_id)
            bounds = np.array(surface.GetBounds()).reshape(3, 2).T
            with self.subTest(segment_id):
                np.testing.assert_allclose(bounds, [points.min(0), points.max(0)], atol=1.5 * SPACING_MM)

    def test_own_closed_surface_equals_slicers(self):
        """Made in a box of its own, it must be what Slicer makes of the whole grid."""
        own = self.results.segmentation.GetClosedSurfaceInternalRepresentation("tibia")
        copy = slicer.vtkSegmentation()
        copy.SetSourceRepresentationName("Binary labelmap")
        copy.CopySegmentFromSegmentation(self.results.segmentation.GetSegmentation(), "tibia")
        copy.GetSegment("tibia").RemoveRepresentation("Closed surface")
        copy.CreateRepresentation("Closed surface")
        theirs = copy.GetSegment("tibia").GetRepresentation("Closed surface")
        self.assertEqual(own.GetNumberOfPoints(), theirs.GetNumberOfPoints())
        points = vtk_to_numpy(own.GetPoints().GetData())
        self.assertLess(distances_mm(points[::11], theirs).max(), 0.05)

    def test_bones_show_thickness_on_one_scale(self):
        bones = [n for n in self.results.models.values() if n.GetAttribute(ROLE) == "bone_surface"]
        self.assertEqual(len(bones), 3)
        displays = [n.GetDisplayNode() for n in bones]
        self.assertEqual({d.GetActiveScalarName() for d in displays}, {"thickness (mm)"})
        self.assertEqual(len({d.GetColorNodeID() for d in displays}), 1)
        self.assertEqual(len({d.GetScalarRange() for d in displays}), 1)
        low, high = displays[0].GetScalarRange()
        self.assertEqual(low, 0.0)
        self.assertTrue(2.0 <= high <= 8.0)
        for node in bones:
            self.assertTrue(node.GetDisplayNode().GetVisibility())
            self.assertTrue(node.GetDisplayNode().GetScalarVisibility())
            values = slicer.util.arrayFromModelPointData(node, "thickness (mm)")
            self.assertTrue(np.isfinite(values).all())
            self.assertGreater((values > 0.5).mean(), 0.05)
            self.assertGreater((values == 0).mean(), 0.05)

    def test_thickness_is_the_tables_mean(self):
        """The vertices of a region have the mean that results.json tells: nothing was moved or lost on the way."""
        node = self.results.models["patella_mesh.vtk"]
        values = slicer.util.arrayFromModelPointData(node, "thickness (mm)")
        told = self.record()["regions"]["pat_cart"]["measures"]["mm_mean"]
        self.assertAlmostEqual(float(values[values > 0].mean()), told, delta=0.15)

    def test_only_bones_are_shown_in_3d_and_the_rest_is_at_hand(self):
        shown = {n.GetAttribute(ROLE) for n in self.results.models.values() if n.GetDisplayNode().GetVisibility()}
        self.assertEqual(shown, {"bone_surface"})
        display = self.results.segmentation.GetDisplayNode()
        self.assertFalse(display.GetSegmentVisibility3D("femur"))
        self.assertTrue(display.GetSegmentVisibility3D("med_meniscus"))

    def test_one_legend_in_words(self):
        legends = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
        titles = sorted(legend.GetTitleText() for legend in legends)
        self.assertEqual(titles, ["Cartilage\nthickness (mm)", "T2 (ms)"])

    def test_the_first_colour_is_bone_and_the_scale_is_the_reports(self):
        from KneePipelineLib.results.figures.colours import BONE_RGB, thickness_map

        node = self.results.by_role["thickness_colours"][0]
        colour = [0.0] * 4
        node.GetColor(0, colour)
        np.testing.assert_allclose(colour[:3], np.array(BONE_RGB) / 255, atol=1e-6)
        node.GetColor(200, colour)
        np.testing.assert_allclose(colour[:3], thickness_map()[200] / 255, atol=1e-6)

    def test_tables_hold_the_numbers(self):
        regions, table = self.record()["regions"], self.results.table
        self.assertEqual(table.GetNumberOfRows(), len(regions))
        for measure in ("mm_mean", "VC_mm3", "t2_ms_mean"):
            column = slicer.util.arrayFromTableColumn(table, heading(measure))
            np.testing.assert_allclose(column, [r["measures"][measure] for r in regions.values()])
        everything = self.results.by_role["results_table"][0]
        lines = (self.folder / "results.csv").read_text(encoding="utf-8").splitlines()
        self.assertEqual(everything.GetNumberOfRows(), len(lines) - 1)
        self.assertEqual(slicer.util.arrayFromTableColumn(everything, "value").dtype.kind, "f")

    def test_charts_are_bars_of_the_region_table(self):
        charts = [self.results.by_role[role][0] for role in ("thickness_chart", "t2_chart")]
        self.assertIs(self.results.chart, charts[0])
        for chart in charts:
            series = chart.GetNthPlotSeriesNode(0)
            self.assertIs(series.GetTableNode(), self.results.table)
            self.assertEqual(series.GetPlotType(), slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
            self.assertIsNotNone(self.results.table.GetTable().GetColumnByName(series.GetYColumnName()))

    def test_t2_map_lies_on_the_cartilage_in_its_colours(self):
        values = slicer.util.arrayFromVolume(self.results.t2)
        labels = read_labels(self.folder / "knee_all-labels.nrrd")
        cartilage = np.isin(labels.array, [4, 5, 6, 7])
        np.testing.assert_array_equal(values > 0, cartilage)
        matrix = vtk.vtkMatrix4x4()
        self.results.t2.GetIJKToRASMatrix(matrix)
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), np.diag([-1.0, -1, 1, 1]) @ labels.affine,
                                   atol=1e-4)
        display = self.results.t2.GetDisplayNode()
        self.assertEqual(display.GetColorNode().GetAttribute(ROLE), "t2_colours")
        self.assertEqual((display.GetWindowLevelMin(), display.GetWindowLevelMax()), (20.0, 80.0))
        self.assertTrue(display.GetApplyThreshold())

    def test_subregions_and_layers_wait_hidden(self):
        subregions = self.results.by_role["subregion_labels"][0]
        self.assertEqual(set(segments_of(subregions)), {s.name for s in SUBREGIONS})
        layers = self.results.by_role["depth_labels"][0]
        names = {s.GetName() for s in segments_of(layers).values()}
        self.assertIn("Patellar cartilage, deep", names)
        self.assertIn("Patellar cartilage, superficial", names)
        self.assertFalse(subregions.GetDisplayNode().GetVisibility() or layers.GetDisplayNode().GetVisibility())

    def test_run_details_tell_what_was_done(self):
        text = self.results.text.GetText()
        for words in ("PRACTICE MODE", "Side: right", "KneePipeline 0", "BScore", "Steps: "):
            self.assertIn(words, text)
        self.assertNotIn(str(self.folder), text)
        record = json.loads(self.results.by_role["results"][0].GetText())
        self.assertEqual(record["prefix"], "knee")

    def test_everything_listed_is_there_once(self):
        """Every kind of file, those of the shape model included; no second copy in another format."""
        roles = set(self.results.by_role)
        self.assertTrue({"shape_surface", "shape_record", "score_record", "raw_bone_surface"} <= roles)
        self.assertFalse([role for role in roles if role.endswith("_nifti")])
        shape = self.results.models["NSM_recon_femur_mesh.vtk"]
        self.assertEqual(tree().GetItemName(parent_of(shape)), "Shape model")
        self.assertEqual(tree().GetItemParent(parent_of(shape)), self.results.folder_item)

    def test_no_node_points_to_the_folder(self):
        for node in slicer.util.getNodesByClass("vtkMRMLStorageNode"):
            self.assertNotIn(str(self.folder), node.GetFileName() or "")


class WhereItGoes(SceneCase):
    def test_into_the_study_of_the_input_on_its_grid(self):
        reference = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        patient = tree().CreateSubjectItem(tree().GetSceneItemID(), "somebody")
        study = tree().CreateStudyItem(patient, "knee MRI")
        tree().SetItemParent(tree().GetItemByDataNode(reference), study)
        results = import_all(self.folder / "results.json", reference=reference)
        self.assertEqual(tree().GetItemParent(results.folder_item), study)
        for node in (results.segmentation, results.table, results.chart, results.t2, results.text):
            self.assertEqual(parent_of(node), results.folder_item)
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIs(results.segmentation.GetNodeReference(role), reference)

    def test_a_volume_of_another_grid_is_no_reference(self):
        reference = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="stacked echoes")
        results = import_all(self.folder / "results.json", reference=reference)
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIsNone(results.segmentation.GetNodeReference(role))

    def test_views_stay_as_they_are(self):
        manager = slicer.app.layoutManager()
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        view = slicer.util.getNode("vtkMRMLViewNode1") if slicer.mrmlScene.GetNodeByID("vtkMRMLViewNode1") else \
            slicer.util.getNodesByClass("vtkMRMLViewNode")[0]
        view.SetBackgroundColor(0.1, 0.2, 0.3)
        shown = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        slicer.util.setSliceViewerLayers(background=shown)
        red = manager.sliceWidget("Red").sliceLogic()
        offset = red.GetSliceOffset()
        import_all(self.folder / "results.json", reference=shown)
        self.assertEqual(manager.layout, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.assertEqual(view.GetBackgroundColor(), (0.1, 0.2, 0.3))
        composite = red.GetSliceCompositeNode()
        self.assertEqual((composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()), (shown.GetID(), None))
        self.assertEqual(red.GetSliceOffset(), offset)

    def test_under_the_inputs_transform_when_its_files_were_analysed(self):
        reference = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(MOVED))
        reference.SetAndObserveTransformNodeID(shift.GetID())
        still = import_all(self.folder / "results.json", reference=reference)
        self.assertIsNone(still.t2.GetParentTransformNode())
        options = ImportOptions(under_transform=True)
        results = import_all(self.folder / "results.json", reference=reference, options=options)
        for node in (results.segmentation, results.t2, *results.models.values()):
            self.assertIs(node.GetParentTransformNode(), shift)
        both = results.segmentation, still.segmentation
        np.testing.assert_allclose(*(voxels_ras(node, "patella") for node in both))
        np.testing.assert_allclose(*(surface_bounds(node) for node in both))

    def test_a_given_segmentation_outside_that_transform_takes_them_where_the_input_lies(self):
        reference = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(MOVED))
        reference.SetAndObserveTransformNodeID(shift.GetID())
        still = import_all(self.folder / "results.json", reference=reference).segmentation
        given = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        import_all(self.folder / "results.json", reference=reference, segmentation=given,
                   options=ImportOptions(under_transform=True))
        self.assertIsNone(given.GetParentTransformNode())
        np.testing.assert_allclose(voxels_ras(given, "patella"), voxels_ras(still, "patella") + MOVED[:3, 3], atol=1e-3)
        offset = np.repeat(MOVED[:3, 3], 2)
        np.testing.assert_allclose(surface_bounds(given), surface_bounds(still) + offset, atol=1e-3)

    def test_only_what_is_wanted(self):
        options = ImportOptions(subregions=False, models=False, table=False, t2=False, shape=False,
                                closed_surface=False)
        results = import_all(self.folder / "results.json", options=options)
        self.assertEqual(set(results.by_role), {"all_labels", "run_details", "results"})
        self.assertIsNone(results.segmentation.GetClosedSurfaceInternalRepresentation("femur"))


class AllOrNothing(SceneCase):
    def test_stopped_after_any_step_nothing_is_left(self):
        before = scene_state()
        for stop_after in ("Folder for the results", "Colour legend", "Femur reconstructed", "Surface of femur",
                           "Cartilage layers: region + 100 deep, + 200 superficial", "Bars of the chart",
                           "Colour legend of T2", "BScore", "Everything about this run"):
            with self.subTest(stop_after):
                work = import_results(self.folder / "results.json")
                while next(work) != stop_after:
                    pass
                self.assertNotEqual(scene_state(), before)
                work.close()
                self.assertEqual(scene_state(), before)

    def test_one_node_a_step(self):
        work = import_results(self.folder / "results.json")
        count = len(scene_state()[0])
        for sentence in work:
            now = len(scene_state()[0])
            self.assertLessEqual(now - count, 2, sentence)  # a node and its display node
            self.assertTrue(sentence and sentence[0].isupper(), sentence)
            count = now

    def test_a_missing_file_leaves_nothing(self):
        for name in ("knee_t2map.nrrd", "tibia_mesh.vtk", "results.csv", "NSM_recon_params.json"):
            with self.subTest(name):
                folder = self.copy()
                (folder / name).unlink()
                before = scene_state()
                with self.assertRaises(KneePipelineError) as caught:
                    import_all(folder / "results.json")
                self.assertIn(name, str(caught.exception))
                self.assertNotIn(str(folder), str(caught.exception))
                self.assertEqual(scene_state(), before)

    def test_damaged_files_leave_nothing(self):
        for name in ("knee_all-labels.nrrd", "femur_mesh.vtk", "results.json"):
            with self.subTest(name):
                folder = self.copy()
                path = folder / name
                path.write_bytes(path.read_bytes()[:100])
                before = scene_state()
                with self.assertRaises(KneePipelineError):
                    import_all(folder / "results.json")
                self.assertEqual(scene_state(), before)

    def test_scene_closed_in_the_middle(self):
        for steps in (1, 9, 25):
            with self.subTest(steps):
                work = import_results(self.folder / "results.json")
                for _ in range(steps):
                    next(work)
                slicer.mrmlScene.Clear(0)
                before = scene_state()
                with self.assertRaises(ImportStopped):
                    next(work)
                self.assertEqual(scene_state(), before)

    def test_a_node_deleted_in_the_middle_does_not_stop_the_rest(self):
        results = None
        work = import_results(self.folder / "results.json")
        while True:
            try:
                sentence = next(work)
            except StopIteration as end:
                results = end.value
                break
            if sentence == "Bones, cartilages and menisci":
                for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
                    slicer.mrmlScene.RemoveNode(node)
        self.assertIsNotNone(results.text)

    def test_outputs_of_kinds_nobody_knows_yet(self):
        folder = self.copy()
        shutil.copy(folder / "patella_mesh.vtk", folder / "future.vtk")
        shutil.copy(folder / "knee_t2map.nrrd", folder / "future.nrrd")
        (folder / "future.bin").write_bytes(b"?")
        new = [{"role": "future_surface", "path": "future.vtk", "type": "model", "title": "Future surface"},
               {"role": "future_map", "path": "future.nrrd", "type": "volume", "title": "Future map"},
               {"role": "future_thing", "path": "future.bin", "type": "hologram", "title": "Future thing"}]
        self.change_record(folder, lambda record: record["outputs"].extend(new))
        results = import_all(folder / "results.json")
        self.assertEqual(results.models["future.vtk"].GetName(), "Future surface")
        self.assertEqual(results.by_role["future_map"][0].GetName(), "Future map")
        self.assertNotIn("future_thing", results.by_role)

    def test_partial_results(self):
        """Without labels, as when segmentation failed, what is there is shown."""
        folder = self.copy()

        def only_t2(record):
            record.update(status="partial", regions={}, errors=[{"code": "SEGMENTATION_FAILED", "message": "No."}])
            record["outputs"] = [o for o in record["outputs"] if o["role"] in ("t2_map", "results")]

        self.change_record(folder, only_t2)
        results = import_all(folder / "results.json")
        self.assertIsNotNone(results.t2)
        self.assertIsNone(results.segmentation)
        self.assertIsNone(results.table)
        self.assertIn("What failed", results.text.GetText())


class Reanalyse(SceneCase):
    def setUp(self):
        super().setUp()
        self.first = import_all(self.folder / "results.json")
        self.node = self.first.segmentation

    def test_the_persons_node_stays_and_takes_the_new_labels(self):
        segmentation = self.node.GetSegmentation()
        femur = segmentation.GetSegment("femur")
        femur.SetName("Thigh bone")
        femur.SetColor(0.1, 0.9, 0.1)
        segmentation.AddEmptySegment("cyst", "Cyst")
        fill = np.zeros_like(slicer.util.arrayFromSegmentBinaryLabelmap(self.node, "patella", self._volume()))
        slicer.util.updateSegmentBinaryLabelmapFromArray(fill, self.node, "patella", self._volume())
        results = import_all(self.folder / "results.json", segmentation=self.node)
        self.assertIs(results.segmentation, self.node)
        self.assertEqual(femur.GetName(), "Thigh bone")
        self.assertEqual(femur.GetColor(), (0.1, 0.9, 0.1))
        self.assertIsNotNone(segmentation.GetSegment("cyst"))
        labels = read_labels(self.folder / "knee_all-labels.nrrd")
        self.assertEqual(len(voxels_ras(self.node, "patella")), int((labels.array == 3).sum()))

    def test_given_up_half_way_the_persons_labels_are_back(self):
        fill = np.zeros_like(slicer.util.arrayFromSegmentBinaryLabelmap(self.node, "patella", self._volume()))
        fill[30:33, 30:33, 30:33] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(fill, self.node, "patella", self._volume())
        self.node.GetSegmentation().RemoveSegment("fibula")
        before = voxels_ras(self.node, "patella")
        work = import_results(self.folder / "results.json", segmentation=self.node)
        while next(work) != "Surface of femur":
            pass
        self.assertIsNotNone(self.node.GetSegmentation().GetSegment("fibula"))
        work.close()
        np.testing.assert_allclose(voxels_ras(self.node, "patella"), before)
        self.assertIsNone(self.node.GetSegmentation().GetSegment("fibula"))

    def test_earlier_results_are_replaced_and_the_node_moves_along(self):
        options = ImportOptions(replace_folder=self.first.folder_item)
        count = len(scene_state()[0])
        second = import_all(self.folder / "results.json", segmentation=self.node, options=options)
        self.assertEqual(parent_of(self.node), second.folder_item)
        self.assertEqual(len(scene_state()[0]), count)
        folders = [name for name, _ in scene_state()[1] if name.startswith("Right knee: KneePipeline")]
        self.assertEqual(len(folders), 1)
        self.assertEqual(second.table.GetName(), "Right knee: regions")
        self.assertIsNone(self.first.text.GetScene())

    def test_under_a_transform_the_labels_stay_where_they_are_in_the_world(self):
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[:3, 3] = (30, -20, 10)
        shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        before = voxels_ras(self.node, "patella")
        self.node.SetAndObserveTransformNodeID(shift.GetID())
        import_all(self.folder / "results.json", segmentation=self.node)
        np.testing.assert_allclose(voxels_ras(self.node, "patella"), before - matrix[:3, 3], atol=1e-3)
        bounds = np.zeros(6)
        self.node.GetClosedSurfaceInternalRepresentation("patella").GetBounds(bounds)
        np.testing.assert_allclose(bounds.reshape(3, 2).mean(1),
                                   (before.min(0) + before.max(0)) / 2 - matrix[:3, 3], atol=SPACING_MM)

    def test_structures_in_parts_are_left_alone(self):
        segmentation = self.node.GetSegmentation()
        extra = slicer.vtkSegment()
        extra.DeepCopy(segmentation.GetSegment("fem_cart"))
        extra.SetName("Femoral cartilage, rest")
        segmentation.AddSegment(extra, "rest")
        before = segmentation.GetSegment("fem_cart").GetRepresentation("Binary labelmap")
        import_all(self.folder / "results.json", segmentation=self.node)
        self.assertIs(segmentation.GetSegment("fem_cart").GetRepresentation("Binary labelmap"), before)

    def _volume(self):
        if not hasattr(self, "_reference"):
            self._reference = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        return self._reference


class Bundle(SceneCase):
    def test_results_survive_a_scene_bundle_without_their_folder(self):
        folder = self.copy()
        results = import_all(folder / "results.json",
                             reference=reference_like(read_labels(folder / "knee_all-labels.nrrd")))
        points = slicer.util.arrayFromModelPoints(results.models["femur_mesh.vtk"]).copy()
        thickness = slicer.util.arrayFromModelPointData(results.models["femur_mesh.vtk"], "thickness (mm)").copy()
        voxels = {i: voxels_ras(results.segmentation, i) for i in segments_of(results.segmentation)}
        tags = {i: terminology.tag_of(s, s.GetTerminologyEntryTagName())
                for i, s in segments_of(results.segmentation).items()}
        means = slicer.util.arrayFromTableColumn(results.table, heading("mm_mean")).copy()
        t2, text = slicer.util.arrayFromVolume(results.t2).copy(), results.text.GetText()
        upper = results.models["femur_mesh.vtk"].GetDisplayNode().GetScalarRange()
        bundle = str(folder.parent / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(bundle))
        shutil.rmtree(folder)
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(bundle)
        by_role = {}
        for node in slicer.util.getNodesByClass("vtkMRMLNode"):
            if node.GetAttribute(ROLE):
                by_role.setdefault(node.GetAttribute(ROLE), []).append(node)

        segmentation = by_role["all_labels"][0]
        self.assertEqual(set(segments_of(segmentation)), set(voxels))
        for own_id, segment in segments_of(segmentation).items():
            np.testing.assert_allclose(voxels_ras(segmentation, own_id), voxels[own_id], atol=1e-3)
            self.assertEqual(terminology.tag_of(segment, segment.GetTerminologyEntryTagName()), tags[own_id])
            self.assertEqual(terminology.tag_of(segment, terminology.STRUCTURE_TAG), own_id)
        femur = next(n for n in by_role["bone_surface"] if n.GetName() == "Femur")
        np.testing.assert_allclose(slicer.util.arrayFromModelPoints(femur), points, atol=1e-4)
        np.testing.assert_array_equal(slicer.util.arrayFromModelPointData(femur, "thickness (mm)"), thickness)
        display = femur.GetDisplayNode()
        self.assertEqual((display.GetActiveScalarName(), display.GetScalarRange()), ("thickness (mm)", upper))
        colour = [0.0] * 4
        display.GetColorNode().GetColor(0, colour)
        self.assertGreater(min(colour[:3]), 0.8)  # bone
        self.assertEqual(display.GetColorNode().GetNumberOfColors(), 256)
        table = by_role["region_table"][0]
        kept = slicer.util.arrayFromTableColumn(table, heading("mm_mean"))
        np.testing.assert_allclose(kept, means, rtol=1e-5)  # Slicer writes tables with six digits
        chart = by_role["thickness_chart"][0]
        self.assertIs(chart.GetNthPlotSeriesNode(0).GetTableNode(), table)
        np.testing.assert_allclose(slicer.util.arrayFromVolume(by_role["t2_map"][0]), t2)
        self.assertEqual(by_role["run_details"][0].GetText(), text)
        self.assertEqual(parent_of(segmentation), parent_of(table))
        self.assertTrue(tree().GetItemName(parent_of(table)).startswith("Right knee"))
        with contextlib.suppress(KeyError):
            legend = by_role["legend"][0]
            self.assertEqual(legend.GetTitleText(), "Cartilage\nthickness (mm)")


class Terminology(unittest.TestCase):
    def test_every_entry_names_its_structure_and_no_other(self):
        self.assertEqual(len({terminology.entry(s.value) for s in STRUCTURES}), len(STRUCTURES))
        for side in ("right", "left", "unknown"):
            for structure in STRUCTURES:
                self.assertEqual(terminology.value_of_entry(terminology.entry(structure.value, side)), structure.value)

    def test_codes_are_those_of_the_master_list(self):
        self.assertEqual(
            terminology.entry(6, "left"),
            "Segmentation category and type - DICOM master list~SCT^85756007^Tissue~SCT^309312004^Cartilage"
            "~SCT^49370004^Lateral~Anatomic codes - DICOM master list~SCT^12611008^Tibia~SCT^7771000^Left")
        self.assertEqual(
            terminology.entry(1, "right"),
            "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^71341001^Femur"
            "~SCT^24028007^Right~Anatomic codes - DICOM master list~^^~^^")

    def test_entries_of_others(self):
        general = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~"
        self.assertEqual(terminology.value_of_entry(general + "SCT^12611008^Tibia~^^~Anatomic codes~^^~^^"), 2)
        tissue = "x~SCT^85756007^Tissue~"
        for words, value in (("SCT^61496007^Articular cartilage~SCT^255561001^Medial~y~^^~^^", 5),
                             ("SCT^309312004^Cartilage~^^~y~^^~^^", None), ("SCT^38033009^Meniscus~^^~y~^^~^^", None),
                             ("SCT^76752008^Breast~^^~y~^^~^^", None)):
            with self.subTest(words):
                self.assertEqual(terminology.value_of_entry(tissue + words), value)
        self.assertIsNone(terminology.value_of_entry(""))


if __name__ == "__main__":
    unittest.main()
