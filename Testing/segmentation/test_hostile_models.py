"""Models made by somebody who means harm: each is refused in a sentence, at no cost in memory or time."""

from __future__ import annotations

import codecs
import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_keras import KerasModel

from KneePipelineLib.errors import ConfigError, KneePipelineError, WeightsCorruptError
from KneePipelineLib.nnunet_folders import ANY, stages_below
from KneePipelineLib.segmentation.names import canonical_mapping
from KneePipelineLib.segmentation.nnunet.checkpoint import load_checkpoint
from KneePipelineLib.segmentation.nnunet.folder import open_results
from KneePipelineLib.segmentation.planar import load_network
from KneePipelineLib.shape.checkpoint import load_model
from KneePipelineLib.shape.fitting import FitOptions
from KneePipelineLib.shape.scoring import bscore
from KneePipelineLib.weights import BScoreParameters
from KneePipelineLib.weights.failures import ImportRefusedError
from KneePipelineLib.weights.layouts import bscore_parameters
from KneePipelineLib.weights.torch_files import read_torch_file

DEEP = 60


def nested_keras(path: Path) -> Path:
    """Models within models, each of which calls the next one twice: 2**60 layers in a small file."""
    model = KerasModel((1, None, None))
    model.add("ReLU", name="layer")
    inner = model.config()
    for depth in range(DEEP):
        name = f"model_{depth}"
        nodes = [[["input_1", 0, 0, {}]], [[name, 0, 0, {}]]]
        layer = {**inner, "name": name, "inbound_nodes": nodes, "config": {**inner["config"], "name": name}}
        inner = {"class_name": "Functional", "config": {
            "name": "outer", "layers": [model.layers[0], layer], "input_layers": [["input_1", 0, 0]],
            "output_layers": [[name, 1, 0]]}}
    model.config = lambda: inner
    return model.write(path)


def test_planar_models_that_call_each_other_without_end(tmp_path: Path) -> None:
    with pytest.raises(WeightsCorruptError, match="do not fit each other"):
        load_network(nested_keras(tmp_path / "network.h5"))


@pytest.mark.parametrize("inherits", [["a"], {"a": 1}, 5, True])
def test_plans_that_inherit_from_what_is_no_name(inherits: object, tmp_path: Path) -> None:
    folder = tmp_path / "Trainer__plans__3d_fullres"
    folder.mkdir()
    (folder / "dataset.json").write_text("{}")
    (folder / "plans.json").write_text(json.dumps({"configurations": {"3d_fullres": {"inherits_from": inherits}}}))
    stage, = stages_below(tmp_path, ANY)
    with pytest.raises(KneePipelineError):
        open_results(folder, stage.configuration)


def test_numbers_that_only_look_like_some(tmp_path: Path) -> None:
    """A superscript two is a digit, but no number."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "\u00b2.pth").write_bytes(b"x")
    (tmp_path / "model_params_config.json").write_text("{}")
    with pytest.raises(WeightsCorruptError, match="no weights"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [list(range(100)), ("Trainer",), 5, None])
def test_a_trainer_that_is_no_text_has_no_name(value: object, tmp_path: Path) -> None:
    """Lists that hold each other twice, sixty deep, are a small file and endless text."""
    for _ in range(DEEP if isinstance(value, list) else 0):
        value = [value, value]
    torch.save({"network_weights": {"a": torch.zeros(1)}, "trainer_name": value}, tmp_path / "checkpoint_final.pth")
    assert load_checkpoint(tmp_path / "checkpoint_final.pth").trainer == ""


@pytest.mark.parametrize("axes", [(0, 0), (0, 1, 2, 0), (True,), (3,), (-1,), (0,) * 1000, ("0",)])
def test_axes_to_mirror_along_are_three_at_most(axes: tuple, tmp_path: Path) -> None:
    """Every further one would double the work."""
    torch.save({"network_weights": {"a": torch.zeros(1)}, "inference_allowed_mirroring_axes": axes},
               tmp_path / "checkpoint_final.pth")
    with pytest.raises(WeightsCorruptError, match="axes to mirror"):
        load_checkpoint(tmp_path / "checkpoint_final.pth")


def repeated(path: Path, name: str, count: int) -> Path:
    """A checkpoint whose one tensor says that it has ``count`` numbers and holds one: its stride is 0."""
    def whole(number: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", number)

    def text(word: str) -> bytes:
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    pickled = (b"\x80\x02}" + text("model") + b"}" + text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
               + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + whole(1) + b"tQ" + whole(0)
               + b"(" + whole(count) + b"t(" + whole(0) + b"t\x89ccollections\nOrderedDict\n)RtRss.")
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in (("data.pkl", pickled), ("version", b"3\n"), ("data/0", b"\0" * 4)):
            archive.writestr(f"archive/{member}", content)
    return path


def shape_folder(folder: Path, **config: object) -> Path:
    (folder / "model").mkdir()
    (folder / "model_params_config.json").write_text(json.dumps({"latent_size": 4, **config}))
    return folder


def test_shape_tensors_that_hold_fewer_numbers_than_they_say(tmp_path: Path) -> None:
    folder = shape_folder(tmp_path)
    repeated(folder / "model" / "1.pth", "vae_decoder.fc.weight", 10**12)
    with pytest.raises(WeightsCorruptError, match="holds something else"):
        load_model(folder)


def test_planes_without_end(tmp_path: Path) -> None:
    """Each layer of ten numbers doubles the planes' sides; twenty would make a million squared."""
    folder, layers = shape_folder(tmp_path, conv_deep_image_size=1), 20
    state = {"vae_decoder.fc.weight": torch.zeros(1, 4), "vae_decoder.fc.bias": torch.zeros(1),
             "sdf_decoder.layers.0.weight": torch.zeros(2, 4), "sdf_decoder.layers.0.bias": torch.zeros(2)}
    for number in range(layers + 1):
        out = 3 if number == layers else 1
        state |= {f"vae_decoder.layers.{2 * number}.weight": torch.zeros(out, 1, 3, 3),
                  f"vae_decoder.layers.{2 * number}.bias": torch.zeros(out)}
    torch.save({"model": state}, folder / "model" / "1.pth")
    with pytest.raises(WeightsCorruptError, match="do not fit") as caught:
        load_model(folder)
    assert str(caught.value.__cause__) == "planes without end"


@pytest.mark.parametrize("entry", [
    {"num_iterations_recon": 10**15}, {"n_samples_latent_recon": 10**12}, {"n_samples_latent_recon": 2.5},
    {"lr_recon": 10**400}, {"num_iterations_recon": float("inf")}, {"l2reg_recon": "x"}, {"l2reg_recon": [1]},
    {"latent_init_std": 1e300}, {"lr_update_factor_recon": 0}, {"lr_recon": float("nan")}])
def test_fits_without_end(entry: dict) -> None:
    with pytest.raises(ConfigError, match="configuration is not usable"):
        FitOptions.from_config(entry)


def test_whole_numbers_may_be_written_as_others() -> None:
    assert FitOptions.from_config({"n_samples_latent_recon": 500.0}).samples == 500


@pytest.mark.parametrize("number", [10**400, float("inf"), True, "1", None])
def test_numbers_of_a_bscore(number: object) -> None:
    for key in ("bscore_vector", "mean_healthy", "std_healthy"):
        values = {"bscore_vector": [1], "mean_healthy": 1, "std_healthy": 1}
        with pytest.raises(ImportRefusedError):
            bscore_parameters(values | {key: [number] if key == "bscore_vector" else number})


@pytest.mark.parametrize("parameters", [((1.0, 1.0), 0.0, 1e-320), ((1e308, 1e308), -1e308, 1.0)])
def test_a_score_beyond_all_numbers(parameters: tuple) -> None:
    with pytest.raises(WeightsCorruptError, match="no finite score"):
        bscore([3.0, 3.0], BScoreParameters("own", *parameters))


def test_names_of_a_model_reach_nobodys_terminal() -> None:
    """Neither as a message nor as what to do about it."""
    names = {"background": 0, "femur": 1, "\x1b]0;evil\x07lig\nament": 2}
    names |= {f"thing {n}" * 9: n + 3 for n in range(999)}
    with pytest.raises(KneePipelineError) as caught:
        canonical_mapping(names)
    for text in (caught.value.message, caught.value.hint):
        assert text.isprintable()
        assert len(text) <= 4000


class Calls:
    """Pickled as a call of a function that PyTorch's own reader allows."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("name", "call"), [("bytearray", Calls(bytearray, 1000)),
                                            ("punycode", Calls(codecs.encode, "abc", "punycode"))])
def test_what_costs_memory_or_time_without_end_is_not_called(name: str, call: Calls, zipped: bool,
                                                             tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"network_weights": {}, "more": call}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsCorruptError, match=name):
        read_torch_file(path, "The checkpoint")
