"""The network as its publication describes it, in plain torch modules, and checkpoints in the published layout.

What the tests and benchmarks train, save and compare with. Every tensor is named as in the published files.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as f
from torch import nn

PUBLISHED = {"latent_size": 512, "conv_hidden_dims": [512] * 5, "conv_deep_image_size": 2, "sdf_latent_size": 128,
             "sdf_hidden_dims": [512] * 3}


def configuration(**changes: object) -> dict:
    """A ``model_params_config.json`` with the published fit settings; networks are small unless told otherwise."""
    return {
        "model_type": "triplanar", "latent_size": 32, "conv_hidden_dims": [32] * 4, "conv_deep_image_size": 2,
        "conv_norm": True, "conv_norm_type": "layer", "conv_start_with_mlp": True, "sdf_latent_size": 24,
        "sdf_hidden_dims": [64, 64], "sum_conv_output_features": True, "conv_pred_sdf": False, "weight_norm": True,
        "activation": "relu", "final_activation": "tanh", "objects_per_decoder": 2, "latent_init_std": 0.01,
        "lr_recon": 0.005, "lr_update_factor_recon": 1.1, "n_lr_updates_recon": 100, "num_iterations_recon": 2000,
        "convergence_patience_recon": 50, "n_samples_latent_recon": 20000, "clamp_dist_recon": 0.1,
        "l2reg_recon": False, **changes,
    }


class PlaneNetwork(nn.Module):
    """Latents (b, L) to feature planes (b, channels, rows, columns)."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        size, hidden = config["conv_deep_image_size"], config["conv_hidden_dims"]
        self.size = size
        channels = config["latent_size"] // size**2
        if config["conv_start_with_mlp"]:
            self.fc = nn.Linear(config["latent_size"], hidden[0] * size**2)
            channels = hidden[0]
        layers: list[nn.Module] = []
        for width in hidden:
            layers.append(nn.ConvTranspose2d(channels, width, 3, stride=2, padding=1, output_padding=1))
            channels, size = width, size * 2
            if config["conv_norm"]:
                norm = config["conv_norm_type"]
                layers.append(nn.LayerNorm([width, size, size]) if norm == "layer" else nn.BatchNorm2d(width))
            if config.get("leaky"):
                layers.append(nn.LeakyReLU())
        features = config["sdf_latent_size"] * (3 if config["sum_conv_output_features"] else 1)
        layers.append(nn.Sequential(nn.Conv2d(channels, features, 3, padding=1), nn.Tanh()))
        self.layers = nn.ModuleList(layers)
        self.decoder = nn.Sequential(*layers)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        images = self.fc(latents) if hasattr(self, "fc") else latents
        return self.decoder(images.reshape(len(latents), -1, self.size, self.size))


class DistanceNetwork(nn.Module):
    """[features, xyz] to one distance a surface."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        widths = [config["sdf_latent_size"] + 3, *config["sdf_hidden_dims"], config["objects_per_decoder"]]
        self.layers = nn.ModuleList()
        for inside, outside in pairwise(widths):
            layer = nn.Linear(inside, outside)
            self.layers.append(_weight_normalised(layer) if config["weight_norm"] else layer)
        self.sine = config["activation"] == "sin"

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            values = torch.sin(30 * layer(values)) if self.sine else torch.relu(layer(values))
        return torch.tanh(self.layers[-1](values))


class Network(nn.Module):
    """Latents (b, L) and points (b, n, 3) to distances (b, n, surfaces)."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        self.config = config
        self.vae_decoder = PlaneNetwork(config)
        self.sdf_decoder = DistanceNetwork(config)

    def forward(self, latents: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        planes = self.vae_decoder(latents)
        place = (points / (1 + 0.1 + 10e-6)).clamp(-1, 1)
        width = self.config["sdf_latent_size"]  # of a plane's slice; where planes are not added, there is one slice
        features = []
        for number, axes in enumerate(((0, 2), (1, 2), (0, 1))):
            plane = planes[:, number * width:(number + 1) * width]
            read = f.grid_sample(plane, place[:, :, None, axes], padding_mode="border", align_corners=True)
            features.append(read[..., 0].transpose(1, 2))
        joined = sum(features) if self.config["sum_conv_output_features"] else torch.cat(features, dim=2)
        return self.sdf_decoder(torch.cat([joined, points], dim=2))

    def save(self, folder: Path, epoch: int = 2000) -> Path:
        """Write the two files of a published folder."""
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "model_params_config.json").write_text(json.dumps(self.config), encoding="utf-8")
        state = {name: tensor.detach().clone().contiguous() for name, tensor in self.state_dict().items()
                 if not name.endswith("num_batches_tracked")}
        for name in list(state):  # one copy of what has two names
            twin = name.replace("vae_decoder.decoder.", "vae_decoder.layers.")
            state[name] = state[twin]
        torch.save({"epoch": epoch, "model": state}, folder / "model" / f"{epoch}.pth")
        return folder


def random_network(seed: int = 0, **changes: object) -> Network:
    """A network with random weights; its normalisations are not the identity."""
    torch.manual_seed(seed)
    network = Network(configuration(**changes)).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "running_var" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.ndim in (1, 3) and tensor.is_floating_point() and "weight_g" not in name:
                tensor.add_(0.05 * torch.randn_like(tensor))
    return network


class Adam:
    """Adam (Kingma and Ba, ICLR 2015); torch's own first imports its compiler, which takes
    longer than training a small network."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self.tensors, self.count = tensors, 0
        self.first = [torch.zeros_like(t) for t in tensors]
        self.second = [torch.zeros_like(t) for t in tensors]

    @torch.no_grad()
    def step(self, loss: torch.Tensor, rate: float) -> None:
        """One step down the gradient of a loss."""
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss, self.tensors)
        self.count += 1
        for tensor, gradient, first, second in zip(self.tensors, gradients, self.first, self.second, strict=True):
            first.mul_(0.9).add_(gradient, alpha=0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            spread = (second / (1 - 0.999**self.count)).sqrt_().add_(1e-8)
            tensor.addcdiv_(first, spread, value=-rate / (1 - 0.9**self.count))


def _weight_normalised(layer: nn.Linear) -> nn.Module:
    import warnings

    with warnings.catch_warnings():  # the published names are those of the older function
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer)
