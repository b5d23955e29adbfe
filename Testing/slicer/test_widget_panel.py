"""The panel without a run: texts, form, readiness, mapping table, model."""

from __future__ import annotations

import os
import sys
import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase

INTERACTIVE = ("QPushButton", "QComboBox", "QLineEdit", "QSpinBox", "QDoubleSpinBox", "QCheckBox", "QPlainTextEdit",
               "QTableWidget", "QTreeWidget", "QProgressBar", "qMRMLNodeComboBox", "ctkPathLineEdit",
               "ctkCollapsibleButton", "ctkDirectoryButton")


class Form(PanelCase):
    def test_module_describes_itself(self):
        module = slicer.modules.kneepipeline
        self.assertEqual(module.title, "Knee Pipeline")
        self.assertEqual(list(module.categories), ["Quantification"])
        self.assertIn("not validated for research", module.helpText)
        self.assertIn("Apache-2.0", module.acknowledgementText)
        self.assertTrue(module.contributors)
        icon = qt.QPixmap(self.widget.resourcePath("Icons/KneePipeline.png"))
        self.assertEqual((icon.width(), icon.height()), (128, 128))
        self.assertFalse(module.icon.isNull())

    def test_samples_wear_the_modules_icon(self):
        import SampleData
        from KneePipelineLib.slicer_side import sample_data

        with mock.patch.object(SampleData.SampleDataLogic, "registerCustomSampleDataSource") as offered:
            sample_data.register()
        pictures = {Path(call.kwargs["thumbnailFileName"]).name for call in offered.call_args_list}
        self.assertEqual((offered.call_count, pictures), (3, {"KneePipeline.png"}))

    def test_everything_that_can_be_touched_has_a_tool_tip(self):
        own = [child for name, child in vars(self.ui).items()
               if child.className() in INTERACTIVE and not name.startswith("qt_")]
        self.assertGreater(len(own), 50)
        self.assertEqual([child.name for child in own if not child.toolTip], [])

    def test_every_bound_widget_has_its_parameter(self):
        from KneePipelineLib.slicer_side.parameters import KneePipelineParameters, widgets_by_parameter

        bound = widgets_by_parameter(self.ui)
        self.assertLessEqual(set(bound), set(KneePipelineParameters.allParameters))
        kept_elsewhere = {"inputPath", "echoPath", "model", "resultsPath", "resultsSegmentation", "resultsVolume",
                          "resultsRun"}
        self.assertEqual(set(KneePipelineParameters.allParameters) - set(bound), kept_elsewhere)
        for widget in bound.values():
            self.assertNotIn(widget.className(), ("ctkCheckBox", "ctkComboBox", "ctkDoubleSpinBox"))

    def test_sections_that_are_rarely_needed_are_closed(self):
        for name in ("advancedSection", "logSection", "modelsSection"):
            self.assertTrue(getattr(self.ui, name).collapsed, name)
        for name in ("inputsSection", "modelSection", "outputsSection", "setupSection"):
            self.assertFalse(getattr(self.ui, name).collapsed, name)

    def test_bundled_is_the_default_and_says_what_it_is(self):
        self.assertEqual(self.parameters.model, "bundled")
        self.assertEqual(self.ui.modelNoticeLabel.text, "Bundled network: for trying out, not validated for research.")

    def test_another_model_is_kept_and_described(self):
        from KneePipelineLib import weights

        names = [m.name for m in weights.catalogue().values() if m.kind in ("nnunet", "planar", "consensus")]
        self.ui.modelCombo.currentIndex = names.index("staple")
        self.assertEqual(self.parameters.model, "staple")
        self.assertIn("Consensus of the three", self.ui.modelPurposeLabel.text)
        self.assertIn("terms of its own", self.ui.modelNoticeLabel.text)
        self.parameters.model = "goyal_axial"
        self.assertEqual(self.ui.modelCombo.currentIndex, names.index("goyal_axial"))


class Readiness(PanelCase):
    def test_apply_waits_for_a_knee(self):
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("Choose a volume", self.ui.applyButton.toolTip)
        self.assertEqual(self.ui.deviceNoteLabel.text, self.ui.applyButton.toolTip, "said below the button, too")
        self.assertTrue(self.ui.deviceNoteLabel.isVisibleTo(self.ui.runArea))
        volume = self.volume()
        self.assertTrue(self.ui.sampleLabel.isVisibleTo(self.ui.inputsContent))
        self.ui.inputVolumeSelector.setCurrentNode(volume)
        self.assertTrue(self.ui.applyButton.enabled)
        self.assertFalse(self.ui.sampleLabel.isVisibleTo(self.ui.inputsContent))
        slicer.mrmlScene.RemoveNode(volume)
        self.assertFalse(self.ui.applyButton.enabled)

    def test_a_volume_without_an_image_is_told(self):
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        self.ui.inputVolumeSelector.setCurrentNode(empty)
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("no image", self.ui.applyButton.toolTip)

    def test_files_instead_of_a_volume(self):
        self.ui.inputKindCombo.currentIndex = 1
        shown = {name: getattr(self.ui, name).isVisibleTo(self.ui.inputsContent)
                 for name in ("inputVolumeSelector", "inputVolumeSelectorLabel", "inputPathEdit", "inputPathEditLabel")}
        self.assertEqual(list(shown.values()), [False, False, True, True])
        self.ui.inputPathEdit.currentPath = str(self.folder / "nowhere")
        self.assertIn("does not exist", self.ui.applyButton.toolTip)
        self.ui.inputPathEdit.currentPath = str(self.folder)
        self.assertTrue(self.ui.applyButton.enabled)
        self.ui.echoPathEdit.currentPath = str(self.folder / "nowhere")
        self.assertIn("echoes", self.ui.applyButton.toolTip)
        self.assertEqual(self.parameters.inputPath, str(self.folder))

    def test_a_folder_is_chosen_with_a_dialog_of_its_own(self):
        """The path field's own button asks for a file, because it takes files too."""
        self.ui.inputKindCombo.currentIndex = 1
        with mock.patch("qt.QFileDialog") as dialog:
            dialog.getExistingDirectory.return_value = ""
            self.ui.inputFolderButton.click()
            self.assertEqual(self.parameters.inputPath, "", "the dialog was cancelled")
            dialog.getExistingDirectory.return_value = str(self.folder)
            self.ui.inputFolderButton.click()
        self.assertEqual(self.parameters.inputPath, str(self.folder))
        self.assertTrue(self.ui.applyButton.enabled)

    def test_label_maps_are_not_offered_as_images(self):
        self.volume("image")
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
        self.assertEqual(self.ui.inputVolumeSelector.nodeCount(), 1)

    def test_request_holds_what_was_chosen(self):
        from KneePipelineLib.slicer_side.panel.request import request_of

        volume = self.volume()
        self.ui.inputVolumeSelector.setCurrentNode(volume)
        self.ui.sideCombo.currentIndex = 2
        self.ui.deviceCombo.currentIndex = 1
        self.ui.timeoutSpin.value = 5
        self.ui.smoothingSpin.value = 0.5
        self.ui.makeShapeCheck.checked = False
        self.ui.prefixEdit.text = "case7"
        request = request_of(self.parameters, {})
        self.assertIs(request.input_node, volume)
        self.assertEqual((request.side, request.device, request.timeout_s, request.prefix, request.model),
                         ("right", "cpu", 300.0, "case7", "bundled"))
        self.assertEqual(request.options, {"image_smooth_var_cart": 0.5, "t2_fit": "weighted",
                                           "t2_skip_first_echo": False, "nsm_type": "none"})
        request.check()

    def test_wrong_prefix_is_refused_in_words(self):
        self.ui.inputVolumeSelector.setCurrentNode(self.volume())
        self.ui.prefixEdit.text = "Mr. X/Y"
        with mock.patch.object(self.panel, "_has_environment", return_value=True), \
                mock.patch.object(self.panel, "_has_model", return_value=True):
            self.ui.applyButton.click()
        self.assertIn("prefix", self.ui.messageLabel.text)
        self.assertEqual(self.ui.applyButton.text, "Apply")


class Mapping(PanelCase):
    def test_unknown_segments_are_asked_for(self):
        node = self.segmentation("Femur", "Segment_7", "Femoral cartilage", "blob")
        self.ui.inputVolumeSelector.setCurrentNode(self.volume())
        self.ui.segmentationSelector.setCurrentNode(node)
        table = self.ui.mappingTable
        self.assertTrue(self.ui.mappingFrame.isVisibleTo(self.ui.inputsContent))
        self.assertEqual([table.item(row, 0).text() for row in range(table.rowCount)], ["Segment_7", "blob"])
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertFalse(self.ui.modelSection.enabled)
        self.picture("4_mapping")
        tibia = table.cellWidget(0, 1).findText("Tibia")
        table.cellWidget(0, 1).currentIndex = tibia
        self.assertIn("table under Inputs", self.ui.applyButton.toolTip)
        table.cellWidget(1, 1).currentIndex = table.cellWidget(1, 1).findText("Left out")
        self.assertTrue(self.ui.applyButton.enabled)
        ids = list(node.GetSegmentation().GetSegmentIDs())
        self.assertEqual(self.panel.inputs.mapping.values(), {ids[1]: 2, ids[3]: 0})
        table.cellWidget(1, 1).currentIndex = 0
        self.assertFalse(self.ui.applyButton.enabled)

    def test_known_segments_need_no_table(self):
        self.ui.segmentationSelector.setCurrentNode(self.segmentation("Femur", "Tibia", "Femoral cartilage"))
        self.assertFalse(self.ui.mappingFrame.isVisibleTo(self.ui.inputsContent))
        self.assertTrue(self.ui.applyButton.enabled, "a segmentation alone can be measured")

    def test_answers_survive_when_nodes_get_other_names_in_the_scene(self):
        """Read into a scene that is not empty, every node has another ID; what was said is still known."""
        self.ui.segmentationSelector.setCurrentNode(self.segmentation("blob"))
        self.ui.mappingTable.cellWidget(0, 1).currentIndex = 1
        said = self.panel.inputs.mapping.values()
        slicer.util.saveScene(str(self.folder / "scene.mrb"))
        slicer.util.loadScene(str(self.folder / "scene.mrb"))
        first, second = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertNotEqual(first.GetID(), second.GetID())
        self.assertEqual([self.panel.inputs.mapping.values(node) for node in (first, second)], [said, said])

    def test_answers_belong_to_their_segmentation(self):
        first, second = self.segmentation("blob"), self.segmentation("blob")
        self.ui.segmentationSelector.setCurrentNode(first)
        self.ui.mappingTable.cellWidget(0, 1).currentIndex = 1
        self.assertTrue(self.panel.inputs.mapping.values())
        self.ui.segmentationSelector.setCurrentNode(second)
        self.assertEqual(self.panel.inputs.mapping.values(), {})
        self.assertEqual(self.ui.mappingTable.cellWidget(0, 1).currentIndex, 0)


if __name__ == "__main__":
    unittest.main()
