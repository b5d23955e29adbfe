"""The panel without a run: texts, form, readiness, mapping table, model, offers, messages, saved parameters."""

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

TASK = "KneePipelineLib.slicer_side.environment.Task"
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

    def test_everything_that_can_be_touched_has_a_tool_tip(self):
        own = [child for name, child in vars(self.ui).items()
               if child.className() in INTERACTIVE and not name.startswith("qt_")]
        self.assertGreater(len(own), 50)
        self.assertEqual([child.name for child in own if not child.toolTip], [])

    def test_every_bound_widget_has_its_parameter(self):
        from KneePipelineLib.slicer_side.parameters import KneePipelineParameters, widgets_by_parameter

        bound = widgets_by_parameter(self.ui)
        self.assertLessEqual(set(bound), set(KneePipelineParameters.allParameters))
        kept_elsewhere = {"inputPath", "echoPath", "model", "segmentMapping", "resultsPath", "resultsSegmentation",
                          "resultsVolume", "resultsInput", "resultsRun"}
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
        from KneePipelineLib.slicer_side.widget_request import request_of

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

    def test_answers_belong_to_their_segmentation(self):
        first, second = self.segmentation("blob"), self.segmentation("blob")
        self.ui.segmentationSelector.setCurrentNode(first)
        self.ui.mappingTable.cellWidget(0, 1).currentIndex = 1
        self.assertTrue(self.panel.inputs.mapping.values())
        self.ui.segmentationSelector.setCurrentNode(second)
        self.assertEqual(self.panel.inputs.mapping.values(), {})
        self.assertEqual(self.ui.mappingTable.cellWidget(0, 1).currentIndex, 0)


class Offers(PanelCase):
    def test_apply_without_environment_offers_set_up_with_size_and_folder(self):
        self.ui.inputVolumeSelector.setCurrentNode(self.volume())
        self.ui.applyButton.click()
        text = self.ui.messageLabel.text
        self.assertIn(str(self.folder / "home" / "env"), text)
        self.assertRegex(text, r"downloads up to \d+ MB from .*pypi\.org")
        self.assertRegex(text, r"\d\.\d GB")
        self.assertEqual(self.ui.messageButton.text, "Set up, then run")
        self.picture("5_offer")
        with mock.patch(TASK, return_value=FakeTask()) as made:
            self.ui.messageButton.click()
        self.assertEqual(made.call_args.args[0], ["setup", "--yes"])
        self.assertFalse(self.ui.messageFrame.isVisibleTo(self.ui.runArea))
        self.assertEqual(self.ui.setupButton.text, "Cancel")

    def test_set_up_shows_progress_and_runs_what_was_asked_for(self):
        task, ran = FakeTask(), []
        with mock.patch(TASK, return_value=task):
            self.panel.setup.set_up(lambda: ran.append(True))
        task.on_progress(0.42, "Installing torch")
        self.assertEqual((self.ui.setupProgressBar.value, self.ui.setupMessageLabel.text), (420, "Installing torch"))
        self.assertFalse(self.ui.repairButton.enabled)
        usable = mock.Mock(usable=True, state="ready", sentence="Ready.", folder=self.folder)
        with mock.patch("KneePipelineLib.slicer_side.environment.state", return_value=usable):
            task.on_done(Path("python"))
        self.assertEqual(ran, [True])
        self.assertEqual(self.ui.setupMessageLabel.text, "Setting up: done.")
        self.assertEqual(self.ui.setupButton.text, "Set up")

    def test_set_up_that_fails_quotes_the_cause(self):
        task, ran = FakeTask(), []
        with mock.patch(TASK, return_value=task):
            self.panel.setup.set_up(lambda: ran.append(True))
            task.on_failed("SETUP_ERROR", "The disk is full.", "Free some space.")
        self.assertEqual(self.ui.setupMessageLabel.text, "The disk is full. Free some space.")
        self.assertEqual(ran, [])

    def test_set_up_is_cancelled_by_its_own_button(self):
        task = FakeTask()
        with mock.patch(TASK, return_value=task):
            self.ui.setupButton.click()
            self.ui.setupButton.click()
        self.assertTrue(task.cancelled)
        task.on_cancelled()
        self.assertIn("was cancelled", self.ui.setupMessageLabel.text)

    def test_a_model_that_is_missing_is_named_with_the_section_that_gets_it(self):
        self.ui.inputVolumeSelector.setCurrentNode(self.volume())
        self.parameters.model = "nnunet_fullres"
        with mock.patch.object(self.panel, "_has_environment", return_value=True):
            self.ui.applyButton.click()
        self.assertIn("not installed", self.ui.messageLabel.text)
        self.ui.messageButton.click()
        self.assertFalse(self.ui.modelsSection.collapsed)
        self.assertIn("nnU-Net, full resolution", self.ui.modelDetailLabel.text)

    def test_terms_are_accepted_before_a_download(self):
        self.panel.models.select("shape_647")
        self.assertFalse(self.ui.downloadModelButton.enabled)
        self.assertFalse(self.ui.importModelButton.enabled, "a gated model needs acceptance for an import too")
        self.assertIn("non-commercial", self.ui.modelDetailLabel.text)
        self.ui.acceptLicenceCheck.checked = True
        self.assertTrue(self.ui.downloadModelButton.enabled)
        self.assertTrue(self.ui.importModelButton.enabled)
        self.ui.downloadModelButton.click()
        self.assertEqual(self.ui.messageButton.text, "Set up", "a download needs the environment")
        self.panel.models.select("nnunet_fullres")
        self.assertFalse(self.ui.acceptLicenceCheck.checked, "one model's terms are not another's")

    def test_every_model_is_listed_with_purpose_licence_size_and_state(self):
        from KneePipelineLib import weights

        tree = self.ui.modelsTree
        rows = [tree.topLevelItem(n) for n in range(tree.topLevelItemCount)]
        self.assertEqual([row.text(0) for row in rows], [m.title for m in weights.catalogue().values()])
        full = rows[1]
        self.assertEqual((full.text(1), full.text(2)), ("~816 MB", "not installed"))
        self.assertEqual(full.child(0).text(0), "3D segmentation in one stage\nLicence: see its page")


class Messages(PanelCase):
    def test_each_cause_names_its_button(self):
        from KneePipelineLib.slicer_side.widget_wording import mending

        cases = (
            ("E_HARD_003", "Damaged.", "Mend it with: python3 -m KneePipelineLib models download x", "Open Models"),
            ("NO_ENVIRONMENT", "Incomplete.", "Press Repair in the section Set up.", "Repair"),
            ("NO_ENVIRONMENT", "Missing.", "Press Set up in the section Set up.", "Set up"),
            ("GPU_OOM", "The GPU's memory does not suffice.", "", "Compute on the CPU"),
            ("TIMEOUT", "The deadline passed.", "Give more time with --timeout.", "Open Advanced"),
            ("PIPELINE_ERROR", "Something.", "", "Show log"),
            ("INVALID_FORMAT", "This is no knee.", "Choose another volume.", ""),
        )
        for code, message, hint, button in cases:
            with self.subTest(code, hint=hint):
                self.panel._on_failed(code, message, hint)
                self.assertTrue(self.ui.messageLabel.text.startswith(message))
                self.assertNotIn("python3", self.ui.messageLabel.text)
                self.assertNotIn("--", self.ui.messageLabel.text)
                self.assertEqual(self.ui.messageButton.text, button)
                self.assertEqual(mending(code, message, hint).text, self.ui.messageLabel.text)

    def test_show_log_opens_it(self):
        self.panel._on_failed("PIPELINE_ERROR", "Something.", "")
        self.ui.messageButton.click()
        self.assertFalse(self.ui.logSection.collapsed)
        self.assertIn("Something.", self.ui.logText.plainText)

    def test_too_little_gpu_memory_goes_on_with_the_cpu(self):
        self.panel._on_failed("GPU_OOM", "The GPU's memory does not suffice.", "")
        with mock.patch.object(self.panel, "apply") as apply:
            self.ui.messageButton.click()
        self.assertEqual((self.parameters.device.value, apply.call_count), ("cpu", 1))

    def test_cpu_is_said(self):
        self.panel._on_warning("CPU_ONLY", "No usable GPU was found: the segmentation ran on the CPU.")
        self.assertIn("CPU", self.ui.deviceNoteLabel.text)
        self.assertIn("CPU", self.ui.logText.plainText)

    def test_cpu_is_said_before_a_run_where_it_is_known(self):
        from KneePipelineLib.slicer_side.widget_request import request_of

        self.assertEqual(self.panel._device_note(request_of(self.parameters, {})), "")
        self.parameters.device = type(self.parameters.device).CPU
        self.assertIn("as chosen", self.panel._device_note(request_of(self.parameters, {})))
        self.parameters.device = type(self.parameters.device).AUTO
        with mock.patch.object(self.panel.setup, "only_cpu", return_value=True):
            self.assertIn("without a GPU", self.panel._device_note(request_of(self.parameters, {})))


class Life(PanelCase):
    def test_parameters_survive_saving_the_scene(self):
        self.ui.inputVolumeSelector.setCurrentNode(self.volume("mine"))
        self.ui.sideCombo.currentIndex = 1
        self.ui.makeChartCheck.checked = False
        self.ui.timeoutSpin.value = 7
        self.parameters.model = "goyal_coronal"
        slicer.util.saveScene(str(self.folder / "scene.mrb"))
        slicer.mrmlScene.Clear(0)
        self.assertEqual((self.ui.sideCombo.currentIndex, self.ui.timeoutSpin.value), (0, 0))
        self.assertFalse(self.ui.applyButton.enabled)
        slicer.util.loadScene(str(self.folder / "scene.mrb"))
        self.assertEqual(self.ui.inputVolumeSelector.currentNode().GetName(), "mine")
        self.assertEqual((self.ui.sideCombo.currentIndex, self.ui.timeoutSpin.value), (1, 7))
        self.assertFalse(self.ui.makeChartCheck.checked)
        self.assertIn("coronal", self.ui.modelCombo.currentText)
        self.assertTrue(self.ui.applyButton.enabled)

    def test_the_panel_follows_after_many_scenes(self):
        for _ in range(3):
            slicer.mrmlScene.Clear(0)
            self.widget.exit()
            self.widget.enter()
        self.ui.prefixEdit.text = "again"
        self.assertEqual(self.parameters.prefix, "again")

    def test_two_panels_show_the_same_parameters(self):
        other = slicer.modules.kneepipeline.createNewWidgetRepresentation()
        self.keep(other)
        second = other.self()
        second.enter()
        self.ui.prefixEdit.text = "shared"
        self.assertEqual(second.ui.prefixEdit.text, "shared")
        second.exit()
        second.cleanup()
        self.ui.prefixEdit.text = "alone"
        self.assertEqual(self.parameters.prefix, "alone")

    def test_results_folder_is_remembered_for_this_person(self):
        from KneePipelineLib.slicer_side import environment

        self.ui.outputPathEdit.currentPath = str(self.folder / "out")
        self.assertEqual(environment.results_folder(), self.folder / "out")
        self.assertEqual(self.parameters.resultsPath, "", "and is not part of the scene")


class FakeTask:
    """A command that waits to be told how it went."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def kill(self) -> None:
        self.cancelled = True


if __name__ == "__main__":
    unittest.main()
