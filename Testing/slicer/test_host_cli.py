"""Command-line modules through Slicer's own logic: progress, results, cancel, failure, nothing left behind."""

from __future__ import annotations

import os
import sys
import time
import unittest
from pathlib import Path

import numpy as np
import slicer
import slicer.cli

sys.path.insert(0, os.path.dirname(__file__))
from provoking import provokes_the_engine

DEMO = Path(__file__).parent / "demo_cli"


@unittest.skipUnless(os.name == "posix", "the host's bridge to command-line modules works on Linux only")
class CommandLineModules(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        if not hasattr(slicer.modules, "hostdemocli"):
            if not hasattr(slicer.app.moduleManager(), "load_folder"):
                self.skipTest("inside Slicer the demonstration module is not installed")
            slicer.app.moduleManager().load_folder(DEMO)
        self.module = slicer.modules.hostdemocli
        self.volume = slicer.util.addVolumeFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5), name="in")
        self.labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "out")

    def parameters(self, **more: object) -> dict:
        return {"inputVolume": self.volume, "outputLabels": self.labels, "threshold": 49.0, **more}

    def wait(self, node: object, wanted: object, limit_s: float = 60) -> None:
        end = time.monotonic() + limit_s
        while not wanted(node) and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.01)
        self.assertTrue(wanted(node), node.GetStatusString())

    def temporary_files(self) -> set[str]:
        return set(os.listdir(slicer.app.temporaryPath))

    def test_runs_and_loads_results(self):
        before = self.temporary_files()
        seen = []
        node = slicer.cli.createNode(self.module, self.parameters())
        node.AddObserver("ModifiedEvent", lambda caller, event: seen.append((caller.GetStatus(), caller.GetProgress())))
        slicer.cli.run(self.module, node)
        self.wait(node, lambda n: n.GetStatus() == n.Completed)
        self.assertEqual(int(slicer.util.arrayFromVolume(self.labels).sum()), 10)
        self.assertEqual(node.GetParameterAsString("voxels"), "10")
        self.assertIn(node.Running, [status for status, _ in seen])
        self.assertEqual(self.temporary_files() - before, set())

    def test_run_sync(self):
        node = slicer.cli.runSync(self.module, None, self.parameters(threshold=29.0))
        self.assertEqual(node.GetStatusString(), "Completed")
        self.assertEqual(node.GetParameterAsString("voxels"), "30")

    def test_cancel_kills_it(self):
        node = slicer.cli.run(self.module, None, self.parameters(seconds=120.0))
        self.wait(node, lambda n: n.GetStatus() == n.Running)
        node.Cancel()
        self.wait(node, lambda n: n.GetStatus() == n.Cancelled)
        self.assertIsNone(self.labels.GetImageData())

    @provokes_the_engine
    def test_failure_says_why_and_loads_nothing(self):
        node = slicer.cli.run(self.module, None, self.parameters(fail=True))
        self.wait(node, lambda n: not n.IsBusy())
        self.assertEqual(node.GetStatusString(), "Completed with errors")
        self.assertIn("asked to fail", node.GetErrorText())
        self.assertIsNone(self.labels.GetImageData())

    def test_a_description_that_slicer_refuses_is_refused(self):
        try:
            from Testing.host import cli_bridge
        except ImportError:
            self.skipTest("Slicer's own loader reads the descriptions")

        broken = "<?xml version='1.0'?><executable><parameters><integer></executable>"
        for text in ("<executable></executable>", broken):
            with self.subTest(text), self.assertRaises(RuntimeError):
                self._make(cli_bridge, text)

    def _make(self, bridge: object, xml: str) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "Broken.py"
            script.write_text("")
            script.with_suffix(".xml").write_text(xml)
            bridge.make_logic(script)


if __name__ == "__main__":
    unittest.main()
