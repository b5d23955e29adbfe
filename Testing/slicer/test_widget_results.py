"""The section Results: what its table says of each region."""

from __future__ import annotations

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase


class Table(PanelCase):
    def quality(self, *checks: dict) -> list[str]:
        """The column Quality for the medial tibial and the patellar cartilage."""
        regions = {name: {"title": name, "measures": {"mm_mean": 2.0, "VC_mm3": 1500.0}, "flag": "poor"}
                   for name in ("med_tib_cart", "pat_cart")}
        (self.folder / "results.json").write_text(json.dumps({"regions": regions, "quality": {"checks": checks}}))
        self.panel.results.show(self.folder, {}, False)
        return [self.ui.resultsTable.item(row, 3).text() for row in range(self.ui.resultsTable.rowCount)]

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


if __name__ == "__main__":
    unittest.main()
