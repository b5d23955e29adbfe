"""A job cancelled at any moment, by a person, a closed scene or the end of Slicer: nothing is left."""

from __future__ import annotations

import os
import random
import sys
import time
import unittest

import slicer
from KneePipelineLib.errors import CancelledError
from KneePipelineLib.slicer_side.job import JobRequest, JobState
from KneePipelineLib.slicer_side.logic import KneePipelineLogicBase

sys.path.insert(0, os.path.dirname(__file__))
from job_case import PATIENCE_S, SLOW, JobTest, wait_until


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


if __name__ == "__main__":
    unittest.main()
