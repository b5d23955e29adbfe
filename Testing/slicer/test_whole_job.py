"""Apply with a click, a real child process in practice mode, its results in the scene; and every other end of a run."""

from __future__ import annotations

import json
import os
import sys
import unittest
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import slicer

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase, has_working_python, this_python

ALL_SEGMENTS = 10
SLOW = any(word in sys.argv for word in ("--slow", "-slow")) or os.environ.get("KNEEPIPELINE_SLOW") == "1"


def coarse_sample() -> Any:
    """The digital knee at a quarter of its resolution."""
    from KneePipelineLib.slicer_side import sample_data

    return mock.patch.object(sample_data, "make_image", partial(sample_data.make_image, coarse=True))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


@unittest.skipUnless(has_working_python(), "this Python has no packages for a run")
class WholeJob(PanelCase):
    variables = this_python()

    def setUp(self) -> None:
        super().setUp()
        self.ui.outputPathEdit.currentPath = str(self.folder / "results")

    def start(self) -> None:
        if self.parameters.inputVolume is None:
            self.ui.inputVolumeSelector.setCurrentNode(self.volume())
        self.assertTrue(self.ui.applyButton.enabled, self.ui.applyButton.toolTip)
        self.ui.applyButton.click()
        self.assertEqual((self.panel.running, self.ui.applyButton.text), (True, "Cancel"), self.ui.messageLabel.text)

    def finish(self) -> None:
        self.wait(lambda: not self.panel.running)
        self.assertEqual(self.ui.messageLabel.text, "")

    def test_the_tutorial_from_apply_to_reanalyse_and_back_from_a_saved_scene(self):
        seen = set()
        self.picture("1_empty")
        with coarse_sample():
            self.ui.sampleLabel.linkActivated.emit("sample") if hasattr(
                self.ui.sampleLabel.linkActivated, "emit") else self.ui.sampleLabel.linkActivated("sample")
        self.assertEqual(self.ui.inputVolumeSelector.currentNode().GetName(), "Digital knee")
        self.start()
        self.assertTrue(self.ui.progressBar.isVisibleTo(self.ui.runArea))
        self.wait(lambda: seen.add(self.ui.stageLabel.text) or self.panel.job.state.value != "exporting")
        self.wait(lambda: seen.add(self.ui.stageLabel.text) or "Measuring" in seen or not self.panel.running)
        self.picture("2_running")
        self.wait(lambda: seen.add(self.ui.stageLabel.text) or not self.panel.running)
        self.finish()
        self.picture("3_results")
        self._check_results(seen)
        self._check_buttons()
        first = self.parameters.resultsRun
        self._correct_and_reanalyse(first)
        self._save_and_read()

    def _check_results(self, seen: set[str]) -> None:
        self.assertLessEqual({"Segmenting", "Measuring"}, seen)
        self.assertEqual(self.ui.applyButton.text, "Apply")
        self.assertFalse(self.ui.progressBar.isVisibleTo(self.ui.runArea))
        segmentation = self.parameters.resultsSegmentation
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), ALL_SEGMENTS)
        surfaces = {node.GetAttribute("KneePipeline.role") for node in self.result_nodes("vtkMRMLModelNode")}
        self.assertLessEqual({"bone_surface", "cartilage_surface"}, surfaces)
        self.assertEqual(len(self.result_nodes("vtkMRMLPlotChartNode")), 2)
        self.assertIn("Practice mode", self.ui.resultsLabel.text)
        self.assertEqual(self.ui.resultsTable.rowCount, 9 + 2)
        log = self.ui.logText.plainText.splitlines()
        self.assertEqual(sorted(set(log)), sorted(log), "no line twice")
        self.assertNotIn(str(self.folder), self.ui.logText.plainText)
        self.assertEqual(self.ui.resultsTable.item(0, 0).text(), "Femur, all")
        self.assertGreater(float(self.ui.resultsTable.item(0, 1).text()), 1.0)
        folder = Path(self.parameters.resultsPath)
        self.assertEqual(folder.parent, self.folder / "results")
        record = json.loads((folder / "results.json").read_text())
        self.assertAlmostEqual(record["regions"]["fem_cart"]["measures"]["mm_mean"],
                               float(self.ui.resultsTable.item(0, 1).text()), delta=0.006)

    def _check_buttons(self) -> None:
        opened, manager = [], slicer.app.layoutManager()
        before = manager.layout if manager is not None else None  # there is none without a main window
        self.ui.showTableButton.click()
        table = self.panel.results.nodes["table"]
        selection = slicer.app.applicationLogic().GetSelectionNode()
        self.assertEqual(selection.GetActiveTableID(), table.GetID())
        self.ui.showChartButton.click()
        self.assertEqual(selection.GetActivePlotChartID(), self.panel.results.nodes["chart"].GetID())
        if manager is not None:
            manager.setLayout(before)
        with mock.patch("qt.QDesktopServices") as desktop:
            desktop.openUrl.side_effect = lambda url: opened.append(url.toLocalFile())
            self.ui.openReportButton.click()
            self.ui.openFolderButton.click()
        folder = Path(self.parameters.resultsPath)
        self.assertEqual([Path(path) for path in opened], [folder / "report.html", folder])
        self.assertTrue((folder / "report.html").is_file())

    def _correct_and_reanalyse(self, first: str) -> None:
        from KneePipelineLib.slicer_side.self_test import thickness_in, thin_out

        before, segmentation = thickness_in(self.ui), self.parameters.resultsSegmentation
        models = len(self.result_nodes("vtkMRMLModelNode"))
        thin_out(segmentation)
        segmentation.GetSegmentation().AddEmptySegment("", "scratch")
        self.ui.reanalyseButton.click()
        self.wait(lambda: not self.panel.running)
        self.assertIn(f"1 of the {ALL_SEGMENTS + 1} segments", self.ui.messageLabel.text)
        self.assertEqual(self.ui.mappingTable.item(0, 0).text(), "scratch")
        leave_out = self.ui.mappingTable.cellWidget(0, 1)
        leave_out.currentIndex = leave_out.findText("Left out")
        self.ui.messageCloseButton.click()
        self.ui.reanalyseButton.click()
        self.assertEqual(self.ui.applyButton.text, "Cancel")
        self.finish()
        after = thickness_in(self.ui)
        self.assertEqual(before["Femur, all"], after["Femur, all"])
        self.assertNotEqual(before["Patella"], after["Patella"])
        self.assertNotEqual(self.parameters.resultsRun, first)
        self.assertIs(self.parameters.resultsSegmentation, segmentation)
        self.assertEqual(len(self.result_nodes("vtkMRMLModelNode")), models, "the earlier results were to be replaced")

    def _save_and_read(self) -> None:
        from KneePipelineLib.slicer_side.self_test import thickness_in

        shown, folder = thickness_in(self.ui), Path(self.parameters.resultsPath)
        slicer.util.saveScene(str(self.folder / "scene.mrb"))
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.ui.resultsButtons.isVisibleTo(self.ui.resultsContent))
        slicer.util.loadScene(str(self.folder / "scene.mrb"))
        self.assertEqual(thickness_in(self.ui), shown)
        self.assertTrue(self.ui.reanalyseButton.enabled)
        self.ui.showTableButton.click()
        folder.rename(self.folder / "moved")
        self.panel.set_parameters(self.panel.parameters)
        self.assertIn("not there any more", self.ui.resultsLabel.text)
        self.assertTrue(self.ui.showTableButton.enabled)
        self.assertFalse(self.ui.reanalyseButton.enabled)

    @unittest.skipUnless(SLOW, "slow: --slow, or KNEEPIPELINE_SLOW=1 inside Slicer; the tutorial above clicks the same")
    def test_the_modules_own_test(self):
        import KneePipeline

        test = KneePipeline.KneePipelineTest()
        with coarse_sample():
            test.runTest()
        slicer.util.getModuleWidget("KneePipeline").exit()

    def test_cancel_leaves_nothing_and_apply_works_again(self):
        self.start()
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        self.wait(lambda: self.panel.job.state.value == "running" and self.ui.progressBar.value > 0)
        pid = self.panel.job._process.pid
        self.ui.applyButton.click()
        self.assertFalse(self.ui.applyButton.enabled, "cancelling takes a moment")
        self.wait(lambda: not self.panel.running)
        self.assertFalse(_alive(pid))
        self.assertEqual((self.ui.applyButton.text, self.ui.applyButton.enabled), ("Apply", True))
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
        self.assertEqual(list((self.folder / "results").iterdir()), [])
        self.start()
        self.panel.stop()
        self.assertEqual(self.ui.applyButton.text, "Apply")

    def test_a_failure_quotes_its_cause_and_leaves_the_scene_alone(self):
        with mock.patch.dict(os.environ, {"KNEEPIPELINE_DUMMY": "0"}), \
                mock.patch.object(self.panel, "_has_model", return_value=True):
            self.start()
            nodes = slicer.mrmlScene.GetNumberOfNodes()
            self.wait(lambda: not self.panel.running)
        self.assertNotEqual(self.ui.messageLabel.text, "")
        self.assertNotIn("Traceback", self.ui.messageLabel.text)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
        self.assertEqual((self.ui.applyButton.text, self.ui.applyButton.enabled), ("Apply", True))

    def test_closing_the_scene_stops_the_run(self):
        self.start()
        self.wait(lambda: self.panel.job.state.value == "running" and self.panel.job._process.pid > 0)
        pid = self.panel.job._process.pid
        slicer.mrmlScene.Clear(0)  # questions are answered with no while testing
        self.wait(lambda: not self.panel.running)
        self.assertFalse(_alive(pid))
        self.assertEqual(len(self.result_nodes("vtkMRMLModelNode")), 0)
        self.assertEqual(self.ui.applyButton.text, "Apply")

    def test_a_run_may_finish_after_its_scene_was_closed(self):
        self.start()
        self.wait(lambda: self.panel.job.state.value == "running")
        with mock.patch("slicer.util.confirmYesNoDisplay", return_value=True):
            slicer.mrmlScene.Clear(0)
        self.assertTrue(self.panel.running)
        self.wait(lambda: not self.panel.running)
        self.assertIn(str(self.folder / "results"), self.ui.messageLabel.text)
        self.assertEqual(self.result_nodes("vtkMRMLModelNode"), [])
        self.assertEqual(len(list((self.folder / "results").glob("*/results.json"))), 1)

    def test_two_panels_run_side_by_side_in_folders_of_their_own(self):
        other = slicer.modules.kneepipeline.createNewWidgetRepresentation()
        self.keep(other)
        second = other.self()
        second.enter()
        self.start()
        second.ui.applyButton.click()
        self.assertNotEqual(self.panel.job.output, second.panel.job.output)
        second.panel.stop()
        self.assertFalse(second.panel.running)
        self.assertTrue(self.panel.running, "the other panel's run is its own")
        second.exit()
        second.cleanup()
        self.panel.stop()

    def test_leaving_ends_the_run_at_once(self):
        self.start()
        self.wait(lambda: self.panel.job.state.value == "running" and self.panel.job._process.pid > 0)
        pid = self.panel.job._process.pid
        self.widget.onAboutToQuit()
        self.assertFalse(_alive(pid))
        self.assertFalse(self.panel.running)


if __name__ == "__main__":
    unittest.main()
