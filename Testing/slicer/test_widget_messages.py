"""The panel without a run: what it offers, what it says, and what outlives a scene."""

from __future__ import annotations

import os
import sys
import unittest
from pathlib import Path
from unittest import mock

import slicer

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase

TASK = "KneePipelineLib.slicer_side.environment.Task"


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
        from KneePipelineLib.slicer_side.panel.wording import mending

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
        from KneePipelineLib.slicer_side.panel.request import request_of

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
