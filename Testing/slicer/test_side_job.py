"""A job from Apply to its end: practice runs as real child processes, cancels at any moment, failures in words."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import slicer
from KneePipelineLib.errors import CancelledError, ConfigError, InvalidFormatError
from KneePipelineLib.slicer_side import environment, failures, settings
from KneePipelineLib.slicer_side import job as jobs
from KneePipelineLib.slicer_side.job import JobRequest, JobState, KneeJob
from KneePipelineLib.slicer_side.logic import KneePipelineLogicBase
from KneePipelineLib.slicer_side.process import PlainProcess, QtProcess

PATIENCE_S = 240.0
STAND_IN = """#!{python}
# In place of the private Python: a run of about a second, with a worker in a session of its own and half-made files.
import json, os, signal, subprocess, sys, time
arguments = sys.argv[1:]
if arguments[:2] == ["-I", "-S"]:
    os.execv({python!r}, [{python!r}, *arguments])
out = arguments[arguments.index("run") + 2]
worker = subprocess.Popen([{python!r}, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
def leave(*_):
    worker.kill()
    worker.wait()
    sys.exit(3)
signal.signal(signal.SIGTERM, leave)
def tell(**event):
    print(json.dumps(dict(v=1, **event)), flush=True)
os.makedirs(os.path.join(out, "checkpoints"), exist_ok=True)
assert os.path.exists(arguments[arguments.index("run") + 1])
tell(event="warning", code="PRACTICE", message="These are nobody's numbers.")
for number in range(20):
    open(os.path.join(out, "checkpoints", f"{{number}}.part"), "w").close()
    tell(event="state", state="ANALYSIS", fraction=number / 20, stage_fraction=0, message="Measuring", elapsed_s=1,
         eta_s=2)
    time.sleep(0.04)
with open(os.path.join(out, "results.json"), "w") as file:
    json.dump({{"schema_version": "1.0"}}, file)
worker.kill()
tell(event="result", path="results.json")
"""
SLOW = any(word in sys.argv for word in ("--slow", "-slow")) or os.environ.get("KNEEPIPELINE_SLOW") == "1"


def process_table() -> dict[int, str]:
    """Command lines of all processes that are no zombies."""
    table = {}
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if state != "Z" and line:
                    table[int(entry.name)] = line
    return table


def descendants_in(folder: Path) -> list[str]:
    """Processes whose environment names the test's home, whoever their parent is by now."""
    found, wanted = [], f"KNEEPIPELINE_HOME={folder}".encode()
    for pid, line in process_table().items():
        with contextlib.suppress(OSError):
            if pid != os.getpid() and wanted in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(line)
    return found


def wait_until(condition, timeout_s: float = 30.0) -> bool:
    """Turn the event loop until it holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        slicer.app.processEvents()
        time.sleep(0.005)
    return True


class JobTest(unittest.TestCase):
    """A home of its own, an image in the scene, and a stand-in for the private Python; or real practice runs."""

    practice = False

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.temporary = self.home / "temporary"
        self.temporary.mkdir()
        self.addCleanup(setattr, slicer.app, "temporaryPath", slicer.app.temporaryPath)
        slicer.app.temporaryPath = str(self.temporary)
        python = sys.executable if self.practice else self.script("python", STAND_IN.format(python=sys.executable))
        variables = {"KNEEPIPELINE_PYTHON": python, "KNEEPIPELINE_HOME": str(self.home),
                     "KNEEPIPELINE_DUMMY": "1", "OMP_NUM_THREADS": "1"}
        patch = mock.patch.dict(os.environ, variables)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(jobs.stop_all)
        self.heard: list[tuple] = []

    def script(self, name: str, text: str) -> str:
        """An executable file."""
        path = self.home / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def image(self):
        """A small volume node without DICOM."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "knee")
        slicer.util.updateVolumeFromArray(node, np.arange(8000, dtype=np.int16).reshape(20, 20, 20))
        return node

    def job(self, factory=QtProcess, importer=None, **fields) -> KneeJob:
        """A job that tells everything to `heard`."""
        request = fields.pop("request", None) or JobRequest(input_node=self.image(), **fields)
        job = KneeJob(request, factory, importer=importer)
        job.on_state = lambda state: self.heard.append(("state", state))
        job.on_progress = lambda *told: self.heard.append(("progress", *told))
        job.on_done = lambda results: self.heard.append(("done", results))
        job.on_failed = lambda *told: self.heard.append(("failed", *told))
        job.on_cancelled = lambda: self.heard.append(("cancelled",))
        job.on_warning = lambda *told: self.heard.append(("warning", *told))
        return job

    def told(self, kind: str) -> list[tuple]:
        """What was told of one kind."""
        return [entry[1:] for entry in self.heard if entry[0] == kind]

    def assert_nothing_is_left(self):
        """No temporary folder, no process."""
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertTrue(wait_until(lambda: not descendants_in(self.home)), descendants_in(self.home))


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

class Cancelling(JobTest):
    """How a job is cancelled at any moment."""

    def cancel_at_random(self, times: int, seed: int) -> None:
        """Cancel at moments spread over the whole of a run; nothing may be left, and the next one works."""
        rng = random.Random(seed)
        made = []

        def importer(results, job):
            nodes = []
            try:
                for _ in range(20):
                    nodes.append(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode"))
                    yield "a node"
            except BaseException:
                for node in nodes:
                    slicer.mrmlScene.RemoveNode(node)
                raise
            made.extend(nodes)

        image = self.image()
        began = time.monotonic()
        job = self.job(importer=importer, request=JobRequest(input_node=image))
        job.start()
        self.assertTrue(job.wait(PATIENCE_S))
        length_s = time.monotonic() - began
        self.assertEqual((job.state, len(made)), (JobState.DONE, 20))
        states = set()
        for number in range(times):
            nodes = slicer.mrmlScene.GetNumberOfNodes()
            folders = set((self.home / "results").iterdir())
            job = self.job(importer=importer, request=JobRequest(input_node=image))
            job.start()
            moment = time.monotonic() + length_s * (number + rng.random()) / times
            wait_until(lambda moment=moment, job=job: time.monotonic() > moment or job.state.over, PATIENCE_S)
            states.add(job.state)
            job.cancel()
            job.cancel()
            self.assertTrue(job.wait(PATIENCE_S))
            if job.state is JobState.DONE:  # it was faster than the person
                continue
            self.assertEqual(job.state, JobState.CANCELLED)
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
            if job.results is None:
                self.assertEqual(set((self.home / "results").iterdir()), folders)
            self.assert_nothing_is_left()
        self.assertIn(JobState.RUNNING, states)
        job = self.job(request=JobRequest(input_node=image))
        job.start()
        self.assertTrue(job.wait(PATIENCE_S))
        self.assertEqual(job.state, JobState.DONE)


@unittest.skipUnless(SLOW and sys.platform.startswith("linux"), "slow: --slow, or KNEEPIPELINE_SLOW=1 inside Slicer")
class PracticeCancels(Cancelling):
    practice = True

    def test_thirty_cancels_at_random_moments(self):
        self.cancel_at_random(30, seed=30)


class Cancels(Cancelling):
    @unittest.skipUnless(sys.platform.startswith("linux"), "looks into /proc")
    def test_cancels_at_random_moments(self):
        self.cancel_at_random(6, seed=4)

    def test_during_the_export_and_before_anything_ran(self):
        job = self.job()
        job.start()
        self.assertEqual(job.state, JobState.EXPORTING)
        job.cancel()
        self.assertEqual(job.state, JobState.CANCELLED)
        self.assertEqual(self.told("cancelled"), [()])
        self.assertEqual(list((self.home / "results").iterdir()), [])
        self.assert_nothing_is_left()

    def test_from_inside_every_callback(self):
        for moment in (JobState.EXPORTING, JobState.RUNNING, JobState.IMPORTING, "a step"):
            with self.subTest(moment=moment):
                self.heard.clear()
                nodes = []

                def importer(results, job, moment=moment, nodes=nodes):
                    try:
                        nodes.append("one")
                        if moment == "a step":
                            job.cancel()
                            job.turn()  # as from an event loop that a step turns itself
                        yield "one"
                        nodes.append("two")
                        yield "two"
                    except BaseException:
                        nodes.clear()
                        raise

                job = self.job(importer=importer)
                job.on_state = lambda state, moment=moment, job=job: job.cancel() if state is moment else None
                job.start()
                self.assertTrue(job.wait(PATIENCE_S))
                self.assertEqual((job.state, nodes), (JobState.CANCELLED, []))
                self.assertEqual(self.told("cancelled"), [()])
                self.assert_nothing_is_left()

    def test_a_folder_of_ones_own_stays_and_can_be_gone_on_with(self):
        out = self.home / "mine"
        job = self.job(output_folder=out)
        job.start()
        self.assertTrue(wait_until(lambda: len(self.told("progress")) > 3, PATIENCE_S))
        job.cancel()
        self.assertTrue(job.wait(PATIENCE_S))
        self.assertEqual(job.state, JobState.CANCELLED)
        self.assertTrue((out / "checkpoints").is_dir())
        again = self.job(output_folder=out)
        again.start()
        self.assertTrue(again.wait(PATIENCE_S))
        self.assertEqual(again.state, JobState.DONE)

    def test_closing_the_scene_cancels_unless_a_person_says_no(self):
        for keep in (False, True):
            with self.subTest(keep=keep):
                self.heard.clear()
                imported = []
                job = self.job(importer=lambda results, job, imported=imported: iter(imported.append(results) or ()))
                job.on_scene_close = lambda keep=keep: keep
                job.start()
                self.assertTrue(wait_until(lambda: bool(self.told("progress")), PATIENCE_S))
                slicer.mrmlScene.Clear(0)
                self.assertTrue(job.wait(PATIENCE_S))
                self.assertEqual(job.state, JobState.DONE if keep else JobState.CANCELLED)
                self.assertEqual(imported, [])
                self.assertEqual(job.results is not None, keep)
        self.assert_nothing_is_left()

    def test_the_scene_closes_while_the_question_about_it_outlasts_the_run(self):
        """Slicer's question turns the event loop: the import may have begun before a person answers."""
        nodes = []

        def importer(results, job):
            try:
                while True:
                    nodes.append("one")
                    yield "one"
            finally:
                nodes.clear()

        job = self.job(importer=importer)
        job.on_scene_close = lambda: wait_until(lambda: bool(nodes), PATIENCE_S)
        job.start()
        self.assertTrue(wait_until(lambda: bool(self.told("progress")), PATIENCE_S))
        slicer.mrmlScene.Clear(0)
        self.assertTrue(job.wait(PATIENCE_S))
        self.assertEqual((job.state, nodes), (JobState.CANCELLED, []))
        self.assertTrue(job.results.is_file())
        self.assert_nothing_is_left()

    def test_leaving_slicer_leaves_nothing(self):
        job = self.job()
        job.start()
        self.assertTrue(wait_until(lambda: bool(self.told("progress")), PATIENCE_S))
        KneePipelineLogicBase().cleanup()
        self.assertEqual(job.state, JobState.CANCELLED)
        self.assert_nothing_is_left()

    def test_a_script_that_waits_hears_of_it(self):
        logic = KneePipelineLogicBase()
        with self.assertRaises(CancelledError):
            logic.process(self.image(), importResults=False, onProgress=lambda *_: logic.cancel())


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


class Settings(unittest.TestCase):
    def setUp(self):
        self.addCleanup(settings.forget_all)

    def test_values_keep_their_type(self):
        for key, new in (("keep_log_open", True), ("show_models", False), ("model", "nnunet_fullres")):
            settings.set_value(key, new)
            self.assertIs(type(settings.value(key)), type(settings.DEFAULTS[key]))
            self.assertEqual(settings.value(key), new)
            settings.set_value(key, settings.DEFAULTS[key])
            self.assertFalse(slicer.app.userSettings().contains(f"KneePipeline/{key}"))
        slicer.app.userSettings().setValue("KneePipeline/show_models", "false")
        self.assertIs(settings.value("show_models"), False)

    def test_unknown_keys_and_wrong_types_are_refused(self):
        with self.assertRaises(KeyError):
            settings.value("colour of the sky")
        with self.assertRaises(TypeError):
            settings.set_value("model", 3)


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
