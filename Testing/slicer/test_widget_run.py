"""Buttons that turn into Cancel, the log of a run, and the words of the command line in the panel."""

from __future__ import annotations

import ast
import gc
import os
import sys
import unittest
import weakref
from pathlib import Path
from unittest import mock

import KneePipelineLib
import slicer

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase


class DoubleClick(PanelCase):
    double_click_s = 0.5

    def press_twice(self, button, clock, then=None):
        button.click()
        clock.return_value += 0.2
        button.click()
        if then is not None:
            clock.return_value += then
            button.click()

    def test_the_second_click_of_a_double_click_is_none(self):
        """It cancelled what the first had started; that holds for every button that becomes Cancel."""
        with mock.patch("time.monotonic", return_value=100.0) as clock:
            with mock.patch.object(self.panel.run, "_on_apply", side_effect=self.panel.run.begin) as apply, \
                    mock.patch.object(self.panel.run, "_on_cancel") as cancel:
                self.panel.run.set_problem("")
                self.press_twice(self.ui.applyButton, clock)
                self.assertEqual((apply.call_count, cancel.call_count), (1, 0))
                clock.return_value += 1.0
                self.ui.applyButton.click()
                self.assertEqual((apply.call_count, cancel.call_count), (1, 1))
            task = mock.Mock()
            with mock.patch("KneePipelineLib.slicer_side.environment.Task", return_value=task):
                self.press_twice(self.ui.setupButton, clock)
                self.assertFalse(task.cancel.called)
                clock.return_value += 1.0
                self.ui.setupButton.click()
                self.assertTrue(task.cancel.called)
            process, models = mock.Mock(), self.panel.models
            with mock.patch.object(models, "_start", return_value=process):
                models.remove("nnunet_fullres")  # it is busy: the button says Cancel
            self.ui.downloadModelButton.enabled = True
            self.press_twice(self.ui.downloadModelButton, clock)
            self.assertEqual(process.cancel.call_count, 1)


class Log(PanelCase):
    def test_no_line_twice_and_no_path(self):
        """Events and what the command line writes for people are the same sentences, on two channels."""
        folder = str(self.folder / "Doe, Jane" / "results 1")
        run = self.panel.run
        run.begin([folder])
        self.panel._on_progress(0.1, "DETECTION", "Finding the structures", None)
        run.tell(" 21%  Finding the structures")
        run.tell("Warning: No usable GPU was found.")
        self.panel._on_warning("CPU_ONLY", "No usable GPU was found.")
        run.tell(f"Report: {folder}/report.html")
        run.tell("Written to /home/someone/knees/left.nrrd")
        run.log(f"Set up in {Path.home() / 'env'}")
        lines = self.ui.logText.plainText.splitlines()
        self.assertEqual(lines[1:3], ["Finding the structures", "No usable GPU was found."])
        self.assertEqual(lines[3], "Report: <path>/report.html")
        self.assertEqual(len(lines), 6)
        for word in ("Doe", "Jane", "someone", "left.nrrd", str(Path.home())):
            self.assertNotIn(word, self.ui.logText.plainText)


class Words(unittest.TestCase):
    def test_no_sentence_of_the_package_brings_a_command_line_into_the_panel(self):
        """Every text of ours that names a command or an option, as the panel would say it."""
        from KneePipelineLib.slicer_side.panel.wording import _COMMAND, plain

        root, seen = Path(KneePipelineLib.__file__).parent, 0
        skipped = ("cli.py", "slicer_side", "batch", "bank.py", "setting_up.py")
        for path in root.rglob("*.py"):
            if any(part in skipped for part in path.relative_to(root).parts):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
                if " " in text and "\n" not in text and _COMMAND.search(text):
                    seen += 1
                    with self.subTest(text):
                        self.assertIsNone(_COMMAND.search(plain(text)))
        self.assertGreater(seen, 20)

    def test_cpu_is_said_without_segmenting_where_nothing_is_segmented(self):
        from KneePipelineLib.slicer_side.inputs.request import JobRequest
        from KneePipelineLib.slicer_side.panel import KneePanel

        panel = mock.Mock()
        panel.setup.only_cpu.return_value = True
        self.assertIn("Segmenting takes minutes", KneePanel._device_note(panel, JobRequest()))
        again = KneePanel._device_note(panel, JobRequest(segmentation_node=object(), reanalyse=True))
        self.assertIn("Computing on the CPU", again)
        self.assertNotIn("Segmenting", again)


class Wrappers(PanelCase):
    def test_what_was_bound_to_widgets_outlives_the_panel_in_slicer_5_10_only(self):
        """There a collected one is called when its node changes, and the process ends."""
        wrapper = weakref.ref(self.panel.parameters)
        slicer.mrmlScene.Clear(0)
        self.widget.initializeParameterNode()
        gc.collect()
        old = (slicer.app.majorVersion, slicer.app.minorVersion) < (5, 12)
        self.assertEqual(wrapper() is not None, old)


class ModelsList(PanelCase):
    def test_the_lines_below_a_model_belong_to_it(self):
        """A click on them, or the arrow key, greyed the buttons while the details still named the model."""
        tree = self.ui.modelsTree
        self.panel.models.select("nnunet_fullres")
        row = tree.currentItem()
        tree.setCurrentItem(row.child(0))
        self.assertEqual(self.panel.models._chosen_name(), "nnunet_fullres")
        self.assertTrue(self.ui.importModelButton.enabled)
        self.assertIn("full resolution", self.ui.modelDetailLabel.text)


class Settings(PanelCase):
    def test_every_setting_is_read(self):
        from KneePipelineLib.slicer_side import settings

        sources = "".join(path.read_text(encoding="utf-8")
                          for path in Path(settings.__file__).parent.rglob("*.py"))
        unread = [key for key in settings.DEFAULTS if f'settings.value("{key}")' not in sources]
        self.assertEqual(unread, [])

    def test_those_of_earlier_versions_are_forgotten_too(self):
        from KneePipelineLib.slicer_side import settings

        slicer.app.userSettings().setValue("KneePipeline/show_models", "true")
        slicer.app.userSettings().setValue("Other/keep", "1")
        settings.forget_all()
        self.assertIsNone(slicer.app.userSettings().value("KneePipeline/show_models"))
        self.assertEqual(slicer.app.userSettings().value("Other/keep"), "1")

    def test_no_path_of_a_patient_is_kept_in_slicers_settings(self):
        for field in (self.ui.inputPathEdit, self.ui.echoPathEdit, self.ui.outputPathEdit):
            self.assertEqual(str(field.settingKey), "")


class SetUp(PanelCase):
    def test_a_full_disk_is_told_before_set_up_begins(self):
        with mock.patch("KneePipelineLib.slicer_side.environment.Task") as task, \
                mock.patch("KneePipelineLib.environment.places.free_bytes", return_value=10 ** 9):
            self.ui.setupButton.click()
        self.assertFalse(task.called)
        self.assertRegex(self.ui.setupMessageLabel.text, r"1\.0 GB free, and about \d\.\d GB are needed")
        self.assertEqual(self.ui.setupButton.text, "Set up")

    def test_the_first_step_stands_first_until_it_is_done(self):
        from KneePipelineLib.slicer_side import environment

        layout = self.ui.setupSection.parent().layout()
        self.assertEqual(layout.indexOf(self.ui.setupSection), 0)
        found = environment.EnvironmentState(environment.READY, "Ready.", "", self.folder / "env")
        with mock.patch("KneePipelineLib.slicer_side.environment.state", return_value=found):
            self.panel.setup.refresh()
        self.assertGreater(layout.indexOf(self.ui.setupSection), layout.indexOf(self.ui.modelsSection))
        self.panel.setup.refresh()
        self.assertEqual(layout.indexOf(self.ui.setupSection), 0)

    def test_the_folder_is_shown_once_it_is_there(self):
        from KneePipelineLib.slicer_side import environment

        found = environment.EnvironmentState(environment.READY, "Ready: Python 3.11.", "", self.folder / "env")
        with mock.patch("KneePipelineLib.slicer_side.environment.state", return_value=found):
            self.panel.setup.refresh()
        self.assertEqual(self.ui.setupStateLabel.text, f"Ready: Python 3.11. Folder: {self.folder / 'env'}")


if __name__ == "__main__":
    unittest.main()
