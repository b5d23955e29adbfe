"""What the tests of the panel share: the module loaded, an empty scene, settings and a home of their own."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import slicer

MODULE = Path(__file__).resolve().parents[2] / "KneePipeline"
MOST_S = 300.0
_USED: list[Any] = []
"""Panels of earlier tests: Qt objects that are deleted while the event loop still knows them end the process."""


def has_working_python() -> bool:
    """Whether this Python itself can do a run: the tests' environment can, Slicer's cannot."""
    return bool(os.environ.get("KNEEPIPELINE_PYTHON")) or importlib.util.find_spec("torch") is not None


class PanelCase(unittest.TestCase):
    """The module's panel in an empty scene; its settings, home and environment variables are the test's own."""

    variables: ClassVar[dict[str, str]] = {}
    double_click_s: ClassVar[float] = 0.0
    """Within this time a second click is none; tests click faster than people."""

    def setUp(self) -> None:
        if not hasattr(slicer.modules, "kneepipeline"):
            if not hasattr(slicer.app.moduleManager(), "load_folder"):
                self.skipTest("inside Slicer the module has to be installed")
            slicer.app.moduleManager().load_folder(MODULE)
        from KneePipelineLib.slicer_side import settings
        from KneePipelineLib.slicer_side.panel import run

        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        changed = {"KNEEPIPELINE_HOME": str(self.folder / "home"), "KNEEPIPELINE_PYTHON": "", **self.variables}
        patch = mock.patch.dict(os.environ, changed)
        patch.start()
        self.addCleanup(patch.stop)
        clicks = mock.patch.object(run, "DOUBLE_CLICK_S", self.double_click_s)
        clicks.start()
        self.addCleanup(clicks.stop)
        settings.forget_all()
        self.addCleanup(settings.forget_all)
        slicer.mrmlScene.Clear(0)
        self.representation = slicer.modules.kneepipeline.createNewWidgetRepresentation()
        self.widget = self.representation.self()
        self.widget.enter()
        self.addCleanup(self._close)
        self.panel, self.ui = self.widget.panel, self.widget.ui

    def _close(self) -> None:
        self.widget.exit()
        self.widget.cleanup()
        self.keep(self.representation)
        for name in ("inputVolumeSelector", "segmentationSelector", "outputSegmentationSelector"):
            getattr(self.ui, name).setMRMLScene(None)
        slicer.mrmlScene.Clear(0)

    @staticmethod
    def keep(representation: Any) -> None:
        """Put a panel away without deleting it."""
        representation.hide()
        _USED.append(representation)

    @property
    def parameters(self) -> Any:
        """What is chosen now."""
        return self.widget.logic.getParameterNode()

    def volume(self, name: str = "knee") -> Any:
        """A small volume in the scene."""
        return slicer.util.addVolumeFromArray(np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8), name=name)

    def segmentation(self, *names: str) -> Any:
        """A segmentation with an empty segment of each name."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "labels")
        for name in names:
            node.GetSegmentation().AddEmptySegment("", name)
        return node

    def picture(self, name: str) -> None:
        """The panel as it looks now, as a PNG in the folder that KNEEPIPELINE_PICTURES names; without it nothing."""
        folder = os.environ.get("KNEEPIPELINE_PICTURES")
        if folder:
            layout, width = self.representation.layout(), 500
            self.representation.show()
            for _ in range(2):
                slicer.app.processEvents()
                self.representation.resize(width, max(300, layout.totalHeightForWidth(width)))
            self.representation.grab().save(f"{folder}/{name}.png")

    def result_nodes(self, kind: str) -> list:
        """The nodes of one class that came with results."""
        return [node for node in slicer.util.getNodesByClass(kind) if node.GetAttribute("KneePipeline.role")]

    def wait(self, done: Any) -> None:
        """Let the event loop turn until `done()`."""
        from KneePipelineLib.slicer_side.self_test import wait_until

        self.assertTrue(wait_until(done, MOST_S), f"{self.ui.messageLabel.text}\n{self.ui.logText.plainText}")


def this_python() -> dict[str, str]:
    """The variables with which runs happen on this very interpreter, in practice mode."""
    python = os.environ.get("KNEEPIPELINE_PYTHON") or sys.executable
    return {"KNEEPIPELINE_PYTHON": python, "KNEEPIPELINE_DUMMY": "1"}
