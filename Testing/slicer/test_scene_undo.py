"""An import is all or nothing, and a repeated one replaces the earlier one around the person's segmentation."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import unittest
from functools import partial
from unittest import mock

import numpy as np
import slicer
from KneePipelineLib.errors import KneePipelineError
from KneePipelineLib.imaging import read_labels
from KneePipelineLib.slicer_side.inputs.request import JobRequest
from KneePipelineLib.slicer_side.job.states import JobState
from KneePipelineLib.slicer_side.logic import KneePipelineLogicBase
from KneePipelineLib.slicer_side.scene import (
    ImportOptions,
    ImportStopped,
    import_all,
    import_results,
    importer,
    maps,
    models,
    segmentation,
    tables,
)
from KneePipelineLib.slicer_side.scene import steps as scene_steps

sys.path.insert(0, os.path.dirname(__file__))
from scene_case import (
    SPACING_MM,
    SceneCase,
    parent_of,
    reference_like,
    scene_state,
    tree,
    voxels_ras,
)


class Finished:
    """In place of a job: its run has ended before it began, only the import is left."""

    def __init__(self, results, request, factory, importer=None):
        self.request, self.results, self.output, self._importer = request, results, results.parent, importer
        self.state, self.exported, self.imported, self.replaces = JobState.DONE, None, None, None

    def start(self):
        steps = self._importer(self.results, self) if self._importer else iter(())
        while True:
            try:
                next(steps)
            except StopIteration as end:
                self.imported = end.value
                return


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

    def test_every_step_is_told_in_the_persons_language(self):
        """What is not translated is a title that the run itself gave to a file."""
        given = {output["title"] for output in self.record()["outputs"]}
        with contextlib.ExitStack() as patched:
            for module in (maps, models, segmentation, scene_steps, tables):
                self.assertIs(module._, slicer.i18n.tr)
                patched.enter_context(mock.patch.object(module, "_", "<{}>".format))
            told = list(import_results(self.folder / "results.json"))
        self.assertEqual([line for line in told if line not in given and not line.startswith("<")], [])
        self.assertIn("<Folder for the results>", told)
        self.assertIn("<Surface of femur>", told)

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

    def test_a_view_that_has_drawn_the_scene_survives_it(self):
        """It did not, and took the process along."""
        manager = slicer.app.layoutManager()
        views = manager.sliceWidget("Red").sliceView(), manager.threeDWidget(0).threeDView()
        for _ in range(2):  # in Slicer the views are there before any scene
            for view in views:
                view.forceRender()
            if not slicer.util.getNodesByClass("vtkMRMLPlotChartNode"):
                import_all(self.folder / "results.json")
        slicer.mrmlScene.Clear(0)
        folder = self.copy()
        (folder / "results.csv").unlink()
        before = scene_state()
        with self.assertRaises(KneePipelineError):
            import_all(folder / "results.json")
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
        options = ImportOptions(replaces=(self.first.import_id,))
        count = len(scene_state()[0])
        second = import_all(self.folder / "results.json", segmentation=self.node, options=options)
        self.assertEqual(parent_of(self.node), second.folder_item)
        self.assertEqual(len(scene_state()[0]), count)
        folders = [name for name, _ in scene_state()[1] if name.startswith("Right knee: KneePipeline")]
        self.assertEqual(len(folders), 1)
        self.assertEqual(second.table.GetName(), "Right knee: regions")
        self.assertIsNone(self.first.text.GetScene())

    def test_scripts_refill_the_folder_too(self):
        """`reanalyse` of the logic: one folder, no node twice, the corrected node stays; also after a scene closed."""
        logic = KneePipelineLogicBase()
        with mock.patch("KneePipelineLib.slicer_side.job.KneeJob", partial(Finished, self.folder / "results.json")):
            slicer.mrmlScene.Clear(0)
            before = logic.process(waitForCompletion=False).imported
            nodes, items = scene_state()
            unseen = logic.reanalyse(before.segmentation, importResults=False, waitForCompletion=False)
            self.assertIsNone(unseen.imported)
            after = logic.reanalyse(before.segmentation, waitForCompletion=False).imported
            self.assertIs(after.segmentation, before.segmentation)
            self.assertEqual((len(scene_state()[0]), scene_state()[1]), (len(nodes), items))
            self.assertEqual(parent_of(after.segmentation), after.folder_item)
            slicer.mrmlScene.Clear(0)
            bystander = tree().CreateFolderItem(tree().GetSceneItemID(), "A person's own")
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "corrected")
            logic.reanalyse(node, waitForCompletion=False)
            self.assertEqual(tree().GetItemName(bystander), "A person's own")

    def test_given_up_half_way_the_earlier_results_are_still_there(self):
        before = scene_state()
        bring = importer(self.node, replaces=(self.first.import_id,))
        work = bring(self.folder / "results.json", Finished(self.folder / "results.json", JobRequest(), None))
        while next(work) != "Run details":
            pass
        work.close()
        self.assertEqual(scene_state(), before)

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


if __name__ == "__main__":
    unittest.main()
