"""The example script, run as its first lines say, in practice mode."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from KneePipelineLib import environment

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "KneePipeline" / "Examples" / "batch.py"


@unittest.skipUnless((REPOSITORY / "Testing" / "host").is_dir(), "only from a checkout")
@unittest.skipIf(environment.private_python() is None and importlib.util.find_spec("torch") is None,
                 "needs the private environment")
class BatchExample(unittest.TestCase):
    def run_script(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        python = environment.private_python() or sys.executable
        variables = {**os.environ, "KNEEPIPELINE_DUMMY": "1", "KNEEPIPELINE_PYTHON": str(python)}
        line = [sys.executable, "-m", "Testing.host", "--no-main-window", "--no-splash", "--additional-module-paths",
                str(SCRIPT.parents[1]), "--python-script", str(SCRIPT), *arguments]
        return subprocess.run(line, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=900)

    def test_knees_one_after_another_and_a_failure_between(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.make_knee(folder / "knee.nrrd")
            (folder / "cases.csv").write_text(
                "case,input,side\n"
                f"A,{folder / 'missing.nrrd'},left\n"
                f"C,{folder / 'cases.csv'},\n"
                f"B,{folder / 'knee.nrrd'},\n")
            done = self.run_script(folder, str(folder / "cases.csv"), str(folder / "out"), "--scenes")
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("3 of 3: B", done.stdout)
            with open(folder / "out" / "summary.csv", newline="", encoding="utf-8") as file:
                failed, unreadable, measured = csv.DictReader(file)
            self.assertEqual((failed["case"], failed["fem_cart_mm_mean"]), ("A", ""))
            self.assertIn("not", failed["state"])
            self.assertEqual((unreadable["case"], unreadable["state"]), ("C", "The input cannot be read."))
            self.assertEqual((measured["case"], measured["state"]), ("B", "complete"))
            self.assertTrue(1 < float(measured["fem_cart_mm_mean"]) < 5)
            self.assertTrue((folder / "out" / "B" / "report.html").is_file())
            self.assertGreater((folder / "out" / "B" / "knee.mrb").stat().st_size, 10_000)

    def test_a_wrong_command_line_ends_at_once(self):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "cases.csv").write_text("case,file\nA,knee.nrrd\n")
            done = self.run_script(Path(name), str(Path(name) / "cases.csv"), str(Path(name) / "out"))
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("line 2 of the list has no case or no input", done.stderr)

    def make_knee(self, path: Path) -> None:
        import numpy as np
        import SimpleITK as sitk

        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((20, 30, 30), np.int16)), str(path))


if __name__ == "__main__":
    unittest.main()
