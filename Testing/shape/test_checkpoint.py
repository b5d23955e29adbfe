"""Published checkpoints of every kind, read and evaluated like the plain network; damaged ones refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from published_network import Network, random_network

from KneePipelineLib.errors import ShapeModelError, WeightsCorruptError
from KneePipelineLib.shape import load_model
from KneePipelineLib.shape.checkpoint import build_decoder

KINDS = {
    "as published": {},
    "batch normalisation": {"conv_norm_type": "batch"},
    "no normalisation": {"conv_norm": False},
    "activated": {"leaky": True},
    "activated, batch normalisation": {"leaky": True, "conv_norm_type": "batch"},
    "activated, no normalisation": {"leaky": True, "conv_norm": False},
    "latent reshaped": {"conv_start_with_mlp": False},
    "planes side by side": {"sum_conv_output_features": False},
    "planes side by side, batch normalisation, sine": {"sum_conv_output_features": False, "conv_norm_type": "batch",
                                                       "activation": "sin", "weight_norm": False},
    "planes side by side, features not divisible by three": {"sum_conv_output_features": False, "sdf_latent_size": 20},
    "plain weights, sine": {"weight_norm": False, "activation": "sin"},
    "bone only": {"objects_per_decoder": 1},
}


def points(count: int = 400) -> torch.Tensor:
    """Points in and around the planes, corners and borders among them."""
    generator = torch.Generator().manual_seed(3)
    edges = torch.tensor([[-1.1, 1.1, 0], [1.1, 1.1, 1.1], [-2, 2, 0.3], [0, 0, 0], [1.10001, -1.10001, 1]])
    return torch.cat([torch.rand(count, 3, generator=generator) * 2.6 - 1.3, edges])


def expected(network: Network, latent: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(latent[None], where[None])[0]


def test_agrees_with_the_original_software(shared: Path) -> None:
    folder = shared / "reference" / "nsm_small_layernorm"
    decoder = load_model(folder).decoder
    with np.load(folder / "expected_sdf.npz") as reference:
        for latent, wanted in zip(reference["latents"], reference["sdf"], strict=True):
            found = decoder(torch.as_tensor(latent), torch.as_tensor(reference["xyz"])).numpy()
            assert np.abs(found - wanted).max() <= 1e-5


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS.keys())
def test_every_kind_computes_what_the_plain_network_does(changes: dict, tmp_path: Path) -> None:
    network = random_network(1, **changes)
    # In double precision: two sines of 30 x make much of the last digit of single precision.
    decoder = load_model(network.save(tmp_path)).decoder.to("cpu", torch.float64)
    latent = 0.5 * torch.randn(32, generator=torch.Generator().manual_seed(2)).double()
    wanted = expected(network.double(), latent, points().double())
    assert wanted.std() > 1e-3
    assert torch.allclose(decoder(latent, points().double()), wanted, atol=1e-6)


@pytest.mark.parametrize("spelling", ["layers", "decoder"])
def test_either_spelling_is_enough(spelling: str) -> None:
    network = random_network(4)
    state = {name: value for name, value in network.state_dict().items()
             if not name.startswith("vae_decoder.") or f".{spelling}." in name or ".fc." in name}
    latent = torch.full((32,), 0.1)
    found = build_decoder(network.config, state)(latent, points())
    assert torch.allclose(found, expected(network, latent, points()), atol=1e-6)


def test_the_gradient_is_that_of_the_plain_network() -> None:
    for summed in (True, False):
        network = random_network(5, sum_conv_output_features=summed)
        decoder = build_decoder(network.config, network.state_dict())
        gradients = []
        for evaluate in (lambda latent, n=network: n(latent[None], points()[None])[0],
                         lambda latent, d=decoder: d.distances(d.table(latent), d.sampling(points())),
                         lambda latent, d=decoder: d.distances(d.table(latent), d.with_reverse(d.sampling(points())))):
            latent = torch.full((32,), 0.2, requires_grad=True)
            evaluate(latent).square().sum().backward()
            gradients.append(latent.grad)
        assert gradients[0].norm() > 1e-3
        for gradient in gradients[1:]:
            assert torch.allclose(gradient, gradients[0], rtol=1e-4, atol=1e-5)


def test_the_latest_epoch_is_taken(tmp_path: Path) -> None:
    random_network(1).save(tmp_path, epoch=900)
    newer = random_network(2)
    newer.save(tmp_path, epoch=1150)
    found = load_model(tmp_path).decoder(torch.zeros(32), points())
    assert torch.allclose(found, expected(newer, torch.zeros(32), points()), atol=1e-6)


def test_a_file_by_name(tmp_path: Path) -> None:
    older = random_network(1)
    older.save(tmp_path, epoch=900)
    random_network(2).save(tmp_path, epoch=1150)
    model = load_model(tmp_path / "model_params_config.json", tmp_path / "model" / "900.pth")
    found = model.decoder(torch.zeros(32), points())
    assert torch.allclose(found, expected(older, torch.zeros(32), points()), atol=1e-6)


class Evil:
    """Unpickled, it would make a folder."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("evil",)


def test_nothing_in_a_downloaded_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random_network(1).save(tmp_path)
    for save in (lambda path: torch.save({"model": Evil()}, path),
                 lambda path: path.write_bytes(pickle.dumps(Evil(), protocol=2))):
        save(tmp_path / "model" / "2000.pth")
        with pytest.raises(WeightsCorruptError):
            load_model(tmp_path)
    assert not (tmp_path / "evil").exists()


def _without(name: str) -> object:
    return lambda folder: _change_state(folder, lambda state: state.pop(name))


def _change_state(folder: Path, change: object) -> None:
    path = folder / "model" / "2000.pth"
    content = torch.load(path, weights_only=True)
    change(content["model"])
    torch.save(content, path)


def _change_config(folder: Path, **changes: object) -> None:
    path = folder / "model_params_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("damage", [
    lambda folder: (folder / "model" / "2000.pth").unlink(),
    lambda folder: (folder / "model" / "2000.pth").write_bytes(b"PK not a file"),
    lambda folder: (folder / "model" / "2000.pth").write_bytes((folder / "model" / "2000.pth").read_bytes()[:20_000]),
    lambda folder: (folder / "model_params_config.json").write_text("[1]"),
    lambda folder: (folder / "model_params_config.json").unlink(),
    _without("vae_decoder.fc.bias"),
    _without("sdf_decoder.layers.1.weight_g"),
    lambda folder: _change_state(folder, lambda state: state["sdf_decoder.layers.1.bias"].fill_(float("nan"))),
    lambda folder: _change_config(folder, latent_size=31),
    lambda folder: _change_config(folder, conv_norm=False),
    lambda folder: _change_config(folder, sum_conv_output_features=False),
    lambda folder: _change_config(folder, latent_size=float("inf")),
    lambda folder: _change_config(folder, latent_size=10**12), lambda folder: _change_config(folder, latent_size=None),
    lambda folder: _change_config(folder, conv_deep_image_size=0),
    lambda folder: _change_config(folder, conv_start_with_mlp=False, conv_deep_image_size=10**6),
    lambda folder: (folder / "model_params_config.json").write_text("[" * 10**5),
    lambda folder: (folder / "model" / "2000.pth").write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 1"),
], ids=range(18))
def test_damaged_models_are_refused_in_a_sentence(damage: object, tmp_path: Path) -> None:
    random_network(1).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(WeightsCorruptError) as caught:
        load_model(tmp_path)
    assert str(tmp_path) not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("changes", [{"model_type": "deepsdf"}, {"conv_pred_sdf": True}, {"variational": True},
                                     {"activation": "gelu"}, {"final_activation": "none"}])
def test_other_kinds_of_models_are_refused(changes: dict, tmp_path: Path) -> None:
    _change_config(random_network(1).save(tmp_path), **changes)
    with pytest.raises(ShapeModelError):
        load_model(tmp_path)
