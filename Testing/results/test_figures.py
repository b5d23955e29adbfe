"""The pictures show what they say: cartilage in colour, bare bone as bone, everything the right way round."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from KneePipelineLib.imaging.labels import BY_VALUE, LATERAL_TIBIAL_CARTILAGE, MEDIAL_TIBIAL_CARTILAGE
from KneePipelineLib.imaging.volume import Volume
from KneePipelineLib.results.figures.colours import (
    BONE_RGB,
    DENUDED_RGB,
    colour_of,
    oklab,
    srgb,
    thickness_map,
    thickness_range_mm,
)
from KneePipelineLib.results.figures.png import png_bytes
from KneePipelineLib.results.figures.slices import slice_pictures
from KneePipelineLib.results.figures.surfaces import VIEWS, edge_words, render_bone
from KneePipelineLib.results.figures.svg import Bar, bar_chart_svg, colour_bar_svg, rendering_svg, slice_svg

VIEW = {(v.bone, v.name): v for v in VIEWS}
UPPER = 4.0


def places(pixels: np.ndarray, rgb: tuple[int, int, int], tolerance: int = 2) -> np.ndarray:
    """(row, column) of every pixel of about this colour."""
    return np.argwhere((np.abs(pixels[..., :3].astype(int) - rgb) <= tolerance).all(axis=-1))


def hues_near(pixels: np.ndarray, rgb: np.ndarray, degrees: float = 12.0) -> np.ndarray:
    """Opaque, coloured pixels whose OKLab hue is that of ``rgb``: shading changes lightness, hue says what is shown."""
    lab, want = oklab(pixels[..., :3]), oklab(rgb)
    angle = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]) - np.arctan2(want[2], want[1]))
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    return (np.abs((angle + 180) % 360 - 180) < degrees) & (chroma > 0.06) & (pixels[..., 3] > 250)


# --- colours -------------------------------------------------------------------------------------------------------


def test_equal_steps_in_mm_look_equal_and_lightness_only_rises():
    lab = oklab(thickness_map())
    steps = np.linalg.norm(lab[17::17] - lab[:-17:17], axis=1)  # 15 steps: far longer than one step of 8-bit colour
    assert len(steps) == 15
    assert steps.max() / steps.min() < 1.10
    assert (np.diff(lab[::4, 0]) > 0).all()


def test_srgb_and_oklab_invert_each_other():
    colours = np.array([[0, 0, 0], [255, 255, 255], [12, 200, 99], [255, 0, 0], [3, 3, 250]])
    np.testing.assert_array_equal(srgb(oklab(colours)), colours)
    np.testing.assert_allclose(oklab([255, 255, 255]), [1, 0, 0], atol=1e-6)  # white, by definition of the space


def test_no_thickness_looks_like_bone():
    distance = np.linalg.norm(oklab(thickness_map()) - oklab(np.array(BONE_RGB)), axis=1)
    assert distance.min() > 0.12


def test_the_scale_covers_nearly_all_thickness_and_is_one_for_all_bones(right_knee):
    assert thickness_range_mm(right_knee.surfaces) == 3.0
    assert thickness_range_mm({}) == 4.0
    np.testing.assert_array_equal(colour_of([-1.0, 0.0, 9.0, np.nan], UPPER), thickness_map()[[0, 0, 255, 0]])


@pytest.mark.parametrize("channels", [3, 4])
def test_png_is_read_back_exactly(channels):
    from PIL import Image

    noise = np.random.default_rng(1).integers(0, 256, (37, 53, channels), dtype=np.uint8)
    ramp = np.repeat(np.arange(53, dtype=np.uint8)[None, :, None], 37, axis=0).repeat(channels, axis=2)
    for pixels in (noise, ramp):
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png_bytes(pixels)))), pixels)
    with pytest.raises(ValueError, match="uint8"):
        png_bytes(noise.astype(float))


# --- slices --------------------------------------------------------------------------------------------------------


def picture_of(pictures, plane):
    return next(p for p in pictures if p.plane == plane)


def centre_of(picture, value: int) -> np.ndarray:
    """(row, column) of the middle of a label that is painted solid."""
    found = places(picture.pixels, BY_VALUE[value].color)
    assert len(found) > 50, f"{BY_VALUE[value].title} is not to be seen in the {picture.plane} slice"
    return found.mean(axis=0)


@pytest.mark.parametrize("side", ["right", "left"])
def test_slices_are_the_radiological_way_round_for_both_knees(side, right_knee, left_knee):
    pictures = slice_pictures({"right": right_knee, "left": left_knee}[side].labels)
    coronal = picture_of(pictures, "coronal")
    medial, lateral = centre_of(coronal, MEDIAL_TIBIAL_CARTILAGE), centre_of(coronal, LATERAL_TIBIAL_CARTILAGE)
    # The patient's left is on the picture's right; medial in a right knee is towards the patient's left.
    assert (medial[1] > lateral[1]) == (side == "right")
    assert centre_of(coronal, 4)[0] < medial[0]  # femoral cartilage above tibial
    sagittal, axial = picture_of(pictures, "sagittal"), picture_of(pictures, "axial")
    rows, columns = sagittal.pixels.shape[:2]
    assert centre_of(axial, 7)[0] < rows * 0.4  # the patella at the top: anterior
    assert len(pictures) == 4
    assert [p.title for p in pictures[:2]] == ["Sagittal, medial compartment", "Sagittal, lateral compartment"]
    assert MEDIAL_TIBIAL_CARTILAGE in pictures[0].values
    assert LATERAL_TIBIAL_CARTILAGE not in pictures[0].values
    assert columns == rows


def test_anterior_is_on_the_left_of_a_sagittal_slice(right_knee):
    array = np.where(np.isin(right_knee.labels.array, (3, 7)), 7, 0).astype(np.uint8)
    array[right_knee.labels.array == 4] = 4  # femoral cartilage lies behind the patella
    sagittal = picture_of(slice_pictures(right_knee.labels.with_array(array)), "sagittal")
    assert centre_of(sagittal, 7)[1] < centre_of(sagittal, 4)[1]


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "ASL", "IPR"])
def test_how_the_file_was_stored_does_not_change_the_slices(orientation, right_knee):
    labels = right_knee.subregions.reoriented("PIR")
    for a, b in zip(slice_pictures(labels), slice_pictures(labels.reoriented(orientation)), strict=True):
        assert a.title == b.title
        assert (a.pixels != b.pixels).any(axis=2).mean() < 0.01  # rounding at voxel borders


def test_millimetres_are_equally_long_in_both_directions():
    spacing = np.array([0.5, 1.0, 3.0])
    size = (120, 60, 20)
    k, j, i = np.indices(size[::-1])
    offset = (np.stack([i, j, k], -1) - (np.array(size) - 1) / 2) * spacing
    ball = (np.linalg.norm(offset, axis=-1) <= 20).astype(np.uint8) * 4
    for picture in slice_pictures(Volume(ball, spacing)):
        found = places(picture.pixels, BY_VALUE[4].color)
        extent_mm = np.ptp(found, axis=0) * picture.mm_per_pixel
        np.testing.assert_allclose(extent_mm, 40, atol=3.2)  # one voxel of the coarsest axis


def test_letters_and_scale_bar_are_text_on_the_slice(right_knee):
    pictures = slice_pictures(right_knee.labels)
    drawn = slice_svg(picture_of(pictures, "coronal"), "words")
    x = {letter: float(drawn.split(f">{letter}</text>")[0].rsplit('x="', 1)[1].split('"')[0]) for letter in "RL"}
    assert x["R"] < x["L"]
    assert ">10 mm</text>" in drawn
    assert 'aria-label="words"' in drawn


def test_the_image_is_grey_behind_the_labels_and_only_on_the_same_grid(right_knee):
    labels = right_knee.labels
    image = labels.with_array(np.linspace(0, 1000, labels.array.size, dtype=np.float32).reshape(labels.array.shape))
    shown = picture_of(slice_pictures(labels, image), "sagittal").pixels
    plain = picture_of(slice_pictures(labels), "sagittal").pixels
    grey = (shown.max(axis=2) == shown.min(axis=2)) & (shown.max(axis=2) > 40)
    assert grey.mean() > 0.2
    coloured = shown.max(axis=2).astype(int) - shown.min(axis=2) > 25
    assert coloured.mean() > 0.01
    elsewhere = replace(image, origin=image.origin + 7.0)
    np.testing.assert_array_equal(picture_of(slice_pictures(labels, elsewhere), "sagittal").pixels, plain)


def test_sparse_label_maps_still_give_pictures(right_knee):
    labels = right_knee.labels
    assert slice_pictures(labels.with_array(np.zeros_like(labels.array))) == []
    bones = labels.with_array(np.where(labels.array <= 3, labels.array, 0).astype(np.uint8))
    assert len(slice_pictures(bones)) == 3
    one = np.zeros_like(labels.array)
    one[5, 5, 5] = 6
    assert slice_pictures(labels.with_array(one))[0].title == "Sagittal, lateral compartment"


# --- thickness on the bones ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "medial_edge"), [("right", "right"), ("left", "left")])
def test_thin_medial_and_thick_lateral_cartilage_lie_where_they_should(side, medial_edge, right_knee, left_knee):
    """From below with anterior up, as in an axial slice, the patient's left is on the right of the picture."""
    knee = {"right": right_knee, "left": left_knee}[side]
    view = VIEW["femur", "from below"]
    pixels = render_bone(knee.surfaces["femur"], view, upper_mm=UPPER).pixels
    thin = np.argwhere(hues_near(pixels, colour_of(1.0, UPPER)))
    thick = np.argwhere(hues_near(pixels, colour_of(3.0, UPPER)))
    assert min(len(thin), len(thick)) > 5000
    assert (thin[:, 1].mean() > thick[:, 1].mean()) == (medial_edge == "right")
    words = edge_words(view, side)
    assert words[medial_edge] == "medial"
    assert (words["top"], words["bottom"]) == ("anterior", "posterior")


def test_left_and_right_knees_are_mirror_images(right_knee, left_knee):
    """Same light, mirrored shape: compare what is coloured, not how bright."""
    for view in VIEWS:
        right = render_bone(right_knee.surfaces[view.bone], view, upper_mm=UPPER).pixels
        left = render_bone(left_knee.surfaces[view.bone], view, upper_mm=UPPER).pixels[:, ::-1]
        for thickness in (1.0, 3.0):
            a, b = (hues_near(p, colour_of(thickness, UPPER)) for p in (right, left))
            if view.bone != "tibia":  # its bare spot is on one side only
                assert (a != b).mean() < 0.01


def test_uncovered_bone_is_bone_coloured(right_knee):
    femur = right_knee.surfaces["femur"]
    bare = replace(femur, thickness_mm=np.full_like(femur.thickness_mm, np.nan),
                   total_region=np.zeros_like(femur.total_region))
    pixels = render_bone(bare, VIEW["femur", "from below"], upper_mm=UPPER).pixels
    opaque = pixels[pixels[..., 3] == 255][:, :3].astype(float)
    ratio = opaque / opaque[:, :1]
    assert len(opaque) > 30_000
    np.testing.assert_allclose(ratio, np.broadcast_to(np.array(BONE_RGB) / BONE_RGB[0], ratio.shape), atol=0.03)
    behind = render_bone(femur, VIEW["femur", "from behind"], upper_mm=UPPER).pixels
    top = behind[: behind.shape[0] // 3]
    assert not hues_near(top, colour_of(1.0, UPPER)).any()  # cartilage is below
    assert hues_near(behind, colour_of(1.0, UPPER)).any()


def test_denuded_bone_is_outlined_and_bone_outside_is_not(right_knee):
    tibia = right_knee.surfaces["tibia"]
    view = VIEW["tibia", "from above"]
    red = np.array(DENUDED_RGB)
    outlined = hues_near(render_bone(tibia, view, upper_mm=UPPER).pixels, red).sum()
    outside = replace(tibia, total_region=tibia.region)
    assert outlined > 100
    assert hues_near(render_bone(outside, view, upper_mm=UPPER).pixels, red).sum() == 0


def test_a_picture_is_to_scale(right_knee):
    femur = right_knee.surfaces["femur"]
    drawn = render_bone(femur, VIEW["femur", "from the front"], upper_mm=UPPER)
    columns = np.flatnonzero((drawn.pixels[..., 3] > 0).any(axis=0))
    rows = np.flatnonzero((drawn.pixels[..., 3] > 0).any(axis=1))
    np.testing.assert_allclose([len(columns) * drawn.mm_per_pixel, len(rows) * drawn.mm_per_pixel],
                               [np.ptp(femur.points[:, 0]), np.ptp(femur.points[:, 2])], atol=2 * drawn.mm_per_pixel)
    assert (drawn.pixels[0, 0, 3], drawn.pixels[184, 220, 3]) == (0, 255)


def test_a_knee_that_lay_turned_is_drawn_straight_with_its_own_axes(right_knee):
    from scipy.spatial.transform import Rotation

    femur, turn = right_knee.surfaces["femur"], Rotation.from_euler("xyz", [14, -9, 20], degrees=True).as_matrix()
    turned = replace(femur, points=(femur.points @ turn.T).astype(np.float32),
                     normals=(femur.normals @ turn.T).astype(np.float32))
    view = VIEW["femur", "from below"]
    straight = render_bone(femur, view, upper_mm=UPPER).pixels.astype(int)
    again = render_bone(turned, view, upper_mm=UPPER, axes=turn.T).pixels.astype(int)
    unaware = render_bone(turned, view, upper_mm=UPPER).pixels.astype(int)
    assert (np.abs(straight - again).max(axis=2) > 12).mean() < 0.01
    assert (np.abs(straight - unaware).max(axis=2) > 12).mean() > 0.1


def test_rendering_side_by_side_changes_nothing(right_knee):
    from KneePipelineLib.results.threads import in_threads

    def draw(view):
        return render_bone(right_knee.surfaces[view.bone], view, upper_mm=UPPER).pixels

    for alone, together in zip([draw(v) for v in VIEWS], in_threads([lambda v=v: draw(v) for v in VIEWS]), strict=True):
        np.testing.assert_array_equal(alone, together)


def test_views_look_along_unit_directions_at_right_angles():
    for view in VIEWS:
        basis = np.stack([view.right, view.up, view.towards_viewer])
        np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(basis) == pytest.approx(1.0)
    assert {bone: sum(v.bone == bone for v in VIEWS) >= 2 for bone in ("femur", "tibia", "patella")} == {
        "femur": True, "tibia": True, "patella": True}


def test_words_at_the_edges_when_the_side_is_unknown():
    assert edge_words(VIEW["femur", "from behind"], "unknown") == {
        "left": "left", "right": "right", "top": "superior", "bottom": "inferior"}
    assert edge_words(VIEW["femur", "from the front"], "unknown")["left"] == "right"


# --- scales and charts ---------------------------------------------------------------------------------------------


def test_the_scale_names_its_ends_and_the_chart_its_bars(right_knee):
    bar = colour_bar_svg(4.5)
    assert ">0</text>" in bar
    assert ">4.5 mm</text>" in bar
    chart = bar_chart_svg([Bar("A < B", (1, 2, 3), 2.0, 0.5, 1.9), Bar("none", (1, 2, 3), None, None, None)], 'say "x"')
    assert "A &lt; B" in chart
    assert "not measured" in chart
    assert "&quot;x&quot;" in chart
    widths = [float(part.split('"')[0]) for part in chart.split('rect class="swatch"')[1].split('width="')[1:2]]
    axis = float(chart.split(">3 mm<")[0].rsplit('x="', 1)[1].split('"')[0]) - 236
    assert widths[0] == pytest.approx(axis * 2 / 3, abs=0.2)
    drawn = rendering_svg(render_bone(right_knee.surfaces["patella"], VIEW["patella", "from behind"], upper_mm=UPPER),
                          "right", "p")
    assert ">medial</text>" in drawn
    assert ">10 mm</text>" in drawn
