"""The README's pictures, from the digital knee: ``python -m Testing.slicer.screenshots [OUT] [--run FOLDER]``.

Measures the digital knee with its own labels (so no network is needed), loads the results into the scene as the module
does, and draws them offscreen: the bones with thickness map and legend, slices with segments and T2. OUT is
KneePipeline/Resources/Screenshots by default. With --run a results folder of ``demo`` or of an earlier call is used.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from Testing.slicer.view_pixels import pixels

REPOSITORY = Path(__file__).resolve().parents[2]
OUT = REPOSITORY / "KneePipeline" / "Resources" / "Screenshots"
LARGEST_BYTES = 300_000
THREE_D_PX, LEGEND_PX, SLICE_PX, GAP_PX = (470, 600), (280, 600), (400, 400), 6
FINER = 2
"""3D views are drawn this much larger and averaged, which smooths edges."""
PAPER, INK = (1.0, 1.0, 1.0), (0.12, 0.14, 0.20)
CAMERAS = ((-0.55, 1.0, -0.15), (0.6, -1.0, -0.25))
"""From where the right knee is seen (RAS): obliquely from the front and the medial side, so that the patella does not
cover the trochlea, and from behind."""
DISTANCE_MM = 265.0
_VIEWS = {"Sagittal": "Yellow", "Coronal": "Green", "Axial": "Red"}


def main(arguments: list[str] | None = None) -> int:
    """Make all pictures; 0 when each is small enough for the repository."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=OUT)
    parser.add_argument("--run", type=Path, help="results folder of the digital knee (made anew by default)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run = options.run or measure_digital_knee(Path(scratch))
        from Testing import host

        host.start()
        options.out.mkdir(parents=True, exist_ok=True)
        pictures = make_pictures(run)
    sizes = {}
    for name, picture in pictures.items():
        path = options.out / f"{name}.png"
        write_png(path, picture)
        sizes[path.name] = path.stat().st_size
        print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]} pixels, {sizes[path.name] / 1000:.0f} kB")
    return int(max(sizes.values()) > LARGEST_BYTES)


def measure_digital_knee(folder: Path) -> Path:
    """A qDESS series of the digital knee, measured by the pipeline with the knee's own labels; the results folder."""
    from KneePipelineLib.demo import write_digital_knee

    series, labels, _ = write_digital_knee(folder / "knee", 0, "right", False)
    command = [sys.executable, "-m", "KneePipelineLib", "run", str(series), str(folder / "run"), "--segmentation",
               str(labels), "--label-scheme", "canonical"]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    return folder / "run"


def make_pictures(run: Path) -> dict[str, np.ndarray]:
    """Name -> picture, (rows, columns, 3) uint8, of the results in a folder."""
    import slicer
    from KneePipelineLib.slicer_side import sample_data
    from KneePipelineLib.slicer_side.scene import import_all

    image = sample_data.make_image()
    results = import_all(run / "results.json", reference=image)
    style(results)
    display = image.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 1.6 * float(np.percentile(slicer.util.arrayFromVolume(image), 98)))
    legend = results.by_role["legend"][0]
    legend.SetVisibility(False)
    views = [three_d(results, direction) for direction in CAMERAS]
    legend.SetVisibility(True)
    pictures = {"thickness_3d": np.concatenate([*views, three_d(results, CAMERAS[0], only_legend=True)], axis=1)}
    place = cartilage_middle(results)
    display = results.segmentation.GetDisplayNode()
    pictures["segments"] = beside([slice_picture(image, orientation, place) for orientation in _VIEWS])
    display.SetVisibility(False)
    only_cartilage(results)
    t2 = [slice_picture(image, orientation, place, results.t2) for orientation in ("Sagittal", "Coronal")]
    pictures["t2_map"] = beside(t2)
    slicer.mrmlScene.Clear(0)
    return pictures


def only_cartilage(results: Any) -> None:
    """Take T2 outside cartilage, which is noise in bone and fat, out of the picture."""
    import slicer
    from KneePipelineLib.imaging import read_labels
    from KneePipelineLib.imaging.labels import CARTILAGES

    labels = read_labels(results.results_json.parent / f"{results.record['prefix']}_all-labels.nrrd")
    values = slicer.util.arrayFromVolume(results.t2)
    slicer.util.updateVolumeFromArray(results.t2, np.where(np.isin(labels.array, CARTILAGES), values, 0))


def style(results: Any) -> None:
    """Light paper and dark letters; nothing that the import itself would do."""
    import slicer

    view = slicer.app.layoutManager().threeDWidget(0).mrmlViewNode()
    view.SetBackgroundColor(*PAPER)
    view.SetBackgroundColor2(*PAPER)
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    for node in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        for text in (node.GetTitleTextProperty(), node.GetLabelTextProperty()):
            text.SetColor(*INK)
            text.SetShadow(False)
            text.SetBold(False)
            text.SetFontFamilyToArial()
        node.SetSize(0.26, 0.28)  # the letters grow with the legend
        node.SetPosition(0.95, 0.5)


def three_d(results: Any, direction: tuple[float, float, float], only_legend: bool = False) -> np.ndarray:
    """Bones with the thickness map and menisci, seen from a direction (RAS); or the legend alone, past the bones."""
    import slicer

    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    width, height = LEGEND_PX if only_legend else THREE_D_PX
    view.resize(FINER * width, FINER * height)
    bones = [n for n in results.models.values() if n.GetDisplayNode().GetVisibility()]
    bounds = np.array([n.GetPolyData().GetBounds() for n in bones]).reshape(-1, 3, 2)
    middle = (bounds[:, :, 0].min(0) + bounds[:, :, 1].max(0)) / 2
    if only_legend:
        middle = middle + 10 * DISTANCE_MM
    camera = view.cameraNode().GetCamera()
    camera.SetFocalPoint(*middle)
    camera.SetPosition(*(middle + np.array(direction) / np.linalg.norm(direction) * DISTANCE_MM))
    camera.SetViewUp(0, 0, 1)
    view.renderer().ResetCameraClippingRange()
    fine = pixels(view).astype(np.uint16)
    return (fine.reshape(height, FINER, width, FINER, 3).sum(axis=(1, 3)) // FINER**2).astype(np.uint8)


def cartilage_middle(results: Any) -> np.ndarray:
    """RAS of a place where all three planes show cartilage: the middle of the medial tibial cartilage."""
    surface = results.segmentation.GetClosedSurfaceInternalRepresentation("med_tib_cart")
    return np.array(surface.GetBounds()).reshape(3, 2).mean(axis=1)


def slice_picture(image: Any, orientation: str, place: np.ndarray, foreground: Any = None) -> np.ndarray:
    """One slice through a place, image below, segments or map above."""
    import slicer

    slicer.util.setSliceViewerLayers(background=image, foreground=foreground, foregroundOpacity=1.0)
    widget = slicer.app.layoutManager().sliceWidget(_VIEWS[orientation])
    widget.mrmlSliceNode().SetOrientation(orientation)
    widget.sliceView().resize(*SLICE_PX)
    widget.sliceLogic().FitSliceToBackground()
    widget.mrmlSliceNode().JumpSliceByOffsetting(*place)
    return pixels(widget.sliceView())


def beside(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one height in a row, white between."""
    gap = np.full((pictures[0].shape[0], GAP_PX, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(row[:-1], axis=1)


def write_png(path: Path, picture: np.ndarray) -> None:
    """An 8-bit PNG. The lowest bits, mostly noise, go: nobody sees them and they are half of the file."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    coarse = np.minimum((picture.astype(np.uint16) + 2) // 4 * 4, 255).astype(np.uint8)
    image = vtk.vtkImageData()
    image.SetDimensions(picture.shape[1], picture.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(coarse[::-1].reshape(-1, 3), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetCompressionLevel(9)
    writer.SetInputData(image)
    writer.Write()


if __name__ == "__main__":
    sys.exit(main())
