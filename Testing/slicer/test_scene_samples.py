"""The digital knee in Sample Data: made here, shown, and recognised by what follows."""

from __future__ import annotations

import unittest

import numpy as np
import SampleData
import slicer
import vtk
from KneePipelineLib.errors import DicomError
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.slicer_side import sample_data
from KneePipelineLib.slicer_side.inputs.dicom import UIDS_ATTRIBUTE, look_behind
from KneePipelineLib.slicer_side.inputs.matching import match_segments

COARSE = Grid.sagittal((96, 96, 40), (1.46, 1.46, 2.8))


class Samples(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def test_offered_once_however_often_registered(self):
        sample_data.register()
        sample_data.register()
        if hasattr(slicer.modules, "sampleDataSources"):
            sources = slicer.modules.sampleDataSources[sample_data.CATEGORY]
        else:
            sources = SampleData.SampleDataLogic.sources[sample_data.CATEGORY]
        names = [source.sampleName for source in sources]
        self.assertEqual(names, [sample_data.IMAGE, sample_data.LABELLED, sample_data.DICOM])
        self.assertTrue(all(callable(source.customDownloader) for source in sources))

    def test_image_with_labels(self):
        """One call makes both; image and labels are those of the digital knee, where it has them."""
        node = sample_data.make_labelled_image(coarse=True)
        expected = DigitalKnee(seed=sample_data.SEED, side=sample_data.SIDE).image(COARSE)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), np.rint(expected.array).astype(np.int16))
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        ras = slicer.util.arrayFromVTKMatrix(matrix)
        np.testing.assert_allclose(ras, np.diag([-1.0, -1, 1, 1]) @ expected.affine, atol=1e-5)
        composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
        self.assertEqual(composite.GetBackgroundVolumeID(), node.GetID())
        segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
        matches = match_segments(segmentation)
        self.assertEqual({match.matched_by for match in matches}, {"terminology"})
        self.assertEqual({match.value for match in matches}, set(range(1, 11)))

    def test_dicom_has_both_echoes_behind_the_first(self):
        node = sample_data.make_dicom(coarse=True)
        uids = node.GetAttribute(UIDS_ATTRIBUTE).split()
        self.assertEqual(len(uids), COARSE.size[2])
        first = slicer.dicomDatabase.fileForInstance(uids[0])
        self.assertNotIn(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory(), first, "Slicer prunes it")
        found = [step for step in look_behind(node) if step is not None][-1]
        self.assertEqual(len(found.files), COARSE.size[2])
        self.assertEqual(len(found.all_echoes), 2 * COARSE.size[2])
        self.assertFalse(found.stacked)
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        study = tree.GetItemParent(tree.GetItemByDataNode(node))
        self.assertEqual(tree.GetItemName(study), "DigitalKnee (synthetic)")
        self.assertEqual(tree.GetItemName(tree.GetItemParent(study)), "DigitalKnee^Phantom")
        again = sample_data.make_dicom(coarse=True)
        self.assertEqual(again.GetAttribute(UIDS_ATTRIBUTE).split(), uids)
        self.assertEqual(tree.GetItemParent(tree.GetItemByDataNode(again)), study)

    def test_without_a_database_a_sentence(self):
        database = slicer.dicomDatabase
        slicer.dicomDatabase = None
        try:
            with self.assertRaises(DicomError):
                sample_data.make_dicom(coarse=True)
        finally:
            slicer.dicomDatabase = database


if __name__ == "__main__":
    unittest.main()
