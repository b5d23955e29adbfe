"""The developer's button Reload: the whole package is read anew, and nothing of the former code goes on."""

from __future__ import annotations

import importlib
import os
import sys
import unittest
from unittest import mock

import slicer

sys.path.insert(0, os.path.dirname(__file__))
from panel_case import PanelCase


def package() -> dict:
    """The package's modules that are loaded."""
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "KneePipelineLib"}


class Reload(PanelCase):
    def setUp(self):
        super().setUp()
        self.shown = slicer.modules.kneepipeline.widgetRepresentation()
        self.keep(self.shown)
        self.old = self.shown.self()
        self.old.enter()

    def tearDown(self):
        self.shown.self().cleanup()

    def test_the_package_is_read_anew(self):
        before = package()
        before["KneePipelineLib.slicer_side.panel.wording"].time_left = lambda eta_s: "former code"
        self.old.onReload()
        new = self.shown.self()
        new.enter()
        self.assertIsNot(new, self.old)
        for name, module in package().items():
            self.assertIsNot(module, before.get(name), name)
        for thing in (type(new.panel), type(new.logic).__mro__[1]):
            self.assertIs(thing, getattr(sys.modules[thing.__module__], thing.__name__))
        new.panel.run.begin()
        new.panel.run.progress(0.5, "ANALYSIS", "Measuring", 20)
        self.assertEqual(new.ui.timeLabel.text, "less than a minute left")
        new.panel.run.idle()

    def test_nothing_of_the_former_code_goes_on(self):
        from KneePipelineLib.slicer_side.process import leaving

        of_panel, of_script = mock.Mock(), mock.Mock()
        self.old.panel.job = of_panel
        leaving.enlist(of_script)
        watched = mock.Mock(wraps=slicer.app, majorVersion=5, minorVersion=10)
        with mock.patch.object(slicer, "app", watched) as application:
            self.old.onReload()
        disconnect = application.disconnect
        of_panel.kill.assert_called()
        of_script.kill.assert_called_once()
        self.assertIn(mock.call("aboutToQuit()", leaving.stop_all), disconnect.call_args_list)
        self.assertIn(mock.call("aboutToQuit()", self.old.onAboutToQuit), disconnect.call_args_list)
        self.assertEqual(list(self.old.Observations), [])
        slicer.mrmlScene.Clear(0)  # would call the former widget's observers
        self.assertIsNone(self.old._parameterNode)

    def test_code_that_cannot_be_read_leaves_the_former_in_use(self):
        before, own = package(), sys.modules["KneePipeline"]
        with mock.patch("slicer.util.reloadScriptedModule", side_effect=SyntaxError), self.assertRaises(SyntaxError):
            self.old.onReload()
        self.assertEqual(package(), before)
        self.assertIs(sys.modules["KneePipeline"], own)

    def test_a_mistake_in_any_file_is_found_before_the_panel_goes(self):
        """Some files are only read when the panel is built: too late, were it gone by then."""
        before, read = package(), importlib.import_module

        def edited(name, *arguments):
            if name == "KneePipelineLib.slicer_side.panel.results":
                raise SyntaxError(name)
            return read(name, *arguments)

        with mock.patch("importlib.import_module", edited), self.assertRaises(SyntaxError):
            self.old.onReload()
        self.assertEqual(package(), before)
        self.assertIs(self.shown.self(), self.old)
        self.assertTrue(list(self.old.Observations))
        self.old.enter()
        self.assertIsNotNone(self.old._parameterNode)


if __name__ == "__main__":
    unittest.main()
