"""KneePipeline's command-line module through Slicer's own logic: real child processes, in practice mode."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import unittest
import uuid
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
import slicer.cli
from KneePipelineLib import environment

sys.path.insert(0, os.path.dirname(__file__))
from provoking import provokes_the_engine

CLI_FOLDER = Path(__file__).resolve().parents[2] / "KneePipeline" / "CLI"
PATIENCE_S = 600
MARK = "KNEEPIPELINE_TEST_MARK"


def _private_python() -> str | None:
    """The private environment's interpreter; in a checkout the one that runs the tests does where it can."""
    found = environment.private_python()
    if found is not None:
        return str(found)
    import importlib.util

    whole = all(importlib.util.find_spec(name) for name in ("torch", "SimpleITK", "skimage", "point_cloud_utils"))
    return sys.executable if whole and "Slicer" not in Path(sys.executable).name else None


def _module() -> object | None:
    """The module as installed, or loaded from the checkout where the application is the test host."""
    if not hasattr(slicer.modules, "kneepipelinecli") and hasattr(slicer.app.moduleManager(), "load_folder"):
        slicer.app.moduleManager().load_folder(CLI_FOLDER)
    return getattr(slicer.modules, "kneepipelinecli", None)


@unittest.skipUnless(sys.platform == "linux", "processes are counted in /proc; the host's bridge is for Linux")
class KneePipelineCommandLineModule(unittest.TestCase):
    def setUp(self) -> None:
        python = _private_python()
        self.module = _module()
        if python is None or self.module is None:
            self.skipTest("needs the private environment and the installed command-line module")
        slicer.mrmlScene.Clear(0)
        self.mark = uuid.uuid4().hex
        self.vary(**{MARK: self.mark, "KNEEPIPELINE_DUMMY": "1", "KNEEPIPELINE_PYTHON": python})
        self.volume = slicer.util.addVolumeFromArray(np.zeros((20, 30, 30), np.int16), name="knee")

    def vary(self, **variables: str) -> None:
        """Set environment variables for the rest of this test."""
        change = mock.patch.dict(os.environ, variables)
        change.start()
        self.addCleanup(change.stop)

    def node(self, class_name: str, name: str) -> object:
        return slicer.mrmlScene.AddNewNodeByClass(class_name, name)

    def outputs(self) -> dict:
        return {
            "outputLabels": self.node("vtkMRMLLabelMapVolumeNode", "labels"),
            "outputFemur": self.node("vtkMRMLModelNode", "femur"),
            "outputTibia": self.node("vtkMRMLModelNode", "tibia"),
            "outputPatella": self.node("vtkMRMLModelNode", "patella"),
            "outputT2Map": self.node("vtkMRMLScalarVolumeNode", "T2"),
            "outputTable": self.node("vtkMRMLTableNode", "table"),
        }

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.01)
        self.assertTrue(condition(), what)

    def run_to_its_end(self, parameters: dict) -> tuple[object, list]:
        """The node, and the (status, progress) it went through."""
        seen: list = []
        node = slicer.cli.createNode(self.module, parameters)
        node.AddObserver("ModifiedEvent", lambda caller, event: seen.append((caller.GetStatus(), caller.GetProgress())))
        slicer.cli.run(self.module, node)
        ends = node.Completed | node.CompletedWithErrors | node.Cancelled
        self.wait(lambda: bool(node.GetStatus() & ends), "no end")
        return node, seen

    def processes(self) -> list[int]:
        """Processes that this test started, directly or not."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            if int(folder.name) == os.getpid():
                continue
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def left_over(self) -> list[str]:
        return [name for name in os.listdir(slicer.app.temporaryPath) if name.startswith("kneepipeline_cli_")]

    def test_measures_and_loads_every_output(self):
        with tempfile.TemporaryDirectory() as poison:
            for name in ("numpy", "SimpleITK"):  # found first if PYTHONPATH reached the private environment
                (Path(poison) / f"{name}.py").write_text("raise RuntimeError('PYTHONPATH leaked')")
            self.vary(PYTHONPATH=poison)
            outputs = self.outputs()
            node, seen = self.run_to_its_end({"inputVolume": self.volume, "side": "right", **outputs})
        self.assertEqual(node.GetStatusString(), "Completed", node.GetErrorText())
        self.assertEqual(node.GetErrorText(), "")
        self.assertIn("Practice mode", node.GetOutputText())

        progress = [percent for status, percent in seen if status == node.Running]
        self.assertEqual(progress, sorted(progress))
        self.assertGreater(len(set(progress)), 5)

        labels = slicer.util.arrayFromVolume(outputs["outputLabels"])
        self.assertLessEqual(set(range(1, 10)), set(np.unique(labels)))
        for bone in ("outputFemur", "outputTibia", "outputPatella"):
            surface = outputs[bone].GetPolyData()
            self.assertGreater(surface.GetNumberOfPoints(), 100)
            self.assertIsNotNone(surface.GetPointData().GetArray("thickness (mm)"))
        bounds = np.zeros(6)
        outputs["outputFemur"].GetRASBounds(bounds)
        femur = np.argwhere(labels == 1)[:, ::-1]
        self.assertTrue(_inside(outputs["outputLabels"], femur, bounds))
        self.assertGreater(np.nanmax(slicer.util.arrayFromVolume(outputs["outputT2Map"])), 10)
        self.assertGreater(outputs["outputTable"].GetNumberOfRows(), 50)
        self.assertEqual(node.GetParameterAsString("measuredSide"), "right")
        self.assertIn(node.GetParameterAsString("quality"), ("ok", "check", "fail"))
        for name in ("femoral", "medialTibial", "lateralTibial", "patellar"):
            self.assertTrue(1 < float(node.GetParameterAsString(f"{name}ThicknessMm")) < 5, name)
        self.assertEqual(self.left_over(), [])
        self.assertEqual(self.processes(), [])

    def test_cancel_leaves_nothing_and_the_next_run_works(self):
        labels = self.node("vtkMRMLLabelMapVolumeNode", "labels")
        parameters = {"inputVolume": self.volume, "outputLabels": labels}
        self.vary(KNEEPIPELINE_TEST_FAULT="step:thickness=grandchildren")
        node = slicer.cli.run(self.module, None, parameters)
        self.wait(lambda: len(self.processes()) >= 5, "adapter, run, worker and what it started")
        self.assertEqual(node.GetStatusString(), "Running")
        node.Cancel()
        self.wait(lambda: node.GetStatus() == node.Cancelled, "not cancelled")
        self.wait(lambda: not self.processes(), "processes were left")
        self.assertIsNone(labels.GetImageData())
        self.assertEqual(len(self.left_over()), 1, "Slicer kills, so the folder of the run stays until the next one")

        self.vary(KNEEPIPELINE_TEST_FAULT="")
        node, _ = self.run_to_its_end(parameters)
        self.assertEqual(node.GetStatusString(), "Completed", node.GetErrorText())
        self.assertIsNotNone(labels.GetImageData())
        self.assertEqual(self.left_over(), [])

    @provokes_the_engine
    def test_failure_says_why_and_loads_nothing(self):
        labels = self.node("vtkMRMLLabelMapVolumeNode", "labels")
        self.vary(KNEEPIPELINE_TEST_FAULT="step:review=disk_full")
        with tempfile.TemporaryDirectory() as folder:
            parameters = {"inputVolume": self.volume, "outputLabels": labels, "outputFolder": folder}
            node, _ = self.run_to_its_end(parameters)
            self.assertTrue((Path(folder) / "log.txt").is_file())
        self.assertEqual(node.GetStatusString(), "Completed with errors")
        self.assertIn("disk", node.GetErrorText().lower())
        self.assertNotIn("Traceback", node.GetErrorText())
        self.assertIsNone(labels.GetImageData())

    @provokes_the_engine
    def test_without_an_environment_it_names_the_way_out(self):
        with tempfile.TemporaryDirectory() as empty:
            self.vary(KNEEPIPELINE_HOME=empty, KNEEPIPELINE_PYTHON="")
            node, _ = self.run_to_its_end({"inputVolume": self.volume})
        self.assertEqual(node.GetStatusString(), "Completed with errors")
        self.assertIn("press Set up", node.GetErrorText())

    @provokes_the_engine
    def test_an_input_is_needed(self):
        node, _ = self.run_to_its_end({})
        self.assertEqual(node.GetStatusString(), "Completed with errors")
        self.assertIn("either a volume or a DICOM folder", node.GetErrorText())


def _inside(volume: object, indices: np.ndarray, bounds: np.ndarray) -> bool:
    """Whether the middle of these voxels (i, j, k) lies inside RAS bounds."""
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume))
    middle = matrix[:3, :3] @ indices.mean(0) + matrix[:3, 3]
    return bool((bounds[::2] < middle).all() and (middle < bounds[1::2]).all())


def _ijk_to_ras(volume: object) -> object:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


if __name__ == "__main__":
    unittest.main()
