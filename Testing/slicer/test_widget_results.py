"""The section Results: what its table says of each structure, and what a person must know before reading it."""

from __future__ import annotations

import json
import os
import sys
import unittest
from unittest import mock

import slicer

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase


class Table(PanelCase):
    def show(self, **record) -> None:
        """Show a run with this record."""
        (self.folder / "results.json").write_text(json.dumps(record))
        self.panel.results.show(self.folder, {}, False)

    def column(self, number: int) -> list[str]:
        return [self.ui.resultsTable.item(row, number).text() for row in range(self.ui.resultsTable.rowCount)]

    def quality(self, *checks: dict) -> list[str]:
        """The column Quality for the medial tibial and the patellar cartilage."""
        self.show(regions={name: {"title": name, "measures": {"mm_mean": 2.0, "VC_mm3": 1500.0}, "flag": "poor"}
                           for name in ("med_tib_cart", "pat_cart")}, quality={"checks": checks})
        return self.column(3)

    def test_quality_is_that_of_the_columns_beside_it(self):
        """Doubt about T2 is none about thickness; doubt about one region is none about another."""
        self.assertEqual(self.quality({"code": "T2_SEQUENCE_ASSUMED", "flag": "poor"}), ["ok", "ok"])
        self.assertEqual(self.quality({"code": "LOW_CONFIDENCE", "flag": "poor"}), ["poor", "poor"])
        self.assertEqual(self.quality({"code": "STRUCTURE_DOUBTFUL", "flag": "check", "subject": "pat_cart"}),
                         ["ok", "check"])

    def test_a_rule_of_another_version_is_passed_over(self):
        self.assertEqual(self.quality({"code": "NOT_YET_KNOWN", "flag": "poor"}), ["ok", "ok"])

    def test_numbers_have_the_units_of_their_headings(self):
        self.quality()
        self.assertEqual([self.ui.resultsTable.item(0, column).text() for column in (1, 2)], ["2.00", "1.50"])

    def test_menisci_have_rows(self):
        measures = {"volume_mm3": 2207.5, "extrusion_mm": 4.158, "coverage_percent": 36.34}
        self.show(menisci={"med_meniscus": {"title": "Medial meniscus", "measures": measures, "flag": "check"},
                           "lat_meniscus": {"title": "Lateral meniscus", "measures": {}, "flag": "ok"}})
        self.assertEqual(self.column(0), ["Medial meniscus\nextrusion 4.2 mm, 36 % of the cartilage covered",
                                          "Lateral meniscus\nextrusion - mm, - % of the cartilage covered"])
        self.assertEqual(self.column(2), ["2.21", "-"])
        self.assertEqual(self.column(3), ["check", "ok"])

    def test_the_bundled_network_is_named_after_the_run_too(self):
        words = "Bundled network: for trying out, not validated for research."
        self.show(run={"model": {"name": "bundled", "title": "Bundled network", "device": "cpu"}})
        self.assertIn(words, self.ui.resultsLabel.text)
        self.show(run={"model": {"name": "nnunet_fullres", "title": "nnU-Net"}})
        self.assertNotIn(words, self.ui.resultsLabel.text)
        self.show(run={"model": None})
        self.assertNotIn(words, self.ui.resultsLabel.text)

    def test_what_was_left_out_names_the_button_and_no_command(self):
        reason = "the shape model is not installed; run: python3 -m KneePipelineLib models download shape_647"
        self.show(skipped=[{"part": "shape", "reason": reason}],
                  errors=[{"part": "t2", "message": "No echo times. Give --echoes FOLDER."}],
                  warnings=[{"severity": "serious", "message": "The side is a guess. Say which with --side."}])
        text = self.ui.resultsLabel.text
        self.assertNotIn("python3", text)
        self.assertNotIn("--", text)
        self.assertIn("Not done: shape, because the shape model is not installed. Choose the model in the section "
                      "Models and press Download", text)
        self.assertIn("The side is a guess. Choose the side under Inputs.", text)

    def test_t2_is_shown_where_there_is_one(self):
        node, chart = self.volume("T2"), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", "T2")
        (self.folder / "results.json").write_text("{}")
        self.panel.results.show(self.folder, {}, False)
        self.assertFalse(self.ui.showT2Button.enabled or self.ui.showT2ChartButton.enabled)
        self.panel.results.show(self.folder, {"t2": node, "t2_chart": chart}, False)
        with mock.patch("slicer.util.setSliceViewerLayers") as shown:
            self.ui.showT2Button.click()
        self.assertIs(shown.call_args.kwargs["foreground"], node)
        self.ui.showT2ChartButton.click()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        self.assertEqual(selection.GetActivePlotChartID(), chart.GetID())


if __name__ == "__main__":
    unittest.main()
