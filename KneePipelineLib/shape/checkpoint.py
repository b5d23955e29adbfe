"""Reading a published shape model: ``model_params_config.json`` and ``model/<epoch>.pth``.

The state dict names every tensor of the plane network twice (``vae_decoder.layers.N`` and ``vae_decoder.decoder.N``);
either spelling is enough. Nothing but tensors is unpickled (``weights_only``), so a downloaded file cannot run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ShapeModelError, WeightsCorruptError
from ..weights.torch_files import are_plain_tensors, read_torch_file
from .decoder import Decoder, PlaneBlock

if TYPE_CHECKING:
    import torch

CONFIG_FILE = "model_params_config.json"
MAX_LATENT = 2**16
MAX_PLANE_BYTES = 2**29
"""Of the planes in any layer of the plane network, each of which doubles their sides: four times 512 of 256 x 256."""
_MEND = "Download or import the shape model again."


@dataclass(frozen=True)
class ShapeModel:
    """A network with the settings it was made with.

    Attributes
    ----------
    config : dict
        The published configuration; the ``*_recon`` entries say how latents are fitted.
    decoder : Decoder
        On the CPU, float32.
    """

    config: dict
    decoder: Decoder


def load_model(folder: Path | str, state_file: Path | str | None = None) -> ShapeModel:
    """Load a shape model.

    Parameters
    ----------
    folder : path-like
        The model's folder, or its ``model_params_config.json``.
    state_file : path-like, optional
        The weights; by default the latest epoch in ``model/``.

    Raises
    ------
    WeightsCorruptError
        If a file is missing, unreadable or holds something else.
    ShapeModelError
        If the network is of a kind that is not known here.
    """
    folder = Path(folder)
    config_file = folder if folder.suffix == ".json" else folder / CONFIG_FILE
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsCorruptError("The configuration of the shape model cannot be read.", _MEND) from error
    state = _read_state(Path(state_file) if state_file else _latest(config_file.parent / "model"))
    return ShapeModel(config, build_decoder(config, state))


def _latest(folder: Path) -> Path:
    epochs = [path for path in folder.glob("*.pth") if path.stem.isdecimal()]
    if not epochs:
        raise WeightsCorruptError("The folder of the shape model holds no weights (model/<epoch>.pth).", _MEND)
    return max(epochs, key=lambda path: int(path.stem))


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise WeightsCorruptError("The weights of the shape model are not there.", _MEND)
    content = read_torch_file(path, "The file with the shape model's weights")
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not are_plain_tensors(state.items()):
        raise WeightsCorruptError("The file with the shape model's weights holds something else.", _MEND)
    return dict(state)


def build_decoder(config: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> Decoder:
    """The network that a configuration and a state dict describe, in float32 on the CPU.

    Raises
    ------
    ShapeModelError, WeightsCorruptError
        As `load_model`.
    """
    kind = config.get("model_type", "triplanar")
    if kind != "triplanar" or config.get("conv_pred_sdf") or config.get("variational"):
        raise ShapeModelError("This shape model is of a kind that is not supported (only deterministic three-plane "
                              "models that predict distances from planes and points are).",
                              "Use one of the published models: python3 -m KneePipelineLib models list")
    final = config.get("final_activation", "tanh")
    activation = config.get("activation", "relu")
    if final != "tanh" or activation not in ("relu", "sin"):
        raise ShapeModelError("The activations of this shape model are not known here.",
                              "Use one of the published models: python3 -m KneePipelineLib models list")
    try:
        decoder = _assembled(config, state, activation)
        _check(decoder)
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        raise WeightsCorruptError("The weights of the shape model do not fit its configuration.", _MEND) from error
    return decoder


def _assembled(config: Mapping[str, Any], state: Mapping[str, torch.Tensor], activation: str) -> Decoder:
    latent_size, size = int(config["latent_size"]), int(config.get("conv_deep_image_size", 2))
    if not (1 <= latent_size <= MAX_LATENT and 1 <= size <= MAX_LATENT):
        raise ValueError("an impossible size")
    norm = str(config.get("conv_norm_type", "batch")) if config.get("conv_norm") else ""
    *blocks, last = _plane_blocks(_plane_layers(state), norm)
    _check_growth(size, [block.weight for block in blocks], last.weight)
    start = None
    if config.get("conv_start_with_mlp", True):
        start = (_value(state, "vae_decoder.fc.weight"), _value(state, "vae_decoder.fc.bias"))
    length = latent_size if start is None else len(start[1])
    linear = _linear_layers(state)
    return Decoder(
        latent_size=latent_size, n_objects=len(linear[-1][1]), start=start,
        start_shape=(length // size**2, size, size), blocks=tuple(blocks), planes_out=(last.weight, last.bias),
        linear=linear, summed=bool(config.get("sum_conv_output_features", True)), activation=activation)


def _check_growth(side: int, doubling: list[torch.Tensor], last: torch.Tensor) -> None:
    """Raises where planes that begin with this side would outgrow every model: a layer costs a file next to nothing."""
    for number, weight in enumerate([*doubling, last], start=1):
        grown = side * 2 ** min(number, len(doubling))
        if 4 * grown**2 * max(weight.shape[:2]) > MAX_PLANE_BYTES:
            raise ValueError("planes without end")


@dataclass(frozen=True)
class _Layer:
    """An entry of the plane network's list: its number, its tensors, and whether a module without any follows it."""

    number: int
    tensors: dict[str, torch.Tensor]
    followed: bool


def _plane_layers(state: Mapping[str, torch.Tensor]) -> list[_Layer]:
    """Entries of the plane network that have tensors, in order, whichever way they are spelled.

    LeakyReLU and tanh have no tensors but take a number in a list of modules: an entry is followed by one where the
    numbering jumps, or where it is itself a list of two (``6.0.weight``). Published checkpoints with layer
    normalisation number their entries without a jump, and the distances computed for them by the original software
    are indeed those of a network without LeakyReLU.
    """
    for spelling in ("layers", "decoder"):
        entries: dict[int, dict[str, torch.Tensor]] = {}
        nested: set[int] = set()
        for name in state:
            found = re.fullmatch(rf"vae_decoder\.{spelling}\.(\d+)\.(\d+\.)?(\w+)", name)
            if found:
                entries.setdefault(int(found[1]), {})[found[3]] = _value(state, name)
                nested |= {int(found[1])} if found[2] else set()
        if entries:
            last = max(entries)
            return [_Layer(number, entries[number], number in nested or (number < last and number + 1 not in entries))
                    for number in sorted(entries)]
    raise KeyError("vae_decoder")


def _plane_blocks(layers: list[_Layer], norm: str) -> list[PlaneBlock]:
    blocks: list[PlaneBlock] = []
    for layer in layers:
        tensors = layer.tensors
        if tensors["weight"].ndim == 4:
            blocks.append(PlaneBlock(tensors["weight"], tensors["bias"], activated=layer.followed))
        else:
            kind = "batch" if "running_mean" in tensors else "layer"
            if kind != norm or blocks[-1].norm:
                raise ValueError("a normalisation that the configuration does not speak of")
            blocks[-1] = PlaneBlock(blocks[-1].weight, blocks[-1].bias, kind, tensors, layer.followed)
    if any((not b.norm) != (not norm) for b in blocks[:-1]) or blocks[-1].norm:
        raise ValueError("a normalisation is missing")
    return blocks


def _linear_layers(state: Mapping[str, torch.Tensor]) -> tuple:
    """(weight, bias) of each layer; a weight in two parts is v * g / |v|, |v| over each row."""
    indices = sorted({int(name.split(".")[2]) for name in state if name.startswith("sdf_decoder.layers.")})
    layers = []
    for index in indices:
        start = f"sdf_decoder.layers.{index}."
        if start + "weight" in state:
            weight = _value(state, start + "weight")
        else:
            # torch's own newer spelling of the same parts is parametrizations.weight.original0 and original1.
            new = start + "parametrizations.weight.original"
            g, v = ((start + "weight_g", start + "weight_v") if start + "weight_v" in state else (new + "0", new + "1"))
            v_value = _value(state, v)
            weight = v_value * (_value(state, g) / v_value.norm(dim=1, keepdim=True))
        layers.append((weight.contiguous(), _value(state, start + "bias")))
    if not layers:
        raise KeyError("sdf_decoder")
    return tuple(layers)


def _value(state: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    import torch

    value = state[name].detach().to(torch.float32).contiguous()
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name} is not finite")
    return value


def _check(decoder: Decoder) -> None:
    """One point through the network: raises where shapes do not fit."""
    import torch

    channels, inputs = len(decoder.planes_out[0]), decoder.linear[0][0].shape[1]
    if channels != (inputs - 3) * len(decoder.plane_axes):
        raise ValueError("channels of the planes that do not make up the features")

    distances = decoder(torch.zeros(decoder.latent_size), torch.zeros(1, 3))
    if distances.shape != (1, decoder.n_objects):
        raise ValueError("unexpected output")
