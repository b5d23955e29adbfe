"""What the tests of a run's inputs share: nodes, an empty scene, a folder for exports."""

from __future__ import annotations

import os
import tempfile
import unittest
from functools import cache
from pathlib import Path

import numpy as np
import slicer
from KneePipelineLib.slicer_side.inputs import export_all
from KneePipelineLib.slicer_side.inputs.volumes import matrix_of
from KneePipelineLib.slicer_side.job import JobRequest

SHARED = Path(os.environ.get("KNEEPIPELINE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
IN_HOST = hasattr(slicer, "dicomDatabase") and hasattr(slicer.dicomDatabase, "addFolder")


def volume_node(array: np.ndarray, ras=None, name: str = "knee", kind: str = "vtkMRMLScalarVolumeNode"):
    """A volume node; `ras` is its 4 x 4 matrix."""
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(matrix_of(np.diag([-0.5, -0.6, 0.7, 1.0]) if ras is None else np.asarray(ras, float)))
    return node


def transform_node(matrix: np.ndarray):
    """A linear transform node."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(matrix_of(matrix))
    return node


@cache
def qdess_pair():
    """A digital qDESS pair, coarse; rendered once."""
    from KneePipelineLib.phantom import DigitalKnee, Grid

    return DigitalKnee(seed=0).qdess(Grid.sagittal((24, 24, 6), (6.0, 6.0, 16.0)))


class SceneTest(unittest.TestCase):
    """An empty scene and a temporary folder."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.exports = self.folder / "exports"
        self.exports.mkdir()

    def export(self, output: Path | None = None, **fields):
        """`export_all` of a request."""
        return export_all(JobRequest(**fields), self.exports, output)
