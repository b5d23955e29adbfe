"""Scripts run the way a user starts them: Slicer's command line, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = Path(__file__).parent / "demo_module"
SCRIPT = """
import json, sys
import slicer
report = {"arguments": sys.argv[1:], "main window": slicer.util.mainWindow() is not None,
          "module": hasattr(slicer.modules, "hostdemo"), "testing": slicer.app.testingEnabled()}
if slicer.util.mainWindow():
    slicer.util.selectModule("HostDemo")
    report["selected"] = slicer.util.selectedModule()
    report["entered"] = slicer.modules.HostDemoWidget.entered
    slicer.util.selectModule("Volumes")
    report["left"] = slicer.modules.HostDemoWidget.entered
with open(sys.argv[1], "w") as file:
    json.dump(report, file)
slicer.util.exit(int(sys.argv[2]))
"""


@unittest.skipUnless((REPOSITORY / "Testing" / "host").is_dir(), "only from a checkout")
class Launcher(unittest.TestCase):
    def run_script(self, *options: str, status: int = 0, text: str = SCRIPT) -> tuple[int, dict]:
        with tempfile.TemporaryDirectory() as folder:
            script, answer = Path(folder) / "script.py", Path(folder) / "answer.json"
            script.write_text(text)
            command = [sys.executable, "-m", "Testing.host", *options]
            command += ["--python-script", str(script), str(answer), str(status), "--more"]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
            report = json.loads(answer.read_text()) if answer.exists() else {"stderr": done.stderr}
        return done.returncode, report

    def test_a_batch_script_without_a_main_window(self):
        code, report = self.run_script("--no-main-window", "--additional-module-paths", str(DEMO), status=3)
        self.assertEqual(code, 3)
        self.assertEqual(report["arguments"][1:], ["3", "--more"])
        self.assertEqual((report["main window"], report["module"], report["testing"]), (False, True, False))

    def test_modules_are_entered_and_left_in_the_main_window(self):
        code, report = self.run_script("--testing", "--additional-module-paths", str(DEMO))
        self.assertEqual(code, 0, report)
        self.assertEqual((report["selected"], report["entered"], report["left"]), ("HostDemo", 1, 0))

    def test_the_application_goes_on_until_the_script_asks_for_the_exit(self):
        text = "import json, sys, qt, slicer\n"
        text += "def later():\n    json.dump({'later': True}, open(sys.argv[1], 'w'))\n    slicer.util.exit(4)\n"
        text += "qt.QTimer.singleShot(50, later)\n"
        self.assertEqual(self.run_script("--no-main-window", text=text), (4, {"later": True}))

    @unittest.skipUnless(sys.platform == "linux", "the host's bridge to command-line modules works on Linux only")
    def test_leaving_does_not_wait_for_a_command_line_module(self):
        text = "import json, sys, time, slicer, slicer.cli, numpy\n"
        text += "volume = slicer.util.addVolumeFromArray(numpy.zeros((2, 2, 2)))\n"
        text += "values = {'inputVolume': volume, 'seconds': 600.0}\n"
        text += "node = slicer.cli.run(slicer.modules.hostdemocli, None, values)\n"
        text += "while node.GetStatus() != node.Running:\n    slicer.app.processEvents()\n    time.sleep(0.01)\n"
        text += "json.dump({'running': True}, open(sys.argv[1], 'w'))\n"
        text += "slicer.util.exit(0)\n"
        folder = str(DEMO.parent / "demo_cli")
        answer = self.run_script("--no-main-window", "--additional-module-paths", folder, text=text)
        self.assertEqual(answer, (0, {"running": True}))

    def test_a_failing_script_fails_the_command(self):
        code, report = self.run_script("--no-main-window", text="raise ValueError('no knee')")
        self.assertEqual(code, 1)
        self.assertIn("no knee", report["stderr"])


if __name__ == "__main__":
    unittest.main()
