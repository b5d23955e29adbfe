"""The whole job as a person does it, through the panel: sample, Apply, results, a corrected segment, Re-analyse.

Runs inside a real Slicer (Reload and Test) and in the test host, on the environment that is set up there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import TestCase

import numpy as np

MOST_S = 900.0


def whole_job(test: TestCase) -> None:
    """Follow the tutorial with clicks and check what it promises."""
    import slicer

    widget = slicer.util.getModuleWidget("KneePipeline")
    widget.enter()
    panel, ui = widget.panel, widget.ui
    panel.inputs.load_sample()
    parameters = widget.logic.getParameterNode()
    assert parameters.inputVolume is not None, "the digital knee was not made"
    if not panel.setup.state().usable:
        test.skipTest("the private environment is not set up: press Set up first")
    _run(test, panel, ui.applyButton)
    parameters = widget.logic.getParameterNode()
    segmentation = parameters.resultsSegmentation
    assert segmentation is not None, ui.messageLabel.text
    assert segmentation.GetSegmentation().GetNumberOfSegments() >= 7
    table = panel.results.nodes["table"]
    assert table is not None
    before = thickness_in(ui)
    thin_out(segmentation)
    _run(test, panel, ui.reanalyseButton)
    after = thickness_in(ui)
    assert before.keys() == after.keys()
    changed = [region for region in before if before[region] != after[region]]
    assert changed, f"the correction changed no figure: {ui.messageLabel.text}"


def _run(test: TestCase, panel: Any, button: Any) -> None:
    assert button.enabled, button.toolTip
    button.click()
    wait_until(lambda: not panel.running, MOST_S)
    assert not panel.running, "the run did not end"


def wait_until(done: Callable[[], bool], most_s: float) -> bool:
    """Let Slicer's event loop turn until `done()`; whether it was in time."""
    import slicer

    end = time.monotonic() + most_s
    while not done() and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.005)
    return done()


def thickness_in(ui: Any) -> dict[str, tuple[str, str]]:
    """Region -> thickness and volume as the panel's table of results shows them."""
    table = ui.resultsTable
    return {table.item(row, 0).text(): (table.item(row, 1).text(), table.item(row, 2).text())
            for row in range(table.rowCount)}


def thin_out(segmentation: Any) -> None:
    """What a person does in the Segment Editor: take away a part of the patellar cartilage (its upper third)."""
    import slicer

    ids = list(segmentation.GetSegmentation().GetSegmentIDs())
    names = [segmentation.GetSegmentation().GetSegment(one).GetName().lower() for one in ids]
    chosen = next(one for one, name in zip(ids, names, strict=True) if "patella" in name and "cart" in name)
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, chosen)
    value = segmentation.GetSegmentation().GetSegment(chosen).GetLabelValue()
    planes = np.flatnonzero((array == value).any(axis=(1, 2)))
    upper = array[planes[2 * len(planes) // 3]:]
    upper[upper == value] = 0
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation.GetSegmentation().GetSegment(chosen).GetRepresentation(name).Modified()
    segmentation.Modified()
