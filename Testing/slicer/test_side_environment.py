"""The module's settings, and the private environment's commands as child processes."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

import slicer
from KneePipelineLib.slicer_side import environment, settings
from KneePipelineLib.slicer_side.failures import RunError

sys.path.insert(0, os.path.dirname(__file__))
from job_case import PATIENCE_S, JobTest, wait_until


class Settings(unittest.TestCase):
    def setUp(self):
        self.addCleanup(settings.forget_all)

    def test_values_keep_their_type(self):
        for key, new in (("keep_log_open", True), ("ask_before_scene_close", False), ("torch", "cpu")):
            settings.set_value(key, new)
            self.assertIs(type(settings.value(key)), type(settings.DEFAULTS[key]))
            self.assertEqual(settings.value(key), new)
            settings.set_value(key, settings.DEFAULTS[key])
            self.assertFalse(slicer.app.userSettings().contains(f"KneePipeline/{key}"))
        slicer.app.userSettings().setValue("KneePipeline/keep_log_open", "false")
        self.assertIs(settings.value("keep_log_open"), False)

    def test_unknown_keys_and_wrong_types_are_refused(self):
        with self.assertRaises(KeyError):
            settings.value("colour of the sky")
        with self.assertRaises(TypeError):
            settings.set_value("torch", 3)


class Environments(JobTest):
    def run_task(self, task) -> tuple[str, object]:
        """Its end: done, failed or cancelled, with what was told."""
        ends = []
        task.on_done = lambda result: ends.append(("done", result))
        task.on_failed = lambda *told: ends.append(("failed", told))
        task.on_cancelled = lambda: ends.append(("cancelled", None))
        self.addCleanup(task.kill)
        self.assertTrue(wait_until(lambda: bool(ends), PATIENCE_S))
        return ends[0]

    def test_what_set_up_would_do_is_known_before(self):
        plan = environment.plan()
        self.assertEqual(plan.folder, self.home / "env")
        self.assertGreater(plan.download_mb, 400)
        self.assertGreater(plan.installed_mb, plan.download_mb)
        for words in (str(plan.folder), "pypi.org", "GB", "github.com", "Slicer's own Python is not changed"):
            self.assertIn(words, plan.sentence())

    def test_the_state_names_the_button(self):
        self.assertEqual(environment.state().state, "own")
        del os.environ["KNEEPIPELINE_PYTHON"]
        found = environment.state()
        self.assertEqual((found.state, found.usable), ("missing", False))
        self.assertIn("Press Set up", found.sentence)

    def test_it_is_told_in_the_persons_language(self):
        del os.environ["KNEEPIPELINE_PYTHON"]
        self.assertIs(environment._, slicer.i18n.tr)
        with mock.patch.object(environment, "_", "<{}>".format):
            found, plan = environment.state(), environment.plan().sentence()
            with self.assertRaises(RunError) as missing:
                environment.python_for_runs()
            os.environ["KNEEPIPELINE_PYTHON"] = str(self.home / "gone")
            gone = environment.state()
            os.environ["KNEEPIPELINE_PYTHON"] = sys.executable
            own = environment.state()
        self.assertEqual(found.sentence, "<The private environment is not set up yet.> <Press Set up.>")
        self.assertEqual(missing.exception.message, "<The private environment is not set up yet.>")
        self.assertTrue(gone.sentence.startswith("<") and gone.advice.startswith("<Choose another"), gone.sentence)
        self.assertEqual(own.sentence, f"<{sys.executable} is used, as was asked for.>")
        self.assertRegex(plan, r"\A(<[^<>]+>\s*){2,3}\Z")

    def test_outside_slicer_it_is_told_in_english(self):
        root = Path(__file__).resolve().parents[2]
        code = "from KneePipelineLib.slicer_side import environment; print(environment.plan().sentence())"
        said = subprocess.run([sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=False,
                              timeout=PATIENCE_S, env=dict(os.environ))
        self.assertTrue(said.stdout.startswith("Set up downloads up to "), said.stderr)

    def test_set_up_fails_in_its_own_words(self):
        del os.environ["KNEEPIPELINE_PYTHON"]
        (self.home / "wheels").mkdir()
        lines = []
        task = environment.setup(base_python=sys.executable, offline=self.home / "wheels")
        task.on_text = lines.append
        end, (code, message, _) = self.run_task(task)
        self.assertEqual((end, code), ("failed", "SETUP_ERROR"), lines)
        self.assertNotIn("KneePipeline:", message)
        self.assertTrue(message)
        self.assertEqual(environment.state().state, "missing")

    def test_a_python_that_lacks_packages_is_not_taken(self):
        end, told = self.run_task(environment.use_python(self.home / "no python"))
        self.assertEqual((end, told[0]), ("failed", "SETUP_ERROR"))
        self.assertIn("does not start", told[1])
        self.assertEqual(settings.value("python"), "")

    def test_a_removal_of_nothing_is_no_failure(self):
        self.assertEqual(self.run_task(environment.remove()), ("done", None))


if __name__ == "__main__":
    unittest.main()
