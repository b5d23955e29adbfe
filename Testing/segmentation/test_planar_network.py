"""Keras networks on PyTorch: TensorFlow's own answers, layer semantics, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_keras import KerasModel, write_unet

from KneePipelineLib.errors import InvalidFormatError, MissingFileError, WeightsCorruptError
from KneePipelineLib.segmentation.planar import load_network

os.environ.setdefault("KERAS_BACKEND", "torch")
FIRST = "channels_first"


@pytest.mark.shared
def test_agrees_with_tensorflow(shared: Path) -> None:
    """The bar of the published networks: 1e-4 and the same arg-max, on what TensorFlow itself computed."""
    network = load_network(shared / "reference" / "keras_unet_channels_first.h5")
    truth = np.load(shared / "reference" / "keras_unet_channels_first_io.npz")
    answer = network(torch.from_numpy(truth["input"])).numpy()
    assert np.abs(answer - truth["output"]).max() <= 1e-4
    assert np.array_equal(answer.argmax(1), truth["output"].argmax(1))
    assert network.fixed_size == (48, 48)
    assert network.reduction == (8, 8)


LAYERS = {
    "conv same stride 2": ("Conv2D", {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}),
    "conv same stride 2, even kernel": ("Conv2D", {"filters": 5, "kernel_size": (4, 2), "strides": 2,
                                                   "padding": "same"}),
    "conv valid, dilated": ("Conv2D", {"filters": 2, "kernel_size": 3, "dilation_rate": 2, "padding": "valid",
                                       "activation": "elu"}),
    "conv in groups": ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 3, "padding": "same"}),
    "transposed same": ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}),
    "transposed same, even kernel": ("Conv2DTranspose", {"filters": 4, "kernel_size": 4, "strides": 2,
                                                         "padding": "same"}),
    "transposed valid": ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "valid"}),
    "transposed, kernel below stride": ("Conv2DTranspose", {"filters": 4, "kernel_size": 2, "strides": 3,
                                                            "padding": "valid"}),
    "average pooling valid": ("AveragePooling2D", {"pool_size": 3, "strides": 2}),
    "max pooling same": ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}),
    "max pooling valid": ("MaxPooling2D", {"pool_size": (2, 3)}),
    "up nearest": ("UpSampling2D", {"size": (2, 3)}),
    "up bilinear": ("UpSampling2D", {"size": 2, "interpolation": "bilinear"}),
    "zero padding": ("ZeroPadding2D", {"padding": ((1, 2), (3, 0))}),
    "cropping": ("Cropping2D", {"cropping": ((1, 2), (3, 0))}),
    "relu with all settings": ("ReLU", {"max_value": 1.5, "negative_slope": 0.1, "threshold": 0.2}),
    "leaky relu": ("LeakyReLU", {}),
    "elu": ("ELU", {"alpha": 0.7}),
    "prelu": ("PReLU", {"shared_axes": [1, 2]}),
    "prelu for every pixel": ("PReLU", {}),
    "softmax": ("Softmax", {"axis": -1}),
    "normalization": ("BatchNormalization", {}),
    "normalization without scale": ("BatchNormalization", {"scale": False, "center": False}),
    "activation": ("Activation", {"activation": "sigmoid"}),
    "dense": ("Dense", {"units": 4, "activation": "tanh"}),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore")
def test_layers_do_what_keras_does(name: str, tmp_path: Path) -> None:
    """Every layer against Keras itself (its torch backend), channels last, at an odd size."""
    keras = pytest.importorskip("keras")
    class_name, settings = LAYERS[name]
    inputs = keras.Input((11, 14, 3), name="input_1")
    layer = getattr(keras.layers, class_name)(**settings)
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(3)
    layer.set_weights([np.abs(rng.normal(size=w.shape)) * 0.5 + 0.1 for w in layer.get_weights()])
    model.save(tmp_path / "one.h5")
    x = rng.normal(size=(2, 11, 14, 3)).astype(np.float32)
    wanted = keras.ops.convert_to_numpy(model(x))
    network = load_network(tmp_path / "one.h5")
    answer = network(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert answer.shape == wanted.shape
    np.testing.assert_allclose(answer, wanted, atol=1e-5)


def test_average_pooling_counts_only_what_lies_inside(tmp_path: Path) -> None:
    """TensorFlow's rule at the border; Keras' torch backend has another one, so the numbers are written out."""
    model = KerasModel((1, 3, 4))
    model.add("AveragePooling2D", pool_size=[2, 2], strides=[2, 2], padding="same", data_format=FIRST)
    answer = load_network(model.write(tmp_path / "mean.h5"))(torch.arange(12.0).reshape(1, 1, 3, 4))
    assert answer.tolist() == [[[[2.5, 4.5], [8.5, 10.5]]]]


def test_both_layouts_agree(tmp_path: Path) -> None:
    """The same weights declared channels first and channels last give the same answer."""
    answers = []
    for layout, shape, axis in ((FIRST, (1, None, None), 1), ("channels_last", (None, None, 1), 3)):
        model = KerasModel(shape, seed=5)
        model.conv(6, 1, data_format=layout, strides=[2, 2])
        model.norm(6, axis)
        model.add("Activation", activation="relu")
        model.add("Conv2DTranspose", filters=3, kernel_size=[3, 3], strides=[2, 2], padding="same",
                  data_format=layout, activation="linear", weights={"kernel": (3, 3, 3, 6), "bias": (3,)})
        model.add("Softmax", axis=axis)
        network = load_network(model.write(tmp_path / f"{layout}.h5"))
        answers.append(network(torch.linspace(-1, 1, 2 * 16 * 12).reshape(2, 1, 16, 12)).numpy())
    assert answers[0].shape == (2, 3, 16, 12)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_normalization_is_folded_only_where_nothing_else_reads(tmp_path: Path) -> None:
    """A convolution that is read twice keeps its own output."""
    model = KerasModel((1, 8, 8), seed=2)
    conv = model.conv(4, 1)
    norm = model.norm(4)
    model.add("Add", inputs=[conv, norm])
    network = load_network(model.write(tmp_path / "twice.h5"))
    x = torch.randn(1, 1, 8, 8)
    arrays = {n.split("/")[1]: torch.from_numpy(np.asarray(a, np.float32))
              for entries in model.weights.values() for n, a in entries}
    y = torch.nn.functional.conv2d(x, arrays["kernel:0"].permute(3, 2, 0, 1), arrays["bias:0"], padding=1)
    z = torch.nn.functional.batch_norm(y, arrays["moving_mean:0"], arrays["moving_variance:0"], arrays["gamma:0"],
                                       arrays["beta:0"], eps=1e-3)
    torch.testing.assert_close(network(x), y + z, atol=1e-5, rtol=1e-5)


def test_nested_models_and_shared_layers(tmp_path: Path) -> None:
    """A model used twice inside another one."""
    import h5py

    inner = KerasModel((1, None, None), seed=1)
    inner.conv(1, 1, name="inner_conv")
    outer = KerasModel((1, 8, 8))
    call = {"class_name": "Functional", "config": inner.config()["config"], "name": "inner",
            "inbound_nodes": [[["input_1", 0, 0, {}]], [["inner", 0, 0, {}]]]}
    outer.layers.append(call)
    outer.last = "inner"
    path = outer.write(tmp_path / "nested.h5")
    with h5py.File(path, "a") as file:
        config = outer.config()
        config["config"]["output_layers"] = [["inner", 1, 0]]
        file.attrs["model_config"] = json.dumps(config)
        group = file["model_weights/inner"]
        group.attrs["weight_names"] = [n.encode() for n, _ in inner.weights["inner_conv"]]
        for name, array in inner.weights["inner_conv"]:
            group.create_dataset(name, data=np.asarray(array, np.float32))
    kernel, bias = (torch.from_numpy(np.asarray(a, np.float32)) for _, a in inner.weights["inner_conv"])
    x = torch.randn(1, 1, 8, 8)
    y = x
    for _ in range(2):
        y = torch.nn.functional.conv2d(y, kernel.permute(3, 2, 0, 1), bias, padding=1)
    torch.testing.assert_close(load_network(path)(x), y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("layer", "word"), [("Lambda", "Lambda"), ("TFOpLambda", "TFOpLambda"),
                                             ("MagicLayer", "MagicLayer")])
def test_code_and_unknown_layers_are_refused_by_name(layer: str, word: str, tmp_path: Path) -> None:
    model = KerasModel((1, 8, 8))
    model.add(layer, function=["4wEAAAAAAAAA", None, None], function_type="lambda")
    with pytest.raises(InvalidFormatError, match=word):
        load_network(model.write(tmp_path / "bad.h5"))


def test_damaged_files_say_so(tmp_path: Path, keras_file: Path) -> None:
    cut = tmp_path / "cut.h5"
    cut.write_bytes(keras_file.read_bytes()[:3000])
    with pytest.raises(WeightsCorruptError, match="damaged"):
        load_network(cut)
    with pytest.raises(MissingFileError):
        load_network(tmp_path / "none.h5")


def test_weights_that_lie_in_another_file_are_refused(tmp_path: Path) -> None:
    """HDF5 can point to bytes of any file on the disk."""
    import h5py

    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4 * 9))
    model = KerasModel((1, 8, 8))
    model.conv(1, 1, name="c")
    path = model.write(tmp_path / "outside.h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/c/c/kernel:0"]
        file["model_weights/c"].create_dataset("c/kernel:0", (3, 3, 1, 1), "f4", external=[(str(secret), 0, 36)])
    with pytest.raises(WeightsCorruptError):
        load_network(path)


def test_tensors_are_forgotten_after_their_last_use(tmp_path: Path) -> None:
    """Twenty convolutions in a row never keep more than two feature maps."""
    model = KerasModel((1, 16, 16))
    for _ in range(20):
        model.conv(1, 1)
    network = load_network(model.write(tmp_path / "long.h5"))
    network(torch.zeros(3, 1, 16, 16))
    assert network.live_bytes <= 2 * 16 * 16 * 4


def test_size_of_the_published_file_is_read(tmp_path: Path) -> None:
    assert load_network(write_unet(tmp_path / "u.h5", (64, 32), widths=(2, 3, 4))).fixed_size == (64, 32)
    assert load_network(write_unet(tmp_path / "v.h5", widths=(2, 3, 4))).reduction == (4, 4)


def _relinked(path: Path, change: object) -> Path:
    import h5py

    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        name = next(n for n in group if len(group[n].attrs["weight_names"]))
        weight = np.bytes_(group[name].attrs["weight_names"][0]).decode()
        change(h5py, file, group[name], weight)
    return path


def _external(h5py: object, file: object, group: object, weight: str) -> None:
    values = np.array(group[weight])
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["x"] = values
    del group[weight]
    group[weight] = h5py.ExternalLink("other.h5", "/x")


def _soft(h5py: object, file: object, group: object, weight: str) -> None:
    file["elsewhere"] = np.array(group[weight])
    del group[weight]
    group[weight] = h5py.SoftLink("/elsewhere")


def _empty(h5py: object, file: object, group: object, weight: str) -> None:
    del group[weight]
    group.create_dataset(weight, shape=(10**7, 10**5), dtype="f4", chunks=(1, 1000))


def _complex(h5py: object, file: object, group: object, weight: str) -> None:
    values = np.array(group[weight])
    del group[weight]
    group.create_dataset(weight, data=values.astype(np.complex64))


@pytest.mark.parametrize("change", [_external, _soft, _empty, _complex])
def test_weights_lie_in_the_file_itself(change: object, tmp_path: Path) -> None:
    """No links, which may lead into another file; no dataset larger than the file; no numbers that are none."""
    with pytest.raises(WeightsCorruptError) as caught:
        load_network(_relinked(write_unet(tmp_path / "unet.h5"), change))
    assert caught.value.hint


def _spoilt(path: Path, change: object) -> Path:
    import h5py

    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"])
        file.attrs["model_config"] = json.dumps(config)
    return path


def _first(config: dict, kind: str) -> dict:
    return next(layer["config"] for layer in config["layers"] if layer["class_name"] == kind)


@pytest.mark.parametrize("change", [
    lambda c: c.update(layers=5), lambda c: c["layers"].pop(1), lambda c: c["layers"][1].update(config=None),
    lambda c: c["layers"][1].update(inbound_nodes=[[["input_1", 0]]]), lambda c: c.update(output_layers=[["x", 0, 0]]),
    lambda c: c["layers"][1]["config"].update(filters="x", strides=None), lambda c: c.update(input_layers=None),
    lambda c: c["layers"][0]["config"].update(batch_input_shape=[None, "a", None, None]),
    lambda c: c["layers"][0]["config"].update(batch_input_shape=[None, 1, 10**9, 10**9]),
    lambda c: _first(c, "MaxPooling2D").update(pool_size=[3, 3], strides=[3, 3]),
    lambda c: _first(c, "Conv2DTranspose").update(strides=[10**6, 2]),
    lambda c: _first(c, "Conv2DTranspose").update(strides=[-1, 2]),
    lambda c: _first(c, "Conv2D").update(dilation_rate=[0, 1]),
])
def test_architectures_that_do_not_fit_are_told_in_a_sentence(change: object, tmp_path: Path) -> None:
    with pytest.raises((WeightsCorruptError, InvalidFormatError)) as caught:
        load_network(_spoilt(write_unet(tmp_path / "unet.h5"), change))
    assert caught.value.message.endswith(".")
    assert caught.value.hint
