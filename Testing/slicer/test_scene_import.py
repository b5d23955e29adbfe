"""Results in the scene: what a practice run lists arrives with codes, colours and numbers."""

from __future__ import annotations

import json
import os
import sys
import unittest

import numpy as np
import slicer
import vtk
from KneePipelineLib.imaging import read_labels
from KneePipelineLib.imaging.labels import BY_NAME, SUBREGIONS
from KneePipelineLib.slicer_side import terminology
from KneePipelineLib.slicer_side.scene import (
    ROLE,
    import_all,
)
from KneePipelineLib.slicer_side.scene.files import read_label_map
from KneePipelineLib.slicer_side.scene.surfaces import smoothing_of, surface_of
from KneePipelineLib.slicer_side.scene.tables import heading
from vtk.util.numpy_support import vtk_to_numpy

sys.path.insert(0, os.path.dirname(__file__))
from scene_case import (
    SPACING_MM,
    SceneCase,
    distances_mm,
    parent_of,
    segments_of,
    tree,
    voxels_ras,
)


class WhatArrives(SceneCase):
    def setUp(self):
        super().setUp()
        self.results = import_all(self.folder / "results.json")

    def test_every_structure_is_a_segment_with_its_voxels(self):
        labels = read_labels(self.folder / "knee_all-labels.nrrd")
        present = {int(v): int(n) for v, n in zip(*np.unique(labels.array, return_counts=True), strict=True) if v}
        segments = segments_of(self.results.segmentation)
        self.assertEqual({s.GetLabelValue() for s in segments.values()}, set(present))
        for segment_id, segment in segments.items():
            with self.subTest(segment.GetName()):
                structure = BY_NAME[segment_id]
                self.assertEqual(segment.GetName(), structure.title)
                self.assertEqual(len(voxels_ras(self.results.segmentation, segment_id)), present[structure.value])
                np.testing.assert_allclose(segment.GetColor(), np.array(structure.color) / 255, atol=1e-6)

    def test_segments_carry_standard_codes_that_lead_back_to_them(self):
        logic = slicer.modules.terminologies.logic()
        for segment_id, segment in segments_of(self.results.segmentation).items():
            with self.subTest(segment_id):
                text = terminology.tag_of(segment, segment.GetTerminologyEntryTagName())
                self.assertEqual(terminology.value_of_entry(text), segment.GetLabelValue())
                entry = slicer.vtkSlicerTerminologyEntry()
                logic.DeserializeTerminologyEntry(text, entry)
                self.assertEqual(entry.GetTypeObject().GetCodingSchemeDesignator(), "SCT")
                side = entry.GetRegionModifierObject() or entry.GetTypeModifierObject()
                if entry.GetCategoryObject().GetCodeValue() == "123037004":
                    side = entry.GetTypeModifierObject()
                self.assertEqual(side.GetCodeMeaning(), "Right")

    def test_reference_geometry_is_the_label_maps(self):
        converter = slicer.vtkSegmentationConverter
        text = self.results.segmentation.GetSegmentation().GetConversionParameter(
            converter.GetReferenceImageGeometryParameterName())
        image = slicer.vtkOrientedImageData()
        self.assertTrue(converter.DeserializeImageGeometry(text, image))
        labels = read_labels(self.folder / "knee_all-labels.nrrd")
        self.assertEqual(image.GetDimensions(), labels.size)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), np.diag([-1.0, -1, 1, 1]) @ labels.affine,
                                   atol=1e-4)

    def test_meshes_lie_on_their_segments(self):
        """LPS files, RAS scene: a mesh that was mirrored or not turned would be centimetres away."""
        checked = 0
        for output in self.record()["outputs"]:
            if output["type"] != "model" or output["role"] == "shape_surface":
                continue
            segment_id = output["structure"]
            with self.subTest(output["path"]):
                surface = self.results.segmentation.GetClosedSurfaceInternalRepresentation(segment_id)
                points = slicer.util.arrayFromModelPoints(self.results.models[output["path"]])
                away = distances_mm(points[::7], surface)
                self.assertLess(np.median(away), SPACING_MM / 2)
                self.assertLess(np.percentile(away, 95), 1.5 * SPACING_MM)
                checked += 1
        self.assertEqual(checked, 8)

    def test_closed_surfaces_lie_around_their_voxels(self):
        for segment_id in segments_of(self.results.segmentation):
            surface = self.results.segmentation.GetClosedSurfaceInternalRepresentation(segment_id)
            points = voxels_ras(self.results.segmentation, segment_id)
            bounds = np.array(surface.GetBounds()).reshape(3, 2).T
            with self.subTest(segment_id):
                np.testing.assert_allclose(bounds, [points.min(0), points.max(0)], atol=1.5 * SPACING_MM)

    def test_own_closed_surfaces_are_slicers(self):
        """Made on a thread and in a box of its own, one must be what Slicer makes of the whole grid."""
        labels = read_label_map(self.folder, {"path": "knee_all-labels.nrrd"})
        for factor in ("0.0", "0.25", "0.5", "1.0"):
            with self.subTest(factor):
                copy = slicer.vtkSegmentation()
                copy.SetSourceRepresentationName("Binary labelmap")
                copy.CopySegmentFromSegmentation(self.results.segmentation.GetSegmentation(), "tibia")
                copy.GetSegment("tibia").RemoveRepresentation("Closed surface")
                copy.SetConversionParameter("Smoothing factor", factor)
                copy.CreateRepresentation("Closed surface")
                theirs = copy.GetSegment("tibia").GetRepresentation("Closed surface")
                own = surface_of(labels, BY_NAME["tibia"].value, smoothing_of(copy))
                for of in (lambda mesh: mesh.GetPoints().GetData(), lambda mesh: mesh.GetPointData().GetNormals(),
                           lambda mesh: mesh.GetPolys().GetConnectivityArray()):
                    np.testing.assert_allclose(vtk_to_numpy(of(own)), vtk_to_numpy(of(theirs)), atol=1e-3)

    def test_surfaces_that_a_person_has_made_in_another_way_are_left_to_slicer(self):
        segmentation = slicer.vtkSegmentation()
        segmentation.SetSourceRepresentationName("Binary labelmap")
        for name in ("Decimation factor", "Joint smoothing", "Conversion method"):
            self.assertIsNotNone(smoothing_of(segmentation))
            usual = segmentation.GetConversionParameter(name)
            segmentation.SetConversionParameter(name, "1")
            self.assertIsNone(smoothing_of(segmentation), name)
            segmentation.SetConversionParameter(name, usual)

    def test_bones_show_thickness_on_one_scale(self):
        bones = [n for n in self.results.models.values() if n.GetAttribute(ROLE) == "bone_surface"]
        self.assertEqual(len(bones), 3)
        displays = [n.GetDisplayNode() for n in bones]
        self.assertEqual({d.GetActiveScalarName() for d in displays}, {"thickness (mm)"})
        self.assertEqual(len({d.GetColorNodeID() for d in displays}), 1)
        self.assertEqual(len({d.GetScalarRange() for d in displays}), 1)
        low, high = displays[0].GetScalarRange()
        self.assertEqual(low, 0.0)
        self.assertTrue(2.0 <= high <= 8.0)
        for node in bones:
            self.assertTrue(node.GetDisplayNode().GetVisibility())
            self.assertTrue(node.GetDisplayNode().GetScalarVisibility())
            values = slicer.util.arrayFromModelPointData(node, "thickness (mm)")
            self.assertTrue(np.isfinite(values).all())
            self.assertGreater((values > 0.5).mean(), 0.05)
            self.assertGreater((values == 0).mean(), 0.05)

    def test_thickness_is_the_tables_mean(self):
        """The vertices of a region have the mean that results.json tells: nothing was moved or lost on the way."""
        node = self.results.models["patella_mesh.vtk"]
        values = slicer.util.arrayFromModelPointData(node, "thickness (mm)")
        told = self.record()["regions"]["pat_cart"]["measures"]["mm_mean"]
        self.assertAlmostEqual(float(values[values > 0].mean()), told, delta=0.15)

    def test_only_bones_are_shown_in_3d_and_the_rest_is_at_hand(self):
        shown = {n.GetAttribute(ROLE) for n in self.results.models.values() if n.GetDisplayNode().GetVisibility()}
        self.assertEqual(shown, {"bone_surface"})
        display = self.results.segmentation.GetDisplayNode()
        self.assertFalse(display.GetSegmentVisibility3D("femur"))
        self.assertTrue(display.GetSegmentVisibility3D("med_meniscus"))

    def test_one_legend_in_words(self):
        legends = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
        titles = sorted(legend.GetTitleText() for legend in legends)
        self.assertEqual(titles, ["Cartilage\nthickness (mm)", "T2 (ms)"])

    def test_the_first_colour_is_bone_and_the_scale_is_the_reports(self):
        from KneePipelineLib.results.figures.colours import BONE_RGB, thickness_map

        node = self.results.by_role["thickness_colours"][0]
        colour = [0.0] * 4
        node.GetColor(0, colour)
        np.testing.assert_allclose(colour[:3], np.array(BONE_RGB) / 255, atol=1e-6)
        node.GetColor(200, colour)
        np.testing.assert_allclose(colour[:3], thickness_map()[200] / 255, atol=1e-6)

    def test_tables_hold_the_numbers(self):
        regions, table = self.record()["regions"], self.results.table
        self.assertEqual(table.GetNumberOfRows(), len(regions))
        for measure in ("mm_mean", "VC_mm3", "t2_ms_mean"):
            column = slicer.util.arrayFromTableColumn(table, heading(measure))
            np.testing.assert_allclose(column, [r["measures"][measure] for r in regions.values()])
        everything = self.results.by_role["results_table"][0]
        lines = (self.folder / "results.csv").read_text(encoding="utf-8").splitlines()
        self.assertEqual(everything.GetNumberOfRows(), len(lines) - 1)
        self.assertEqual(slicer.util.arrayFromTableColumn(everything, "value").dtype.kind, "f")

    def test_every_bar_of_a_chart_is_named_in_its_legend_and_has_its_segments_colour(self):
        """Slicer draws no words on an axis: what nine bars of one series are, nobody could see."""
        regions = self.record()["regions"]
        for role, measure in (("thickness_chart", "mm_mean"), ("t2_chart", "t2_ms_mean")):
            chart = self.results.by_role[role][0]
            self.assertTrue(chart.GetLegendVisibility())
            self.assertFalse(chart.GetXAxisRangeAuto())
            self.assertLess(chart.GetXAxisRange()[0], -0.4)
            bars = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
            self.assertEqual([bar.GetName() for bar in bars], [region["title"] for region in regions.values()])
            for bar, region in zip(bars, regions.values(), strict=True):
                self.assertEqual(bar.GetPlotType(), slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
                np.testing.assert_allclose(bar.GetColor(), np.array(region["color"]) / 255, atol=1e-6)
                height = slicer.util.arrayFromTableColumn(bar.GetTableNode(), bar.GetYColumnName())
                np.testing.assert_allclose(height, [region["measures"][measure]])
        self.assertEqual(self.results.chart.GetAttribute(ROLE), "thickness_chart")

    def test_menisci_have_a_table(self):
        table, menisci = self.results.by_role["meniscus_table"][0], self.record()["menisci"]
        for measure in ("volume_mm3", "extrusion_mm", "coverage_percent"):
            np.testing.assert_allclose(slicer.util.arrayFromTableColumn(table, heading(measure)),
                                       [meniscus["measures"][measure] for meniscus in menisci.values()])

    def test_t2_map_lies_on_the_cartilage_in_its_colours(self):
        values = slicer.util.arrayFromVolume(self.results.t2)
        labels = read_labels(self.folder / "knee_all-labels.nrrd")
        cartilage = np.isin(labels.array, [4, 5, 6, 7])
        np.testing.assert_array_equal(values > 0, cartilage)
        matrix = vtk.vtkMatrix4x4()
        self.results.t2.GetIJKToRASMatrix(matrix)
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), np.diag([-1.0, -1, 1, 1]) @ labels.affine,
                                   atol=1e-4)
        display = self.results.t2.GetDisplayNode()
        self.assertEqual(display.GetColorNode().GetAttribute(ROLE), "t2_colours")
        self.assertEqual((display.GetWindowLevelMin(), display.GetWindowLevelMax()), (20.0, 80.0))
        self.assertTrue(display.GetApplyThreshold())

    def test_subregions_and_layers_wait_hidden(self):
        subregions = self.results.by_role["subregion_labels"][0]
        self.assertEqual(set(segments_of(subregions)), {s.name for s in SUBREGIONS})
        layers = self.results.by_role["depth_labels"][0]
        names = {s.GetName() for s in segments_of(layers).values()}
        self.assertIn("Patellar cartilage, deep", names)
        self.assertIn("Patellar cartilage, superficial", names)
        self.assertFalse(subregions.GetDisplayNode().GetVisibility() or layers.GetDisplayNode().GetVisibility())

    def test_run_details_tell_what_was_done(self):
        text = self.results.text.GetText()
        for words in ("PRACTICE MODE", "Side: right", "KneePipeline 0", "BScore", "Steps: "):
            self.assertIn(words, text)
        self.assertNotIn(str(self.folder), text)
        record = json.loads(self.results.by_role["results"][0].GetText())
        self.assertEqual(record["prefix"], "knee")

    def test_everything_listed_is_there_once(self):
        """Every kind of file, those of the shape model included; no second copy in another format."""
        roles = set(self.results.by_role)
        self.assertTrue({"shape_surface", "shape_record", "score_record", "raw_bone_surface"} <= roles)
        self.assertFalse([role for role in roles if role.endswith("_nifti")])
        shape = self.results.models["NSM_recon_femur_mesh.vtk"]
        self.assertEqual(tree().GetItemName(parent_of(shape)), "Shape model")
        self.assertEqual(tree().GetItemParent(parent_of(shape)), self.results.folder_item)

    def test_no_node_points_to_the_folder(self):
        for node in slicer.util.getNodesByClass("vtkMRMLStorageNode"):
            self.assertNotIn(str(self.folder), node.GetFileName() or "")


if __name__ == "__main__":
    unittest.main()
