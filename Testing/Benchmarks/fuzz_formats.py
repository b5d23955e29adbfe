"""Good inputs of every format, how each is spoilt, and the product's own readers that then meet it."""

from __future__ import annotations

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from Testing.Benchmarks import fuzz_mutations as spoil

Read = Callable[[Path], object]
Spoil = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Case:
    """One good input.

    Attributes
    ----------
    format : str
        Its row in the table.
    name : str
        Its folder among the good inputs.
    make : callable
        Writes it into an empty folder.
    files : str
        Pattern of the files, of which one or several are spoilt.
    spoil : callable
        (generator, bytes) -> bytes.
    read : callable
        Hands the folder to the product's readers.
    """

    format: str
    name: str
    make: Callable[[Path], object]
    files: str
    spoil: Spoil
    read: Read


def cases() -> list[Case]:
    """All good inputs; those of one format take turns."""
    found = [Case("NIfTI", name, _volume(name), name, _header(352), _read_image)
             for name in ("a.nii", "a.nii.gz", "float.nii")]
    found += [Case("NRRD", name, _volume(name), name, _lines(400), _read_image)
              for name in ("a.nrrd", "raw.nrrd", "a.nhdr", "a.seg.nrrd")]
    found += [Case("MetaImage", name, _volume(name), name, _lines(400), _read_image)
              for name in ("a.mha", "raw.mha", "a.mhd")]
    found += [Case("DICOM", "series", _series, "*.dcm", _anywhere, _read_series),
              Case("DICOM", "enhanced", _enhanced, "*.dcm", _anywhere, _read_echoes)]
    found += [Case("zip", "series.zip", _zipped, "*.zip", spoil.some_members, _read_zip),
              Case("zip", "model.zip", _zipped_model, "*.zip", spoil.some_members, _import_model)]
    found += [Case("plans.json", "plans", _model, "*__3d_fullres/plans.json", _json, _predict),
              Case("dataset.json", "dataset", _model, "*__3d_fullres/dataset.json", _json, _predict),
              Case(".pth", "nnunet.pth", _model, "*/fold_0/*.pth", spoil.some_checkpoint, _predict),
              Case(".pth", "shape.pth", _shape_model, "model/*.pth", spoil.some_checkpoint, _read_shape)]
    found += [Case("HDF5 planar", "bytes.h5", _planar, "*.h5", _anywhere, _predict_planar),
              Case("HDF5 planar", "config.h5", _planar, "*.h5", _keras_config, _predict_planar)]
    found += [Case("tables", "shape.json", _shape_model, "model_params_config.json", _json, _read_shape),
              Case("tables", "scheme.json", _tables, "scheme.json", _json, _read_tables),
              Case("tables", "bscore.json", _tables, "model.json", _json, _read_tables),
              Case("tables", "config.json", _tables, "config.json", _json, _read_tables)]
    return found


def spoil_input(case: Case, folder: Path, rng: random.Random, outside: Path) -> None:
    """Spoil one or several files of a good input in place."""
    files = sorted(folder.glob(case.files))
    for path in rng.sample(files, rng.choice((1, 1, 1, min(2, len(files))))):
        data = case.spoil(rng, path.read_bytes())
        path.write_bytes(spoil.point_outside(data, outside) if case.format != "HDF5 planar" else data)


# --- how ------------------------------------------------------------------------------------------------------------

def _header(size: int) -> Spoil:
    return lambda rng, data: spoil.some_bytes(rng, data, size)


def _anywhere(rng: random.Random, data: bytes) -> bytes:
    return spoil.some_bytes(rng, data, rng.choice((200, 2000, 10**9)))


def _lines(size: int) -> Spoil:
    def spoilt(rng: random.Random, data: bytes) -> bytes:
        return spoil.some_bytes(rng, data, size) if rng.random() < 0.4 else spoil.some_lines(rng, data, size)
    return spoilt


def _json(rng: random.Random, data: bytes) -> bytes:
    return spoil.some_bytes(rng, data) if rng.random() < 0.15 else spoil.some_nodes(rng, data)


def _keras_config(rng: random.Random, data: bytes) -> bytes:
    """The architecture in an HDF5 file, or a dataset or link of it."""
    import io

    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        kind = rng.random()
        if kind < 0.75:
            config = _json(rng, file.attrs["model_config"].encode()).decode("utf-8", "replace")
            file.attrs["model_config"] = config.replace("\0", "0")
            return _closed(file, buffer)
        group = file["model_weights"]
        name = rng.choice([n for n in group if len(group[n].attrs["weight_names"])])
        weight = f"{name}/{np.bytes_(group[name].attrs['weight_names'][0]).decode()}"
        if kind < 0.8:
            del group[weight]
            group[weight] = h5py.ExternalLink(rng.choice(spoil.PATHS), "/x")
        elif kind < 0.85:
            del group[weight]
            group.create_dataset(weight, shape=(rng.choice((10**4, 10**9)), 10**5), dtype="f4", chunks=(1, 1000))
        elif kind < 0.9:
            del group[name]
            group[name] = rng.choice((h5py.SoftLink("/model_weights"), h5py.ExternalLink("secret.raw", "/")))
        elif kind < 0.95:
            group[name].attrs["weight_names"] = rng.choice(([b"../../x"], [b""], 5, "text", [b"/model_weights"]))
        else:
            del group[weight]
            group.create_dataset(weight, data=rng.choice(("text", np.zeros(()), np.array([1 + 1j]), np.float64("nan"))))
        return _closed(file, buffer)


def _closed(file: object, buffer: object) -> bytes:
    file.flush()
    return buffer.getvalue()


# --- good inputs ----------------------------------------------------------------------------------------------------

def _volume(name: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        import SimpleITK as sitk

        from KneePipelineLib.imaging import to_sitk, write_volume
        from Testing.imaging.makers import make_volume, oblique

        volume = make_volume(oblique(), dtype=np.float32 if name.startswith("float") else np.int16)
        if name.startswith("raw") or name.endswith(("hdr", "mhd")):
            sitk.WriteImage(to_sitk(volume), str(folder / name), useCompression=False)
        elif name.endswith(".seg.nrrd"):
            labels = volume.with_array((volume.array % 3).astype(np.uint8))
            path = write_volume(labels, folder / name)
            data = path.read_bytes()
            fields = b"".join(b"Segment%d_%s:=%s\n" % (n, key, value) for n, bone in enumerate((b"femur", b"tibia")) for
                              key, value in ((b"ID", b"S%d" % n), (b"Name", bone), (b"LabelValue", b"%d" % (n + 1)),
                                             (b"Layer", b"0"), (b"Extent", b"0 6 0 5 0 4"), (b"Tags", b"|")))
            path.write_bytes(data.replace(b"\n\n", b"\n" + fields + b"\n", 1))
        else:
            write_volume(volume, folder / name)
        (folder / "link.raw").symlink_to("../../outside/secret.raw")
    return make


def _series(folder: Path) -> None:
    from Testing.imaging.makers import make_volume, oblique, write_series

    write_series(folder, make_volume(oblique()))


def _enhanced(folder: Path) -> None:
    from Testing.imaging.makers import make_volume, oblique, write_enhanced

    volume = make_volume(oblique())
    write_enhanced(folder / "e.dcm", [volume, volume], [1.0, 2.0])


def _zipped(folder: Path) -> None:
    _series(folder / "s")
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "s").iterdir()):
            archive.write(path, f"series/{path.name}")
    shutil.rmtree(folder / "s")


def _model(folder: Path) -> None:
    """A tiny nnU-Net results folder with random weights."""
    import torch

    from KneePipelineLib.segmentation.nnunet.folder import ResultsFolder
    from KneePipelineLib.segmentation.nnunet.network import build_network
    from KneePipelineLib.segmentation.nnunet.predict import managers
    from KneePipelineLib.segmentation.nnunet.quiet import quiet
    from Testing.segmentation.tiny_nnunet import dataset_json, plans_json

    plans, dataset = plans_json("plain", patch=(4, 8, 8)), dataset_json()
    plans["configurations"] = {"3d_fullres": plans["configurations"]["3d_fullres"]}
    arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    arguments.update(n_stages=2, features_per_stage=[4, 4], kernel_sizes=[[1, 3, 3], [3, 3, 3]],
                     strides=[[1, 1, 1], [1, 2, 2]], n_conv_per_stage=[1, 1], n_conv_per_stage_decoder=[1])
    described = ResultsFolder(folder, "3d_fullres", plans, dataset, (), {}, "PIR")
    with quiet():
        plans_manager, configuration, _ = managers(described)
    network = build_network(plans_manager, configuration, dataset)
    torch.manual_seed(0)
    weights = {name: torch.randn(t.shape) * 0.1 for name, t in network.state_dict().items()}
    path = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (path / "fold_0").mkdir(parents=True)
    (path / "plans.json").write_text(json.dumps(plans))
    (path / "dataset.json").write_text(json.dumps(dataset))
    torch.save({"network_weights": weights, "trainer_name": "nnUNetTrainer", "logging": {"loss": [np.float64(1)]},
                "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cuda")},
                "inference_allowed_mirroring_axes": (0, 1, 2), "_best_ema": np.float64(0.5)},
               path / "fold_0" / "checkpoint_final.pth")


def _zipped_model(folder: Path) -> None:
    _model(folder / "m")
    with zipfile.ZipFile(folder / "m.zip", "w") as archive:
        for path in sorted((folder / "m").rglob("*")):
            archive.write(path, str(path.relative_to(folder / "m")))
    shutil.rmtree(folder / "m")


def _shape_model(folder: Path) -> None:
    from Testing.shape.published_network import random_network

    random_network(1, latent_size=16, conv_hidden_dims=[8] * 2, sdf_latent_size=12, sdf_hidden_dims=[16]).save(folder)


def _planar(folder: Path) -> None:
    from Testing.segmentation.tiny_keras import write_unet

    write_unet(folder / "unet.h5", widths=(2, 2))


def _tables(folder: Path) -> None:
    from KneePipelineLib.job import JobOptions

    (folder / "scheme.json").write_text(json.dumps({"1": "femur", "2": "tibia", "3": 4, "4": 0}))
    (folder / "model.json").write_text(json.dumps({"bscore_vector": [0.1, 0.2], "mean_healthy": 0.5,
                                                   "std_healthy": 1.5}))
    (folder / "config.json").write_text(json.dumps(JobOptions(input="x", output="y").to_dict()))


# --- the product's readers -------------------------------------------------------------------------------------------

def _all(*readers: Callable[[], object]) -> None:
    """Every reader in turn; the first refusal is the outcome, but only once all have been asked."""
    from KneePipelineLib.errors import KneePipelineError

    refused = None
    for read in readers:
        try:
            read()
        except KneePipelineError as error:
            refused = refused or error
    if refused is not None:
        raise refused


def _read_image(folder: Path) -> None:
    from KneePipelineLib.imaging import read_image, read_labels

    path = next(p for p in sorted(folder.iterdir()) if p.name not in ("link.raw", "a.raw"))
    _all(lambda: read_image(path), lambda: read_labels(path))


def _read_series(folder: Path) -> None:
    from KneePipelineLib.imaging import dicom_facts, list_series, read_image

    _all(lambda: list_series(folder), lambda: read_image(folder), lambda: dicom_facts(folder))


def _read_echoes(folder: Path) -> None:
    from KneePipelineLib.imaging import dicom_facts, list_series, read_echoes, read_image

    _all(lambda: list_series(folder), lambda: read_image(folder, echo=1), lambda: read_echoes(folder),
         lambda: dicom_facts(folder))


def _read_zip(folder: Path) -> None:
    from KneePipelineLib.imaging import read_image

    read_image(folder / "a.zip")


def _import_model(folder: Path) -> None:
    from KneePipelineLib.weights import import_from

    os.environ["KNEEPIPELINE_HOME"] = str(folder / "home")
    import_from(folder / "m.zip", "nnunet_fullres", accept_licence=True)


def _knee() -> object:
    from KneePipelineLib.imaging import Volume

    image = np.random.default_rng(0).normal(100, 10, (6, 16, 16)).astype(np.float32)
    return Volume(image, (1.0, 1.0, 2.0), direction=[[0, 0, -1], [1, 0, 0], [0, -1, 0]])


def _predict(folder: Path) -> None:
    import torch

    from KneePipelineLib.segmentation.nnunet import predict_fullres

    predict_fullres(_knee(), folder, device=torch.device("cpu"))


def _predict_planar(folder: Path) -> None:
    import torch

    from KneePipelineLib.segmentation.planar.predict import predict_planar

    predict_planar(_knee(), folder / "unet.h5", "sagittal", device=torch.device("cpu"))


def _read_shape(folder: Path) -> None:
    from KneePipelineLib.shape.checkpoint import load_model

    load_model(folder)


def _read_tables(folder: Path) -> None:
    from KneePipelineLib.job import JobOptions, read_config
    from KneePipelineLib.morphometry.schemes import read_scheme
    from KneePipelineLib.weights.layouts import bscore_parameters, json_object

    _all(lambda: read_scheme(folder / "scheme.json"),
         lambda: bscore_parameters(json_object((folder / "model.json").read_bytes(), "model.json")),
         lambda: JobOptions.from_dict(read_config(folder / "config.json")))
