"""Where a job's results go in the scene: with the volume whose files were analysed, or into the world."""

from __future__ import annotations

import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from KneePipelineLib.slicer_side.inputs import ExportedInputs
from KneePipelineLib.slicer_side.scene import importer

IMPORT = "KneePipelineLib.slicer_side.scene.import_results"
RESULTS = Path("results.json")


class Importer(unittest.TestCase):
    def asked(self, exported, **wanted):
        """What the import is asked for after a run with these inputs."""
        job = SimpleNamespace(request=SimpleNamespace(input_node="the volume"), exported=exported)
        with mock.patch(IMPORT) as import_results:
            importer("mine", **wanted)(RESULTS, job)
        import_results.assert_called_once()
        self.assertEqual(import_results.call_args.args, (RESULTS,))
        return import_results.call_args.kwargs

    def test_an_exported_array_lay_in_the_world(self):
        asked = self.asked(ExportedInputs(used_dicom=False))
        self.assertEqual((asked["reference"], asked["segmentation"]), ("the volume", "mine"))
        self.assertFalse(asked["options"].under_transform)

    def test_original_files_know_nothing_of_the_volumes_transform(self):
        asked = self.asked(ExportedInputs(used_dicom=True))
        self.assertEqual(asked["reference"], "the volume")
        self.assertTrue(asked["options"].under_transform)

    def test_stacked_echoes_share_their_geometry_with_no_result(self):
        self.assertIsNone(self.asked(ExportedInputs(used_dicom=True, stacked=True))["reference"])

    def test_what_is_wanted_is_passed_on(self):
        options = self.asked(None, table=False, replaces=("one",))["options"]
        self.assertEqual((options.table, options.models, options.replaces), (False, True, ("one",)))
        self.assertFalse(options.wants("chart"))  # it has nothing to draw then
        self.assertFalse(options.under_transform)

    def test_a_node_to_keep_and_no_segmentation_wanted(self):
        """Re-analyse: the corrected node stays as it is."""
        asked = self.asked(None, segmentation=False, replaces=("one",))
        self.assertEqual((asked["segmentation"], asked["options"].segmentation), ("mine", False))

    def test_scripts_and_panel_use_it(self):
        from KneePipelineLib.slicer_side.inputs.request import JobRequest
        from KneePipelineLib.slicer_side.logic import KneePipelineLogicBase
        from KneePipelineLib.slicer_side.panel.request import importer_for

        parameters = mock.Mock(makeTable=False, makeChart=True, makeT2=False)
        with mock.patch("KneePipelineLib.slicer_side.scene.importer") as asked, \
                mock.patch("KneePipelineLib.slicer_side.job.KneeJob") as job:
            self.assertIs(importer_for(parameters), asked.return_value)
            wanted = asked.call_args.kwargs
            self.assertEqual((wanted["table"], wanted["chart"], wanted["t2"]), (False, True, False))
            KneePipelineLogicBase().run(JobRequest(), waitForCompletion=False)
        self.assertIs(job.call_args.kwargs["importer"], asked.return_value)


if __name__ == "__main__":
    unittest.main()
