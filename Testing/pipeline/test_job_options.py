"""JobOptions: validation, spellings, sources, and the way through config.json and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from KneePipelineLib.errors import EXIT_USAGE, ConfigError
from KneePipelineLib.job import JobOptions

EXISTING = {
    "perform_bone_only_nsm": True, "perform_bone_and_cart_nsm": False, "clip_femur_top": True,
    "default_seg_model": "nnunet_knee", "batch_size": 32, "nnunet": {"type": "cascade", "fold": 3},
    "models": {"goyal_sagittal": "weights/sagittal.h5"}, "nsm": {"path_model_state": "nsm/2000.pth"},
    "bscore": {"path_model_folder": "bscore"}, "bones": {"femur": {"n_points": 20000}}, "regions": {"cart": {"1": "x"}},
}
"""The shape of a configuration file of this field."""


def problems_of(values: dict) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        JobOptions.from_dict(values)
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value.details["problems"]


def test_existing_configuration_survives_the_round_trip() -> None:
    options = JobOptions.from_dict(EXISTING)
    assert options.model == "nnunet_cascade"
    assert options.perform_bone_only_nsm
    assert not options.perform_bone_and_cart_nsm
    assert set(options.unknown) == {"bones", "regions"}
    again = json.loads(json.dumps(options.to_dict()))
    assert JobOptions.from_dict(again) == options
    for key, value in EXISTING.items():
        assert again[key] == value


@pytest.mark.parametrize(("given_name", "stored", "kind", "shown"), [
    ("nnunet_fullres", "nnunet_knee", "fullres", "nnunet_fullres"),
    ("nnunet_cascade", "nnunet_knee", "cascade", "nnunet_cascade"),
    ("nnunet_knee", "nnunet_knee", "fullres", "nnunet_fullres"),
    ("dosma_ananya", "acl_qdess_bone_july_2024", "fullres", "dosma_ananya"),
    ("acl_qdess_bone_july_2024", "acl_qdess_bone_july_2024", "fullres", "dosma_ananya"),
    ("staple", "staple", "fullres", "staple"),
    ("bundled", "bundled", "fullres", "bundled"),
])
@pytest.mark.parametrize("key", ["segmentation_model", "default_seg_model", "model"])
def test_model_names(key: str, given_name: str, stored: str, kind: str, shown: str) -> None:
    options = JobOptions.from_dict({key: given_name})
    assert (options.default_seg_model, options.nnunet["type"], options.model) == (stored, kind, shown)


@pytest.mark.parametrize(("values", "bone_only", "bone_and_cart"), [
    ({"nsm_type": "bone_and_cart"}, False, True),
    ({"nsm_type": "bone_only"}, True, False),
    ({"nsm_type": "both"}, True, True),
    ({"nsm_type": "none"}, False, False),
    ({"perform_nsm": False}, False, False),
    ({"perform_nsm": True}, False, True),
    ({"perform_nsm": True, "nsm_type": "bone_only"}, True, False),
    ({"perform_nsm": False, "nsm_type": "both"}, False, False),
])
def test_shape_model_switches(values: dict, bone_only: bool, bone_and_cart: bool) -> None:
    options = JobOptions.from_dict(values)
    assert (options.perform_bone_only_nsm, options.perform_bone_and_cart_nsm) == (bone_only, bone_and_cart)


def test_cartilage_smoothing_is_an_alias() -> None:
    assert JobOptions.from_dict({"cartilage_smoothing": 0.5}).image_smooth_var_cart == 0.5


def test_all_problems_at_once() -> None:
    found = problems_of({"batch_size": 300, "image_smooth_var_cart": 2.5, "side": "up", "timeout": -1, "prefix": "../x",
                         "device": "gpu", "restart": "yes", "nnunet": {"type": "big"}, "nsm_type": "some",
                         "segmentation_model": "bundeld", "models": [1], "seed": 1.5})
    assert len(found) == 12
    for word in ("batch_size", "image_smooth_var_cart", "side", "timeout", "prefix", "device", "restart", "nnunet",
                 "nsm_type", "did you mean 'bundled'", "models", "seed"):
        assert any(word in problem for problem in found), word


@pytest.mark.parametrize(("key", "low", "high", "below", "above"), [
    ("batch_size", 1, 256, 0, 257), ("image_smooth_var_cart", 0, 2, -0.01, 2.01),
])
def test_ranges(key: str, low: float, high: float, below: float, above: float) -> None:
    for value in (low, high):
        assert getattr(JobOptions.from_dict({key: value}), key) == value
    for value in (below, above, float("nan"), "1", None, True):
        assert problems_of({key: value})


def test_paths_do_not_appear_in_messages() -> None:
    with pytest.raises(ConfigError) as caught:
        JobOptions.from_dict({"input": ["/home/jane_doe/knee"], "models": {"a": ["/home/jane_doe"]}})
    assert "jane" not in str(caught.value) + str(caught.value.details)


def test_contradicting_spellings_are_a_problem() -> None:
    assert problems_of({"segmentation_model": "staple", "default_seg_model": "bundled"})
    assert problems_of({"nsm_type": "both", "perform_bone_only_nsm": False})


def test_sources_and_their_order(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"batch_size": 8, "prefix": "a", "nnunet": {"type": "cascade", "fold": 1}}))
    env = {"KNEEPIPELINE_CONFIG": str(file)}
    options = JobOptions.from_sources({"prefix": "b", "side": None}, env=env)
    assert (options.batch_size, options.prefix, options.side) == (8, "b", "auto")
    options = JobOptions.from_sources({"segmentation_model": "nnunet_fullres"}, env=env)
    assert options.nnunet == {"type": "fullres", "fold": 1}
    other = tmp_path / "other.json"
    other.write_text('{"batch_size": 9}')
    assert JobOptions.from_sources({}, other, env).batch_size == 9


@pytest.mark.parametrize("variable", ["KNEEPIPELINE_DUMMY", "USE_DUMMY_PIPELINE"])
def test_practice_mode_by_variable(variable: str) -> None:
    assert JobOptions.from_sources({}, env={variable: "1"}).practice
    assert not JobOptions.from_sources({}, env={variable: "0"}).practice
    assert not JobOptions.from_sources({}, env={}).practice


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000, None])
def test_unusable_configuration_file(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "secret_name.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        JobOptions.from_sources({}, file, env={})
    assert "secret_name" not in str(caught.value)


def test_public_form_holds_no_path() -> None:
    options = JobOptions.from_dict({"input": "/data/jane/knee", "output": "/data/out", "label_scheme": "/data/s.json",
                                    "series": "1.2.840.1", "nsm": {"path_model_state": "/data/nsm.pth"},
                                    "comment": "jane", "nnunet": {"type": "fullres", "root": "/data"}})
    public = json.dumps(options.without_paths())
    assert "/data" not in public
    assert "jane" not in public
    assert "1.2.840" not in public


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6,
)


@given(st.dictionaries(words.map(lambda w: "x_" + w), plain, max_size=4), st.integers(1, 256),
       st.floats(0, 2, allow_nan=False), st.booleans(), st.sampled_from(["auto", "left", "right"]))
def test_any_valid_options_survive_the_round_trip(unknown: dict, batch: int, smoothing: float, clip: bool,
                                                  side: str) -> None:
    options = JobOptions.from_dict({**unknown, "batch_size": batch, "image_smooth_var_cart": smoothing,
                                    "clip_femur_top": clip, "side": side})
    assert JobOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    assert options.unknown == unknown


def test_odd_values_are_all_in_the_one_error() -> None:
    values = {"steps": ["thickness", "nonsense"], "seed": 10**400, "timeout": 10**400, "batch_size": 10**5000,
              "models": {"mynet": None}, "default_seg_model": "mynet"}
    with pytest.raises(ConfigError) as caught:
        JobOptions.from_sources(values, env={})
    problems = caught.value.details["problems"]
    assert len(problems) == 5
    for word in ("nonsense", "seed", "timeout", "batch_size", "mynet"):
        assert sum(word in problem for problem in problems) == 1, word


def test_relative_paths_begin_where_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a configuration file at its own folder, on the command line at the current one; stored absolute."""
    (tmp_path / "lab").mkdir()
    file = tmp_path / "lab" / "config.json"
    file.write_text(json.dumps({
        "models": {"bundled": "nets/mine", "staple": None}, "nsm": {"config": "../shape"}, "label_scheme": "our.json",
        "bscore": {"folder": str(tmp_path / "score")}, "echoes": "echoes", "side": "left"}))
    monkeypatch.chdir(tmp_path)
    options = JobOptions.from_sources({"input": "knee.nii.gz", "segmentation": "own"}, file, env={}).resolved()
    assert options.models == {"bundled": str(tmp_path / "lab" / "nets" / "mine"), "staple": None}
    assert options.nsm == {"config": str(tmp_path / "shape")}
    assert options.bscore == {"folder": str(tmp_path / "score")}
    assert options.label_scheme == str(tmp_path / "lab" / "our.json")
    assert options.echoes == str(tmp_path / "lab" / "echoes")
    assert (options.input, options.segmentation) == (str(tmp_path / "knee.nii.gz"), str(tmp_path / "own"))
    monkeypatch.chdir(tmp_path / "lab")
    assert JobOptions.from_dict(options.to_dict()).resolved() == options
    assert JobOptions.from_dict({"models": {"bundled": "mine"}}).resolved().models["bundled"].startswith(str(tmp_path))


def test_structures_to_leave_out_are_a_list_of_names() -> None:
    options = JobOptions.from_sources({"ignore_structures": "ACL, Hoffa's fat pad"}, env={})
    assert options.ignore_structures == ("ACL", "Hoffa's fat pad")
    assert JobOptions.from_dict(options.to_dict()) == options
    assert problems_of({"ignore_structures": 3})
