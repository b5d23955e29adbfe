"""The digital knee in Slicer's module Sample Data: made on this computer when asked for, nothing is downloaded.

It needs NumPy, and for DICOM pydicom, both of which Slicer has. A knee is computed by a thread that is waited for in
short pieces, so the application goes on drawing; half a minute at most on a small computer.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..environment import home
from ..errors import DicomError
from ..imaging import Volume
from .inputs.dicom import UIDS_ATTRIBUTE
from .scene.files import LabelMap, boxes_of, ijk_to_ras
from .scene.segmentation import add_segmentation, set_reference

CATEGORY = "Knee"
IMAGE, LABELLED, DICOM = "Digital knee", "Digital knee with labels", "Digital knee (DICOM, two echoes)"
SEED, SIDE = 0, "right"
_WAIT_S = 0.05
_FOLDER = "digital_knee"


def register() -> None:
    """Offer the digital knee in Sample Data, as image, as image with labels and as DICOM; where there is no such
    module, do nothing."""
    try:
        from SampleData import SampleDataLogic
    except ImportError:
        return
    picture = _picture()
    for name, maker in ((IMAGE, make_image), (LABELLED, make_labelled_image), (DICOM, make_dicom)):
        SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY, sampleName=name, uris=f"made-here:{name}", fileNames=f"{name}.nrrd", nodeNames=name,
            customDownloader=maker, thumbnailFileName=picture)


def _picture() -> str | None:
    """The module's icon, for the samples' buttons; None where the module is not loaded."""
    module = getattr(slicer.modules, "kneepipeline", None)
    picture = Path(module.path).parent / "Resources" / "Icons" / "KneePipeline.png" if module is not None else None
    return str(picture) if picture is not None and picture.is_file() else None


def make_image(source: Any = None, *, coarse: bool = False) -> Any:
    """The digital knee's DESS image as a volume node, shown in the slice views.

    Parameters
    ----------
    source : SampleDataSource, optional
        Which sample was asked for; Sample Data hands it in.
    coarse : bool
        A quarter of the resolution, for tests.
    """
    return _add_volume(_made(_("image"), lambda knee, grid: knee.image(grid), coarse), IMAGE)


def make_labelled_image(source: Any = None, *, coarse: bool = False) -> Any:
    """The same with its true labels as a segmentation; returns the volume node."""
    image, labels = _made(_("image and labels"), lambda knee, grid: (knee.image(grid), knee.labels(grid)), coarse)
    node = _add_volume(image, IMAGE)
    labels = LabelMap(labels, boxes_of(labels.array))
    segmentation, _ids = add_segmentation(slicer.mrmlScene, f"{IMAGE}: labels", labels, side=SIDE)
    set_reference(segmentation, node, labels)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    tree.SetItemParent(tree.GetItemByDataNode(segmentation), tree.GetItemParent(tree.GetItemByDataNode(node)))
    return node


def make_dicom(source: Any = None, *, coarse: bool = False) -> Any:
    """A qDESS series of the digital knee in Slicer's DICOM database, and its first echo as a volume node.

    The files lie in KneePipeline's home folder, where a second call finds them again: the database holds no copy of
    them, and Slicer's cache folder is pruned when Slicer starts.

    Raises
    ------
    DicomError
        If Slicer has no DICOM database open.
    """
    database = getattr(slicer, "dicomDatabase", None)
    if database is None or not database.isOpen:
        raise DicomError("Slicer has no DICOM database open.", "Open the module DICOM once, then try again.")
    folder = home() / "samples" / (_FOLDER + "_coarse" * coarse)
    first, uids = _made(_("DICOM series"), lambda knee, grid: _write_series(knee, grid, folder), coarse)
    from DICOMLib import DICOMUtils

    DICOMUtils.importDicom(str(folder), database)
    node = _add_volume(first, IMAGE)
    node.SetAttribute(UIDS_ATTRIBUTE, " ".join(uids))
    _into_study(node)
    return node


def _write_series(knee: Any, grid: Any, folder: Path) -> tuple[Volume, list[str]]:
    """Write the two echoes unless they are there; the first echo and its instance UIDs."""
    from pydicom import dcmread

    from ..phantom import write_dicom

    echoes = knee.qdess(grid)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_name(f"{folder.name}_{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_dicom(echoes, unfinished, description="qDESS")
        unfinished.rename(folder)  # so that a folder of this name is always complete
    files = sorted(folder.iterdir())
    headers = [dcmread(file, stop_before_pixels=True, specific_tags=["EchoNumbers"]) for file in files]
    return echoes[0], [str(h.file_meta.MediaStorageSOPInstanceUID) for h in headers if int(h.EchoNumbers) == 1]


def _made(what: str, make: Callable[[Any, Any], Any], coarse: bool) -> Any:
    """Compute in a thread what ``make(knee, grid)`` gives, while the application goes on drawing."""
    import qt

    from ..phantom import DigitalKnee, Grid

    grid = Grid.sagittal((96, 96, 40), (1.46, 1.46, 2.8)) if coarse else Grid.sagittal()
    slicer.util.showStatusMessage(_("Making the digital knee: {what} ...").format(what=what), 60000)
    with slicer.util.WaitCursor(), ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(lambda: make(DigitalKnee(seed=SEED, side=SIDE), grid))
        while not wait([future], timeout=_WAIT_S).done:
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
    slicer.util.showStatusMessage("", 1)
    return future.result()


def _add_volume(volume: Volume, name: str) -> Any:
    rounded = np.clip(np.rint(volume.array), 0, np.iinfo(np.int16).max).astype(np.int16)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(ijk_to_ras(volume))
    slicer.util.updateVolumeFromArray(node, rounded)
    node.CreateDefaultDisplayNodes()
    if slicer.app.layoutManager() is not None:  # there is none without a main window
        slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def _into_study(node: Any) -> None:
    """Put a volume under the patient and study that its DICOM header names, as Slicer's DICOM module does."""
    tree, database = slicer.mrmlScene.GetSubjectHierarchyNode(), slicer.dicomDatabase
    uid = node.GetAttribute(UIDS_ATTRIBUTE).split()[0]
    path = database.fileForInstance(uid)
    parent = tree.GetSceneItemID()
    levels = (("0010,0020", "0010,0010", tree.CreateSubjectItem), ("0020,000d", "0008,1030", tree.CreateStudyItem))
    for id_tag, name_tag, create in levels:
        known = tree.GetItemByUID("DICOM", database.fileValue(path, id_tag))
        if not known:
            known = create(parent, database.fileValue(path, name_tag))
            tree.SetItemUID(known, "DICOM", database.fileValue(path, id_tag))
        parent = known
    tree.SetItemParent(tree.GetItemByDataNode(node), parent)
