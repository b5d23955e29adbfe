"""Scripted modules in the host: loading, the form with its bindings, clicks, scene close, reload, self test."""

from __future__ import annotations

import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
import vtk

DEMO = Path(__file__).parent / "demo_module"


class ScriptedModules(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        if not hasattr(slicer.modules, "hostdemo"):
            if not hasattr(slicer.app.moduleManager(), "load_folder"):
                self.skipTest("inside Slicer the demonstration module is not installed")
            slicer.app.moduleManager().load_folder(DEMO)
        self.widget = slicer.util.getModuleWidget("HostDemo")
        self.widget.enter()
        self.addCleanup(self.widget.exit)
        self.volume = slicer.util.addVolumeFromArray(np.arange(24.0).reshape(2, 3, 4), name="knee")

    def test_module_describes_itself(self):
        module = slicer.modules.hostdemo
        self.assertEqual((module.name, module.title), ("HostDemo", "Host demonstration"))
        self.assertEqual(Path(slicer.util.modulePath("HostDemo")), DEMO / "HostDemo.py")
        self.assertIn("HostDemo", slicer.util.moduleNames())
        with self.assertRaises(AttributeError):
            module.titel = "misspelt"

    def test_apply_by_clicking(self):
        ui, node = self.widget.ui, self.widget.parameterNode
        self.assertFalse(ui.applyButton.enabled)
        ui.inputSelector.setCurrentNode(self.volume)
        self.assertTrue(ui.applyButton.enabled)
        self.assertEqual(node.inputVolume.GetName(), "knee")
        ui.thresholdSlider.value = 19.5
        self.assertEqual(node.threshold, 19.5)
        ui.applyButton.click()
        self.assertEqual(self.widget.counted, 4)

    def test_bindings_go_both_ways(self):
        ui, node = self.widget.ui, self.widget.parameterNode
        side = type(node.side)
        node.side = side.LEFT
        self.assertEqual(ui.sideSelector.currentText, "Left")
        ui.sideSelector.currentIndex = 0
        self.assertEqual(node.side, side.AUTO)
        ui.folder.currentPath = "somewhere"
        self.assertEqual(node.folder, Path("somewhere"))
        node.folder = Path("elsewhere")
        self.assertEqual(ui.folder.currentPath, "elsewhere")
        self.assertEqual(ui.folder.filters, 0x11)
        node.keep = False
        self.assertFalse(ui.keep.checked)
        ui.prefix.text = "left"
        self.assertEqual(node.prefix, "left")
        node.names = ["a", "b"]
        self.assertEqual(list(node.names), ["a", "b"])

    def test_limits_and_types_are_kept(self):
        node = self.widget.parameterNode
        with self.assertRaises(ValueError):
            node.threshold = 101
        with self.assertRaises(TypeError):
            node.prefix = 3
        with self.assertRaises(TypeError):
            node.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
        self.assertEqual(node.threshold, 20)

    def test_parameters_survive_in_the_scene(self):
        import tempfile

        self.widget.parameterNode.prefix = "kept"
        self.widget.parameterNode.inputVolume = self.volume
        with tempfile.TemporaryDirectory() as folder:
            slicer.util.saveScene(f"{folder}/scene.mrb")
            slicer.mrmlScene.Clear(0)
            self.assertIsNone(self.widget.parameterNode)
            slicer.util.loadScene(f"{folder}/scene.mrb")
        self.widget.exit()
        self.widget.bind()
        self.assertEqual(self.widget.parameterNode.prefix, "kept")
        self.assertEqual(self.widget.parameterNode.inputVolume.GetName(), "knee")

    def test_deleted_nodes_leave_the_selector(self):
        selector = self.widget.ui.inputSelector
        selector.setCurrentNode(self.volume)
        heard = []
        selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
        slicer.mrmlScene.RemoveNode(self.volume)
        self.assertEqual((heard, selector.currentNode(), selector.currentNodeID), ([None], None, ""))

    def test_reload_makes_a_new_widget_and_cleans_up_the_old(self):
        old = self.widget
        slicer.util.reloadScriptedModule("HostDemo")
        new = slicer.util.getModuleWidget("HostDemo")
        self.assertIsNot(new, old)
        self.assertTrue(old.cleaned)
        self.assertEqual(new.ui.prefix.text, "knee")

    def test_self_test_runs(self):
        slicer.selfTests["HostDemo"]()
        import HostDemo

        self.assertTrue(HostDemo.HostDemoTest.ran)

    def test_a_form_with_an_error_is_refused(self):
        text = (DEMO / "Resources/UI/HostDemo.ui").read_text()
        for right, wrong in (
            ("<receiver>inputSelector<", "<receiver>inputSelektor<"),
            ("mrmlSceneChanged(", "mrmlSceneWasChanged("),
            ('class="QCheckBox" name="keep"', 'class="QChekBox" name="keep"'),
        ):
            with self.subTest(wrong), self.assertRaises(ValueError):
                buffer = qt.QBuffer()
                buffer.setData(text.replace(right, wrong).encode())
                buffer.open(qt.QIODevice.ReadOnly)
                qt.QUiLoader().load(buffer)


class Strictness(unittest.TestCase):
    """What Slicer refuses, the host refuses."""

    def load(self, text: str, with_description: bool) -> None:
        import tempfile

        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        (Path(folder.name) / "Tried.py").write_text(text)
        if with_description:
            (Path(folder.name) / "Tried.xml").write_text("<executable/>")
        slicer.app.moduleManager().load_folder(Path(folder.name))

    def test_a_command_line_module_begins_with_its_interpreter(self):
        if not hasattr(slicer.app.moduleManager(), "load_folder"):
            self.skipTest("the host's own loader")
        with self.assertRaisesRegex(RuntimeError, "class Tried was not found"):
            self.load("print('no first line')\n", True)
        self.load("#!/usr/bin/env python-real\n", True)
        self.assertTrue(slicer.app.moduleManager().isModuleLoaded("Tried"))

    def test_a_segmentations_item_is_a_virtual_branch(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "labels")
        node.GetSegmentation().AddEmptySegment("", "one")
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        item = tree.GetItemByDataNode(node)
        name = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyVirtualBranchAttributeName()
        self.assertTrue(tree.GetItemAttribute(item, name))
        children = vtk.vtkIdList()
        tree.GetItemChildren(item, children)
        slicer.mrmlScene.RemoveNode(node)
        left = vtk.vtkIdList()
        tree.GetItemChildren(tree.GetSceneItemID(), left, True)
        self.assertEqual(children.GetNumberOfIds(), 1)
        self.assertEqual(left.IsId(children.GetId(0)), -1, "the engine has removed it")


class SampleDataAndDicom(unittest.TestCase):
    def test_a_registered_sample_is_made_by_its_own_function(self):
        import SampleData

        def make(source):
            return slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)), name=source.sampleName)

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Knee", sampleName="DigitalKnee", uris="made-here:x", fileNames="x.nrrd", nodeNames="x",
            customDownloader=make
        )
        sources = slicer.modules.sampleDataSources if hasattr(slicer.modules, "sampleDataSources") else \
            SampleData.SampleDataLogic.sources
        source = sources["Knee"][-1]
        self.assertEqual(source.customDownloader(source).GetName(), "DigitalKnee", "what a click does")

    def test_dicom_files_are_found_by_their_uids(self):
        import tempfile

        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid

        if not hasattr(slicer.dicomDatabase, "addFolder"):
            self.skipTest("inside Slicer the database belongs to the user")
        series, study, instances = generate_uid(), generate_uid(), [generate_uid() for _ in range(3)]
        with tempfile.TemporaryDirectory() as folder:
            for number, uid in enumerate(instances):
                meta = FileMetaDataset()
                meta.TransferSyntaxUID = ExplicitVRLittleEndian
                meta.MediaStorageSOPInstanceUID = uid
                meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
                dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
                dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = uid, series, study
                dataset.EchoTime = 10.5 + number
                dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
                dataset.save_as(f"{folder}/{number}.dcm", enforce_file_format=True)
            (Path(folder) / "notes.txt").write_text("not DICOM")
            database = slicer.dicomDatabase
            self.addCleanup(database.clear)
            self.assertEqual(database.addFolder(folder), 3)
            files = database.filesForSeries(series)
            self.assertEqual([Path(f).name for f in files], ["0.dcm", "1.dcm", "2.dcm"])
            self.assertEqual(database.fileForInstance(instances[2]), files[2])
            self.assertEqual(database.fileValue(files[1], "0018,0081"), "11.5")
            self.assertEqual(database.fileValue(files[1], "0020,0037").count("\\"), 5)
            self.assertEqual((database.fileValue(files[1], "0010,0010"), database.fileForInstance("1.2")), ("", ""))


if __name__ == "__main__":
    unittest.main()
