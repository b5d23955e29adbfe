"""A kind of result is one file and one line: everything follows the table, and nothing a run lists is forgotten."""

from __future__ import annotations

import os
import sys
import unittest
from unittest import mock

import slicer
from KneePipelineLib.slicer_side.panel.results import ResultsPanel
from KneePipelineLib.slicer_side.scene import ROLE, ImportOptions, import_all, import_results, kinds
from KneePipelineLib.slicer_side.scene.files import checked

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase
from scene_case import SceneCase, parent_of, scene_state, tree

LEFT_IN_THE_FOLDER = {"all_labels_nifti", "subregion_labels_nifti", "t2_map_nifti", "thickness_table",
                      "thickness_record", "t2_record", "dicom_seg", "report", "archive"}


def read_note(folder, entry):
    return checked(folder / entry["path"]).read_text(encoding="utf-8")


def add_note(changes, title, text):
    node = changes.scene.AddNewNodeByClass("vtkMRMLTextNode", title)
    node.SetText(text)
    return node


def bring_notes(work, kind, sources):
    for source in sources:
        text = yield from work.read(source)
        work.make(kind.role, add_note, source.title, text, folder=kind.folder)
        yield source.title


STAND_IN = kinds.Kind("stand_in_note", bring_notes, read_note, "note", button="showNoteButton", view="slices",
                      folder="Notes")


class OneMore(SceneCase):
    """A kind that the product knows nothing of, added by one record."""

    def setUp(self):
        super().setUp()
        patched = mock.patch.object(kinds, "KINDS", (*kinds.KINDS, STAND_IN))
        patched.start()
        self.addCleanup(patched.stop)
        self.run_folder = self.copy()
        (self.run_folder / "note.txt").write_text("Seen.", encoding="utf-8")
        listed = {"role": "stand_in_note", "path": "note.txt", "type": "note", "title": "Note"}
        self.change_record(self.run_folder, lambda record: record["outputs"].append(listed))

    def notes(self):
        return [node for node in slicer.util.getNodesByClass("vtkMRMLTextNode")
                if node.GetAttribute(ROLE) == "stand_in_note"]

    def test_it_arrives_and_is_found_again(self):
        results = import_all(self.run_folder / "results.json")
        (node,) = self.notes()
        self.assertEqual((node.GetName(), node.GetText()), ("Note", "Seen."))
        self.assertEqual(tree().GetItemName(parent_of(node)), "Notes")
        self.assertEqual(tree().GetItemParent(parent_of(node)), results.folder_item)
        self.assertIs(kinds.nodes_of_run(results.record["created"])["note"], node)

    def test_it_is_taken_back(self):
        before = scene_state()
        work = import_results(self.run_folder / "results.json")
        while next(work) != "Note":
            pass
        self.assertEqual(len(self.notes()), 1)
        work.close()
        self.assertEqual(scene_state(), before)

    def test_it_is_replaced(self):
        first = import_all(self.run_folder / "results.json")
        (self.run_folder / "note.txt").write_text("Seen again.", encoding="utf-8")
        import_all(self.run_folder / "results.json", options=ImportOptions(replaces=(first.import_id,)))
        self.assertEqual([(node.GetName(), node.GetText()) for node in self.notes()], [("Note", "Seen again.")])


class ItsButton(PanelCase):
    def test_it_shows_the_kinds_node(self):
        import qt

        self.ui.showNoteButton = qt.QPushButton()
        node = self.volume("Note")
        (self.folder / "results.json").write_text("{}", encoding="utf-8")
        with mock.patch.object(kinds, "KINDS", (*kinds.KINDS, STAND_IN)):
            panel = ResultsPanel(self.ui, lambda: None)
            panel.show(self.folder, {}, False)
            self.assertFalse(self.ui.showNoteButton.enabled)
            panel.show(self.folder, {"note": node}, False)
        with mock.patch("slicer.util.setSliceViewerLayers") as shown:
            self.ui.showNoteButton.click()
        self.assertIs(shown.call_args.kwargs["foreground"], node)


class Every(SceneCase):
    def test_file_of_a_run_has_a_kind_or_stays_on_purpose(self):
        left = {output["role"] for output in self.record()["outputs"] if kinds.kind_of(output["role"]) is None}
        self.assertLessEqual(left, LEFT_IN_THE_FOLDER)
        self.assertFalse([role for role in LEFT_IN_THE_FOLDER if kinds.kind_of(role)])


if __name__ == "__main__":
    unittest.main()
