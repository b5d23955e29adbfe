"""What the tests of imports into the scene share: a practice run's results, and ways to look at the scene."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

sys.path.insert(0, os.path.dirname(__file__))
from practice_results import results_folder

SPACING_MM = 2.0
MOVED = np.array([[1, 0, 0, 30], [0, 1, 0, -20], [0, 0, 1, 10], [0, 0, 0, 1.0]])


def tree():
    return slicer.mrmlScene.GetSubjectHierarchyNode()


def parent_of(node):
    return tree().GetItemParent(tree().GetItemByDataNode(node))


def scene_state():
    """Every node and every item of the tree, with its place."""
    tree()  # makes its node in a scene that has just been cleared
    nodes = {slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())}
    items = vtk.vtkIdList()
    tree().GetItemChildren(tree().GetSceneItemID(), items, True)
    numbers = [items.GetId(i) for i in range(items.GetNumberOfIds())]
    return nodes, sorted((tree().GetItemName(n), tree().GetItemName(tree().GetItemParent(n))) for n in numbers)


def segments_of(node):
    segmentation = node.GetSegmentation()
    return {i: segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()}


def voxels_ras(node, segment_id):
    """RAS positions of a segment's voxels, from Slicer's own representation."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    extent = image.GetExtent()
    shape = [extent[2 * a + 1] - extent[2 * a] + 1 for a in (2, 1, 0)]
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    k, j, i = np.nonzero(values)
    indices = np.stack([i + extent[0], j + extent[2], k + extent[4], np.ones_like(i)])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ indices)[:3].T


def surface_bounds(node, segment_id="patella"):
    """Bounds of a segment's closed surface in the node's own coordinates."""
    bounds = np.zeros(6)
    node.GetClosedSurfaceInternalRepresentation(segment_id).GetBounds(bounds)
    return bounds


def distances_mm(points, mesh):
    """Distance of each point to a surface, taken at its corners, edge midpoints and triangle centres.

    In NumPy: vtkImplicitPolyDataDistance now and then ended the process on these surfaces.
    """
    corners = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64)
    a, b, c = (corners[column] for column in vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3).T)
    surface = np.concatenate([corners, (a + b) / 2, (b + c) / 2, (c + a) / 2, (a + b + c) / 3])
    cell = 4.0
    boxes = {}
    for key, index in zip(map(tuple, np.floor(surface / cell).astype(int)), range(len(surface)), strict=True):
        boxes.setdefault(key, []).append(index)
    around = [np.array(step) for step in np.ndindex(3, 3, 3)]
    found = []
    for point in np.asarray(points, dtype=np.float64):
        home = np.floor(point / cell).astype(int) - 1
        near = [i for step in around for i in boxes.get(tuple(home + step), ())]
        candidates = surface[near] if near else surface
        found.append(np.sqrt(((candidates - point) ** 2).sum(1).min()))
    return np.array(found)


def reference_like(labels):
    """A volume node on the grid of a label map."""
    node = slicer.util.addVolumeFromArray(np.zeros(labels.array.shape, np.int16), name="input")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1, 1, 1]) @ labels.affine))
    return node


class SceneCase(unittest.TestCase):
    def setUp(self):
        self.folder = results_folder()
        slicer.mrmlScene.Clear(0)

    def copy(self):
        """The results folder once more, to be changed or removed."""
        parent = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, parent, ignore_errors=True)
        return Path(shutil.copytree(self.folder, Path(parent) / "run", ignore=shutil.ignore_patterns("checkpoints")))

    def change_record(self, folder, change):
        path = folder / "results.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        change(record)
        path.write_text(json.dumps(record), encoding="utf-8")

    def record(self):
        return json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
