"""A job from Apply to its end: runs, practice runs as real child processes, failures in words."""

from __future__ import annotations

import json
import os
import sys
import unittest

import numpy as np
import slicer
from KneePipelineLib.errors import ConfigError, InvalidFormatError
from KneePipelineLib.slicer_side import failures
from KneePipelineLib.slicer_side.job import JobRequest, JobState, KneeJob
from KneePipelineLib.slicer_side.logic import KneePipelineLogicBase
from KneePipelineLib.slicer_side.process import PlainProcess, QtProcess

sys.path.insert(0, os.path.dirname(__file__))
from job_case import PATIENCE_S, JobTest, wait_until


class Runs(JobTest):
    def test_from_apply_to_the_results(self):
        steps = []

        def importer(results, job):
            for number in range(3):
                steps.append(results)
                yield f"node {number}"
            return "nodes"

        job = self.job(importer=importer)
        job.start()
        self.assertTrue(job.wait(PATIENCE_S))
        self.assertEqual(self.told("state"), [(JobState.EXPORTING,), (JobState.RUNNING,), (JobState.IMPORTING,),
                                              (JobState.DONE,)])
        self.assertEqual(self.told("done"), [(job.results,)])
        self.assertEqual(json.loads(job.results.read_text())["schema_version"].split(".")[0], "1")
        self.assertEqual((job.imported, steps), ("nodes", [job.results] * 3))
        self.assertTrue(job.output.is_relative_to(self.home / "results"))
        fractions = [told[0] for told in self.told("progress")]
        self.assertGreater(len(fractions), 5)
        self.assertEqual(fractions, sorted(fractions))
        self.assertIn("PRACTICE", [code for code, _ in self.told("warning")])
        self.assert_nothing_is_left()
        with self.assertRaises(RuntimeError):
            job.start()

    def test_one_job_a_logic_but_two_logics_side_by_side(self):
        one, other = KneePipelineLogicBase(), KneePipelineLogicBase()
        node = self.image()
        first = one.process(node, importResults=False, waitForCompletion=False)
        with self.assertRaisesRegex(ConfigError, "running already"):
            one.process(node)
        second = other.process(node, importResults=False, waitForCompletion=False)
        self.assertTrue(wait_until(lambda: first.state.over and second.state.over, PATIENCE_S))
        self.assertEqual((first.state, second.state), (JobState.DONE, JobState.DONE))
        self.assertNotEqual(first.output, second.output)
        self.assert_nothing_is_left()


class Practice(JobTest):
    """The real command line, in practice mode."""

    practice = True

    def test_in_a_script_and_again_after_a_correction(self):
        """Blocking, without Qt; then the labels are edited, and only what depends on them is measured again."""
        logic = KneePipelineLogicBase()
        node = self.image()
        job = logic.run(JobRequest(input_node=node), importResults=False, processFactory=PlainProcess)
        before = json.loads(job.results.read_text())["regions"]["fem_cart"]["measures"]["VC_mm3"]
        from KneePipelineLib.slicer_side import terminology

        labels = slicer.util.loadSegmentation(str(job.output / "knee_all-labels.nrrd"))
        segmentation = labels.GetSegmentation()
        for segment_id in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segment_id)
            value = segment.GetLabelValue()
            terminology.describe(segment, value)
            if value == 4:
                cartilage = segment_id
        reference = slicer.util.loadLabelVolume(str(job.output / "knee_all-labels.nrrd"))
        array = slicer.util.arrayFromSegmentBinaryLabelmap(labels, cartilage, reference).copy()
        places = np.argwhere(array)
        array[:, :, : int(np.median(places[:, 2]))] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, labels, cartilage, reference)
        again = logic.reanalyse(labels, importResults=False)
        self.assertEqual(again.output, job.output)
        after = json.loads(again.results.read_text())["regions"]["fem_cart"]["measures"]["VC_mm3"]
        self.assertLess(after, 0.8 * before)
        record = json.loads((again.output / "pipeline.json").read_text())
        text = json.dumps(record)
        self.assertIn("reused", text)
        self.assert_nothing_is_left()


class Failures(JobTest):
    def failed(self, job: KneeJob) -> tuple[str, str, str]:
        """Run it to its failure and return what was told."""
        job.start()
        self.assertTrue(job.wait(PATIENCE_S))
        self.assertEqual(job.state, JobState.FAILED)
        self.assert_nothing_is_left()
        (told,) = self.told("failed")
        return told

    def test_a_volume_that_is_no_knee_is_refused_in_words(self):
        del os.environ["KNEEPIPELINE_DUMMY"]
        os.environ["KNEEPIPELINE_PYTHON"] = sys.executable
        code, message, hint = self.failed(self.job())
        self.assertNotIn("Traceback", message)
        self.assertIn(code, ("INVALID_FORMAT", "E_HARD_001"))
        self.assertTrue(message.endswith("."))
        self.assertTrue(hint)

    def test_without_an_environment(self):
        del os.environ["KNEEPIPELINE_PYTHON"]
        code, message, hint = self.failed(self.job())
        self.assertEqual((code, hint), ("NO_ENVIRONMENT", "Press Set up in the section Set up."))
        self.assertIn("not set up", message)

    def test_an_environment_that_went_away(self):
        os.environ["KNEEPIPELINE_PYTHON"] = str(self.home / "bin" / "python")
        code, _, hint = self.failed(self.job())
        self.assertEqual((code, hint), ("NO_ENVIRONMENT", failures.REPAIR))

    def test_the_last_words_of_a_run_that_breaks_down(self):
        for words, code, button in (("RuntimeError: the sky fell", "PIPELINE_ERROR", "Diagnose"),
                                    ("ModuleNotFoundError: No module named 'torch'", "NO_ENVIRONMENT", "Repair")):
            with self.subTest(words=words):
                self.heard.clear()
                os.environ["KNEEPIPELINE_PYTHON"] = self.script(
                    "broken-python", f"#!{sys.executable}\nimport sys\nsys.exit(\"{words}\")\n")
                for factory in (PlainProcess, QtProcess):
                    self.heard.clear()
                    told = self.failed(self.job(factory))
                    self.assertEqual(told[0], code)
                    self.assertIn(words, told[1])
                    self.assertIn(button, told[2])

    def test_a_run_that_is_killed(self):
        job = self.job()
        job.start()
        self.assertTrue(wait_until(lambda: bool(self.told("progress")), PATIENCE_S))
        os.kill(job._process.pid, 9)
        self.assertTrue(job.wait(PATIENCE_S))
        self.assertEqual(job.error.code, "E_HARD_002")
        self.assertIn("memory", job.error.message)

    def test_an_import_that_fails(self):
        def importer(results, job):
            yield "one"
            raise InvalidFormatError("femur_mesh.vtk is damaged.", "Press Apply again.")

        self.assertEqual(self.failed(self.job(importer=importer)),
                         ("INVALID_FORMAT", "femur_mesh.vtk is damaged.", "Press Apply again."))

    def test_a_listener_that_fails_does_not_stop_a_run(self):
        for factory in (PlainProcess, QtProcess):
            with self.subTest(factory=factory.__name__):
                job = self.job(factory)
                job.on_progress = lambda *told: told[99]
                with self.assertLogs("KneePipeline", "ERROR"):
                    job.start()
                    self.assertTrue(job.wait(PATIENCE_S))
                self.assertEqual(job.state, JobState.DONE)
        self.assert_nothing_is_left()

    def test_nothing_surprising_becomes_a_traceback(self):
        def importer(results, job):
            raise ZeroDivisionError("of all things")

        with self.assertLogs("KneePipeline", "ERROR"):
            code, message, _ = self.failed(self.job(importer=importer))
        self.assertEqual(code, "PIPELINE_ERROR")
        self.assertIn("ZeroDivisionError: of all things", message)

    def test_the_output_folder_is_a_file(self):
        (self.home / "file").write_text("")
        _, message, hint = self.failed(self.job(output_folder=self.home / "file"))
        self.assertIn("file exists", message)
        self.assertIn("Outputs", hint)


if __name__ == "__main__":
    unittest.main()
