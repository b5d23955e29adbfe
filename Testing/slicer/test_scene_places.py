"""Where results go, in scene, tree and space; that they survive a scene bundle; the codes of their segments."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from KneePipelineLib.imaging import read_labels
from KneePipelineLib.imaging.labels import STRUCTURES, SUBREGIONS
from KneePipelineLib.slicer_side import terminology
from KneePipelineLib.slicer_side.scene import (
    ROLE,
    ImportOptions,
    import_all,
)
from KneePipelineLib.slicer_side.scene.tables import heading

sys.path.insert(0, os.path.dirname(__file__))
from scene_case import (
    MOVED,
    SceneCase,
    parent_of,
    reference_like,
    segments_of,
    surface_bounds,
    tree,
    voxels_ras,
)


class WhereItGoes(SceneCase):
    def test_into_the_study_of_the_input_on_its_grid(self):
        reference = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        patient = tree().CreateSubjectItem(tree().GetSceneItemID(), "somebody")
        study = tree().CreateStudyItem(patient, "knee MRI")
        tree().SetItemParent(tree().GetItemByDataNode(reference), study)
        results = import_all(self.folder / "results.json", reference=reference)
        self.assertEqual(tree().GetItemParent(results.folder_item), study)
        for node in (results.segmentation, results.table, results.chart, results.t2, results.text):
            self.assertEqual(parent_of(node), results.folder_item)
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIs(results.segmentation.GetNodeReference(role), reference)

    def test_a_volume_of_another_grid_is_no_reference(self):
        reference = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="stacked echoes")
        results = import_all(self.folder / "results.json", reference=reference)
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIsNone(results.segmentation.GetNodeReference(role))

    def test_views_stay_as_they_are(self):
        manager = slicer.app.layoutManager()
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        view = slicer.util.getNode("vtkMRMLViewNode1") if slicer.mrmlScene.GetNodeByID("vtkMRMLViewNode1") else \
            slicer.util.getNodesByClass("vtkMRMLViewNode")[0]
        view.SetBackgroundColor(0.1, 0.2, 0.3)
        shown = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        slicer.util.setSliceViewerLayers(background=shown)
        red = manager.sliceWidget("Red").sliceLogic()
        offset = red.GetSliceOffset()
        import_all(self.folder / "results.json", reference=shown)
        self.assertEqual(manager.layout, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.assertEqual(view.GetBackgroundColor(), (0.1, 0.2, 0.3))
        composite = red.GetSliceCompositeNode()
        self.assertEqual((composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()), (shown.GetID(), None))
        self.assertEqual(red.GetSliceOffset(), offset)

    def test_under_the_inputs_transform_when_its_files_were_analysed(self):
        reference = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(MOVED))
        reference.SetAndObserveTransformNodeID(shift.GetID())
        still = import_all(self.folder / "results.json", reference=reference)
        self.assertIsNone(still.t2.GetParentTransformNode())
        options = ImportOptions(under_transform=True)
        results = import_all(self.folder / "results.json", reference=reference, options=options)
        for node in (results.segmentation, results.t2, *results.models.values()):
            self.assertIs(node.GetParentTransformNode(), shift)
        both = results.segmentation, still.segmentation
        np.testing.assert_allclose(*(voxels_ras(node, "patella") for node in both))
        np.testing.assert_allclose(*(surface_bounds(node) for node in both))

    def test_a_given_segmentation_outside_that_transform_takes_them_where_the_input_lies(self):
        reference = reference_like(read_labels(self.folder / "knee_all-labels.nrrd"))
        shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(MOVED))
        reference.SetAndObserveTransformNodeID(shift.GetID())
        still = import_all(self.folder / "results.json", reference=reference).segmentation
        given = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        import_all(self.folder / "results.json", reference=reference, segmentation=given,
                   options=ImportOptions(under_transform=True))
        self.assertIsNone(given.GetParentTransformNode())
        np.testing.assert_allclose(voxels_ras(given, "patella"), voxels_ras(still, "patella") + MOVED[:3, 3], atol=1e-3)
        offset = np.repeat(MOVED[:3, 3], 2)
        np.testing.assert_allclose(surface_bounds(given), surface_bounds(still) + offset, atol=1e-3)

    def test_only_what_is_wanted(self):
        options = ImportOptions(subregions=False, models=False, table=False, t2=False, shape=False,
                                closed_surface=False)
        results = import_all(self.folder / "results.json", options=options)
        self.assertEqual(set(results.by_role), {"all_labels", "run_details", "results"})
        self.assertIsNone(results.segmentation.GetClosedSurfaceInternalRepresentation("femur"))


class Bundle(SceneCase):
    def test_results_survive_a_scene_bundle_without_their_folder(self):
        folder = self.copy()
        results = import_all(folder / "results.json",
                             reference=reference_like(read_labels(folder / "knee_all-labels.nrrd")))
        points = slicer.util.arrayFromModelPoints(results.models["femur_mesh.vtk"]).copy()
        thickness = slicer.util.arrayFromModelPointData(results.models["femur_mesh.vtk"], "thickness (mm)").copy()
        voxels = {i: voxels_ras(results.segmentation, i) for i in segments_of(results.segmentation)}
        tags = {i: terminology.tag_of(s, s.GetTerminologyEntryTagName())
                for i, s in segments_of(results.segmentation).items()}
        means = slicer.util.arrayFromTableColumn(results.table, heading("mm_mean")).copy()
        t2, text = slicer.util.arrayFromVolume(results.t2).copy(), results.text.GetText()
        upper = results.models["femur_mesh.vtk"].GetDisplayNode().GetScalarRange()
        bundle = str(folder.parent / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(bundle))
        shutil.rmtree(folder)
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(bundle)
        by_role = {}
        for node in slicer.util.getNodesByClass("vtkMRMLNode"):
            if node.GetAttribute(ROLE):
                by_role.setdefault(node.GetAttribute(ROLE), []).append(node)

        segmentation = by_role["all_labels"][0]
        self.assertEqual(set(segments_of(segmentation)), set(voxels))
        for own_id, segment in segments_of(segmentation).items():
            np.testing.assert_allclose(voxels_ras(segmentation, own_id), voxels[own_id], atol=1e-3)
            self.assertEqual(terminology.tag_of(segment, segment.GetTerminologyEntryTagName()), tags[own_id])
            self.assertEqual(terminology.tag_of(segment, terminology.STRUCTURE_TAG), own_id)
        femur = next(n for n in by_role["bone_surface"] if n.GetName() == "Femur")
        np.testing.assert_allclose(slicer.util.arrayFromModelPoints(femur), points, atol=1e-4)
        np.testing.assert_array_equal(slicer.util.arrayFromModelPointData(femur, "thickness (mm)"), thickness)
        display = femur.GetDisplayNode()
        self.assertEqual((display.GetActiveScalarName(), display.GetScalarRange()), ("thickness (mm)", upper))
        colour = [0.0] * 4
        display.GetColorNode().GetColor(0, colour)
        self.assertGreater(min(colour[:3]), 0.8)  # bone
        self.assertEqual(display.GetColorNode().GetNumberOfColors(), 256)
        table = by_role["region_table"][0]
        kept = slicer.util.arrayFromTableColumn(table, heading("mm_mean"))
        np.testing.assert_allclose(kept, means, rtol=1e-5)  # Slicer writes tables with six digits
        chart = by_role["thickness_chart"][0]
        bars = by_role["thickness_chart_bars"][0]
        self.assertIs(chart.GetNthPlotSeriesNode(8).GetTableNode(), bars)
        self.assertEqual(bars.GetNumberOfColumns(), 9)
        np.testing.assert_allclose(slicer.util.arrayFromVolume(by_role["t2_map"][0]), t2)
        self.assertEqual(by_role["run_details"][0].GetText(), text)
        self.assertEqual(parent_of(segmentation), parent_of(table))
        self.assertTrue(tree().GetItemName(parent_of(table)).startswith("Right knee"))
        with contextlib.suppress(KeyError):
            legend = by_role["legend"][0]
            self.assertEqual(legend.GetTitleText(), "Cartilage\nthickness (mm)")


LISTS = Path(__file__).resolve().parents[2] / "KneePipeline" / "Resources" / "Terminologies"


def names_of(ask):
    names = vtk.vtkStringArray()
    ask(names)
    return [names.GetValue(i) for i in range(names.GetNumberOfValues())]


def kinds_in_lists():
    """List -> (category, type, modifier or "") of everything that Slicer's terminology knows now."""
    logic, found = slicer.modules.terminologies.logic(), {}
    for name in names_of(logic.GetLoadedTerminologyNames):
        codes = found.setdefault(name, set())
        for c in range(logic.GetNumberOfCategoriesInTerminology(name)):
            category = slicer.vtkSlicerTerminologyCategory()
            logic.GetNthCategoryInTerminology(name, c, category)
            for t in range(logic.GetNumberOfTypesInTerminologyCategory(name, category)):
                kind = slicer.vtkSlicerTerminologyType()
                logic.GetNthTypeInTerminologyCategory(name, category, t, kind)
                codes.add((category.GetCodeValue(), kind.GetCodeValue(), ""))
                count = logic.GetNumberOfTypeModifiersInTerminologyType(name, category, kind) if \
                    kind.GetHasModifiers() else 0
                for m in range(count):
                    modifier = slicer.vtkSlicerTerminologyType()
                    logic.GetNthTypeModifierInTerminologyType(name, category, kind, m, modifier)
                    codes.add((category.GetCodeValue(), kind.GetCodeValue(), modifier.GetCodeValue()))
    return found


def regions_in_lists():
    """List -> (region, side or "")."""
    logic, found = slicer.modules.terminologies.logic(), {}
    for name in names_of(logic.GetLoadedRegionContextNames):
        codes = found.setdefault(name, set())
        for r in range(logic.GetNumberOfRegionsInRegionContext(name)):
            region = slicer.vtkSlicerTerminologyType()
            logic.GetNthRegionInRegionContext(name, r, region)
            codes.add((region.GetCodeValue(), ""))
            for m in range(logic.GetNumberOfRegionModifierInRegion(name, region) if region.GetHasModifiers() else 0):
                side = slicer.vtkSlicerTerminologyType()
                logic.GetNthRegionModifierInRegion(name, region, m, side)
                codes.add((region.GetCodeValue(), side.GetCodeValue()))
    return found


class Terminology(unittest.TestCase):
    def test_every_entry_names_its_structure_and_no_other(self):
        self.assertEqual(len({terminology.entry(s.value) for s in STRUCTURES}), len(STRUCTURES))
        for side in ("right", "left", "unknown"):
            for structure in STRUCTURES:
                self.assertEqual(terminology.value_of_entry(terminology.entry(structure.value, side)), structure.value)

    def test_every_code_stands_in_the_list_that_the_entry_names(self):
        """Slicer's terminology dialog looks there; what Slicer's lists lack has to be in ours."""
        terminology.register(LISTS)
        known = {**kinds_in_lists(), **regions_in_lists()}
        for structure in (*STRUCTURES, *SUBREGIONS):
            for side in ("right", "left", "unknown"):
                types, category, kind, modifier, regions, region, side_code = (
                    part.split("^")[1] if "^" in part else part
                    for part in terminology.entry(structure.value, side).split("~"))
                with self.subTest(structure.name, side=side):
                    self.assertIn((category, kind, modifier), known[types])
                    if region:
                        self.assertIn((region, side_code), known[regions])

    def test_slicers_lists_lack_what_ours_are_for(self):
        known = {**kinds_in_lists(), **regions_in_lists()}
        self.assertNotIn("12611008", {kind for _, kind, _ in known[terminology.SLICERS_TYPES]})
        self.assertNotIn("12611008", {region for region, _ in known[terminology.SLICERS_REGIONS]})
        self.assertNotIn(("85756007", "74135004", "255561001"), known[terminology.SLICERS_TYPES])

    def test_an_entry_names_the_list_that_has_it(self):
        self.assertEqual(
            terminology.entry(6, "left"),
            "Segmentation category and type - KneePipeline~SCT^85756007^Tissue~SCT^309312004^Cartilage"
            "~SCT^49370004^Lateral~Anatomic codes - KneePipeline~SCT^12611008^Tibia~SCT^7771000^Left")
        self.assertEqual(
            terminology.entry(1, "right"),
            "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^71341001^Femur"
            "~SCT^24028007^Right~Anatomic codes - DICOM master list~^^~^^")

    def test_entries_of_others(self):
        general = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~"
        self.assertEqual(terminology.value_of_entry(general + "SCT^12611008^Tibia~^^~Anatomic codes~^^~^^"), 2)
        tissue = "x~SCT^85756007^Tissue~"
        for words, value in (("SCT^61496007^Articular cartilage~SCT^255561001^Medial~y~^^~^^", 5),
                             ("SCT^309312004^Cartilage~^^~y~^^~^^", None), ("SCT^38033009^Meniscus~^^~y~^^~^^", None),
                             ("SCT^76752008^Breast~^^~y~^^~^^", None)):
            with self.subTest(words):
                self.assertEqual(terminology.value_of_entry(tissue + words), value)
        self.assertIsNone(terminology.value_of_entry(""))


if __name__ == "__main__":
    unittest.main()
