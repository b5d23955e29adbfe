"""Re-analyse takes the place of the earlier import, wherever a person has put its parts, and touches nothing else."""

from __future__ import annotations

import os
import sys
import unittest

import numpy as np
import slicer
import vtk
from KneePipelineLib.slicer_side.scene import IMPORT, ImportOptions, import_all
from KneePipelineLib.slicer_side.scene.kinds import nodes_of_run

sys.path.insert(0, os.path.dirname(__file__))
from scene_case import SceneCase, parent_of, scene_state, tree


class Replaced(SceneCase):
    def setUp(self):
        super().setUp()
        scene = tree().GetSceneItemID()
        self.study = tree().CreateStudyItem(tree().CreateSubjectItem(scene, "Patient"), "Study 2020")
        tree().SetItemUID(self.study, "DICOM", "1.2.3")
        self.volume, self.other, self.loose = (
            slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name=name)
            for name in ("input", "another series", "loose"))
        for node in (self.volume, self.other):
            tree().SetItemParent(tree().GetItemByDataNode(node), self.study)
        self.own = scene_state()
        self.first = import_all(self.folder / "results.json", reference=self.volume)

    def again(self):
        """What the panel does: the run's imports are looked up, its results are brought in once more."""
        found = nodes_of_run(self.first.record["created"])["imports"]
        self.assertEqual(found, (self.first.import_id,))
        options = ImportOptions(segmentation=False, replaces=found)
        return import_all(self.folder / "results.json", reference=self.volume, segmentation=self.first.segmentation,
                          options=options)

    def check(self, second, segmentation_in=0):
        """The person's own things are where they were, and of the results there is one of each."""
        self.assertEqual(tree().GetItemByUID("DICOM", "1.2.3"), self.study)
        for node in (self.volume, self.other):
            self.assertEqual(parent_of(node), self.study)
        self.assertEqual(parent_of(self.loose), tree().GetSceneItemID())
        self.assertEqual(tree().GetItemParent(second.folder_item), self.study)
        self.assertEqual(parent_of(second.table), second.folder_item)
        self.assertEqual(parent_of(second.segmentation), segmentation_in or second.folder_item)
        for kind in ("vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLTableNode", "vtkMRMLPlotSeriesNode"):
            imports = {node.GetAttribute(IMPORT) for node in slicer.util.getNodesByClass(kind)} - {None}
            self.assertEqual(imports, {second.import_id}, kind)
        names = [name for name, _parent in scene_state()[1]]
        self.assertEqual([name for name in names if name.startswith("Right knee: KneePipeline")],
                         ["Right knee: KneePipeline"])

    def test_left_as_it_was(self):
        self.check(self.again())

    def test_run_details_moved_into_the_study(self):
        tree().SetItemParent(tree().GetItemByDataNode(self.first.text), self.study)
        self.check(self.again())

    def test_run_details_moved_to_the_top(self):
        """It emptied the whole tree."""
        tree().SetItemParent(tree().GetItemByDataNode(self.first.text), tree().GetSceneItemID())
        self.check(self.again())

    def test_table_and_run_details_deleted(self):
        """It made everything a second time."""
        for node in (self.first.table, self.first.text):
            slicer.mrmlScene.RemoveNode(node)
        self.check(self.again())

    def test_folder_taken_away_and_its_nodes_at_the_top(self):
        for node in [node for nodes in self.first.by_role.values() for node in nodes]:
            item = tree().GetItemByDataNode(node)
            if item and node is not self.first.segmentation:
                tree().SetItemParent(item, tree().GetSceneItemID())
        tree().SetItemParent(tree().GetItemByDataNode(self.first.segmentation), self.study)
        tree().RemoveItem(self.first.folder_item, False, True)
        self.check(self.again(), segmentation_in=self.study)

    def test_what_a_person_put_into_the_folder_stays(self):
        note = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "my note")
        tree().SetItemParent(tree().GetItemByDataNode(note), self.first.folder_item)
        second = self.again()
        self.assertEqual(parent_of(note), second.folder_item)
        self.check(second)

    def test_an_item_that_only_bears_the_mark_is_no_folder_of_ours(self):
        """Whoever copies attributes to a study must not lose it."""
        tree().SetItemAttribute(self.study, IMPORT, self.first.import_id)
        self.check(self.again())

    def test_found_after_the_scene_was_saved_and_read(self):
        created, path = self.first.record["created"], str(self.copy() / "scene.mrb")
        slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(path)
        found = nodes_of_run(created)
        self.assertEqual(found["imports"], (self.first.import_id,))
        self.assertEqual(len(found["models"]), len(self.first.models))
        self.assertTrue(all(found[key] is not None for key in ("table", "chart", "t2_chart", "t2", "text")))
        for node in (found["table"], found["text"]):
            slicer.mrmlScene.RemoveNode(node)
        segmentation = next(node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
                            if node.GetName() == "Right knee")
        import_all(self.folder / "results.json", segmentation=segmentation,
                   options=ImportOptions(segmentation=False, replaces=found["imports"]))
        models = [node for node in slicer.util.getNodesByClass("vtkMRMLModelNode") if node.GetAttribute(IMPORT)]
        self.assertEqual(len(models), len(self.first.models))
        everything = vtk.vtkIdList()
        tree().GetItemChildren(tree().GetSceneItemID(), everything, True)
        names = [tree().GetItemName(everything.GetId(i)) for i in range(everything.GetNumberOfIds())]
        self.assertEqual(sum(name.startswith("Right knee: KneePipeline") for name in names), 1)


if __name__ == "__main__":
    unittest.main()
