"""What a run reads of a volume that came from DICOM: its original files."""

from __future__ import annotations

import os
import sys
import unittest
from unittest import mock

import numpy as np
import slicer
from KneePipelineLib.errors import DicomError
from KneePipelineLib.imaging import read_echoes, read_image
from KneePipelineLib.slicer_side.inputs import export_all, export_inputs
from KneePipelineLib.slicer_side.job import JobRequest

sys.path.insert(0, os.path.dirname(__file__))
from inputs_case import IN_HOST, SHARED, SceneTest, qdess_pair, transform_node, volume_node


@unittest.skipUnless(IN_HOST, "needs the stand-in DICOM database")
class Dicom(SceneTest):
    def setUp(self):
        super().setUp()
        slicer.dicomDatabase.clear()
        self.addCleanup(slicer.dicomDatabase.clear)

    def node_of(self, files, slices: int = 4):
        """What Slicer makes of these files: a volume that names their instances."""
        rows, columns = (int(slicer.dicomDatabase.fileValue(str(files[0]), tag)) for tag in ("0028,0010", "0028,0011"))
        node = volume_node(np.arange(slices * rows * columns).astype(np.int16).reshape(slices, rows, columns))
        node.SetAttribute("DICOM.instanceUIDs", " ".join(slicer.dicomDatabase.instanceForFile(str(f)) for f in files))
        return node

    def qdess(self, **options):
        """A digital qDESS series in the database: its files, slice by slice, echo by echo."""
        from KneePipelineLib.phantom import write_dicom

        folder = self.folder / "dicom"
        files = write_dicom(qdess_pair(), folder, **options)
        slicer.dicomDatabase.addFolder(folder)
        return files

    def test_a_two_echo_series_in_one_volume(self):
        files = self.qdess()
        node = self.node_of(files, 12)
        exported = self.export(input_node=node)
        self.assertTrue(exported.used_dicom)
        self.assertTrue(exported.stacked)
        self.assertIn("2 echoes", exported.notes[0])
        self.assertIsNone(exported.echoes)
        first, second = read_echoes(exported.input)
        self.assertEqual(first.array.shape, (6, 24, 24))
        self.assertEqual((first.meta["echo_number"], second.meta["echo_number"]), (1, 2))
        np.testing.assert_array_equal(second.array, np.rint(qdess_pair()[1].array))
        self.assertIsNotNone(first.meta["gl_area"])
        self.assertEqual({p.name for p in exported.input.iterdir()}, {f"IM{n:05d}.dcm" for n in range(1, 13)})

    def test_one_echo_brings_the_other_of_its_series(self):
        files = self.qdess()
        exported = self.export(input_node=self.node_of(files[0::2], 6))
        self.assertFalse(exported.stacked)
        self.assertEqual(len(list(exported.input.iterdir())), 6)
        self.assertEqual(read_image(exported.input).array.shape, (6, 24, 24))
        self.assertEqual(len(read_echoes(exported.echoes)), 2)

    def test_the_second_echo_in_a_series_of_its_own_is_found_in_the_study(self):
        from KneePipelineLib.phantom import write_dicom

        first, second = qdess_pair()
        second = second.with_array(second.array, echo_time_ms=34.0)
        one = write_dicom(first, self.folder / "a", series_number=1)
        two = write_dicom(second, self.folder / "b", series_number=2)
        fewer = type(first)(first.array[:5], first.spacing, first.origin, first.direction,
                            {**first.meta, "echo_time_ms": 99.0})
        write_dicom(fewer, self.folder / "c", series_number=3)
        for name in "abc":
            slicer.dicomDatabase.addFolder(self.folder / name)
        exported = self.export(input_node=self.node_of(one, 6))
        self.assertEqual(len(list(exported.echoes.iterdir())), 12)
        self.assertEqual(len(read_echoes(exported.echoes)), 2)
        slicer.dicomDatabase.clear()
        slicer.dicomDatabase.addFolder(self.folder / "a")
        self.assertIsNone(export_all(JobRequest(input_node=self.node_of(one, 6)), self.folder / "exports2").echoes)
        slicer.dicomDatabase.addFolder(self.folder / "b")
        self.exports = self.folder / "exports3"
        named = self.export(input_node=self.node_of(one, 6), echo_node=self.node_of(two, 6))
        self.assertEqual([e.meta["echo_time_ms"] for e in read_echoes(named.echoes)],
                         [first.meta["echo_time_ms"], 34.0])

    def test_a_plain_series_has_no_echoes(self):
        from KneePipelineLib.phantom import write_dicom

        files = write_dicom(qdess_pair()[0], self.folder / "dicom")
        slicer.dicomDatabase.addFolder(self.folder / "dicom")
        exported = self.export(input_node=self.node_of(files, 6))
        self.assertTrue(exported.used_dicom)
        self.assertIsNone(exported.echoes)
        self.assertFalse(exported.stacked)

    def test_an_echo_volume_needs_a_header(self):
        node = self.node_of(self.qdess(), 12)
        with self.assertRaisesRegex(DicomError, "no DICOM header"):
            self.export(input_node=node, echo_node=volume_node(np.zeros((6, 5, 6), np.int16)))

    def test_files_that_went_away(self):
        files = self.qdess()
        node = self.node_of(files, 12)
        files[3].unlink()
        with self.assertRaisesRegex(DicomError, "1 of the 12 DICOM files"):
            self.export(input_node=node)

    def test_a_scene_from_another_computer_is_exported(self):
        node = self.node_of(self.qdess(), 12)
        slicer.dicomDatabase.clear()
        exported = self.export(input_node=node)
        self.assertFalse(exported.used_dicom)
        self.assertIn("not in Slicer's DICOM database", exported.notes[0])
        self.assertEqual(read_image(exported.input).array.shape, (12, 24, 24))
        with mock.patch.object(slicer, "dicomDatabase", None):  # Slicer without its DICOM module
            self.assertFalse(self.export(input_node=node).used_dicom)

    def test_a_cropped_copy_is_exported_as_it_is(self):
        node = self.node_of(self.qdess()[0::2], 6)
        slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(node)[:, 2:22].copy())
        exported = self.export(input_node=node)
        self.assertFalse(exported.used_dicom)
        self.assertIn("cropped", exported.notes[0])
        self.assertEqual(read_image(exported.input).array.shape, (6, 20, 24))
        self.assertIsNone(exported.echoes)

    def test_under_a_transform_the_volume_is_exported(self):
        node = self.node_of(self.qdess()[0::2], 6)
        node.SetAndObserveTransformNodeID(transform_node(np.eye(4)).GetID())
        self.assertTrue(self.export(input_node=node).used_dicom)
        shift = np.eye(4)
        shift[2, 3] = 30.0
        node.SetAndObserveTransformNodeID(transform_node(shift).GetID())
        exported = self.export(input_node=node)
        self.assertFalse(exported.used_dicom)
        self.assertIn("transform", exported.notes[0])

    def test_where_no_links_can_be_made_the_files_are_copied(self):
        node = self.node_of(self.qdess(), 12)
        refuse = mock.Mock(side_effect=OSError("no links here"))
        with mock.patch("os.symlink", refuse), mock.patch("os.link", refuse):
            exported = self.export(input_node=node)
        self.assertEqual(refuse.call_count, 2)
        self.assertEqual(len(read_echoes(exported.input)), 2)
        self.assertFalse(any(p.is_symlink() for p in exported.input.iterdir()))

    @unittest.skipUnless((SHARED / "data" / "mese_dicom").is_dir(), "the reference data are not on this machine")
    def test_a_real_multi_echo_series(self):
        slicer.dicomDatabase.addFolder(SHARED / "data" / "mese_dicom")
        files = sorted((SHARED / "data" / "mese_dicom").iterdir())
        exported = self.export(input_node=self.node_of(files, len(files)))
        self.assertTrue(exported.stacked)
        echoes = read_echoes(exported.input)
        times = [echo.meta["echo_time_ms"] for echo in echoes]
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual(len(echoes) * echoes[0].array.shape[0], len(files))
        words = " ".join(exported.notes) + " ".join(p.name for p in exported.input.iterdir())
        self.assertNotIn("E3655", words)

    def test_slicers_database_is_never_asked_for_a_header(self):
        """It would read the file and write its own, five milliseconds for each tag, on the thread that draws."""
        import threading

        import pydicom

        node = self.node_of(self.qdess()[0::2], 6)
        readers, read = set(), pydicom.dcmread

        def noted(*arguments, **options):
            readers.add(threading.current_thread())
            return read(*arguments, **options)

        asked = mock.patch.object(type(slicer.dicomDatabase), "fileValue", side_effect=AssertionError("a header"))
        with asked, mock.patch("pydicom.dcmread", noted):
            exported = self.export(input_node=node)
        self.assertEqual(len(list(exported.echoes.iterdir())), 12)
        self.assertTrue(readers)
        self.assertNotIn(threading.main_thread(), readers)

    def test_the_work_is_done_in_many_short_steps(self):
        """While headers are read, on a disk that is slow, the application goes on turning."""
        import time

        import pydicom

        node, read = self.node_of(self.qdess(), 12), pydicom.dcmread

        def slowly(*arguments, **options):
            time.sleep(0.02)
            return read(*arguments, **options)

        with mock.patch("pydicom.dcmread", slowly):
            steps = list(export_inputs(JobRequest(input_node=node), self.exports))
        self.assertGreater(len(steps), 8)
        self.assertTrue(all(step is None for step in steps[:-1]))


if __name__ == "__main__":
    unittest.main()
