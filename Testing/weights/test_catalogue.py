"""The shipped catalogue against its schema and against what the design promises."""

from __future__ import annotations

import copy
import json

import pytest

from KneePipelineLib import weights
from KneePipelineLib.errors import ConfigError
from KneePipelineLib.imaging.labels import BY_NAME
from KneePipelineLib.weights import entries


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(entries.CATALOGUE_FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(entries.SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_catalogue_obeys_its_schema(document, validator):
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize("spoil", [
    lambda model: model.pop("licence"),
    lambda model: model.update(size_bytes=-1),
    lambda model: model.update(revision="main"),
    lambda model: model.update(page="http://huggingface.co/x"),
    lambda model: model.update(colour="red"),
    lambda model: model["files"].append({"path": "../x", "size_bytes": 1, "sha256": None}),
    lambda model: model["files"].append({"path": "x", "size_bytes": 1, "sha256": "abc"}),
    lambda model: model["structures"].append("left ear"),
    lambda model: model["source"].pop("repo"),
    lambda model: model.update(kind="planar"),
    lambda model: model.update(kind="shape"),
])
def test_the_schema_notices(document, validator, spoil):
    spoilt = copy.deepcopy(document)
    spoil(next(model for model in spoilt["models"] if model["name"] == "nnunet_cascade"))
    assert list(validator.iter_errors(spoilt)) != []


def test_the_names_a_person_meets():
    assert list(weights.catalogue()) == [
        "bundled", "nnunet_fullres", "nnunet_cascade", "dosma_ananya", "goyal_sagittal", "goyal_coronal",
        "goyal_axial", "staple", "shape_647", "shape_551", "bscore_647", "bscore_551"]
    assert weights.entry("acl_qdess_bone_july_2024").name == "dosma_ananya"
    assert weights.entry("dosma_ananya").files[0].path == "Goyal_Bone_Cart_July_2024_best_model.h5"


def test_structures_are_those_of_the_label_table():
    assert {name for model in weights.catalogue().values() for name in model.structures} <= set(BY_NAME)


def test_pairs_are_mutual_and_the_published_ones():
    models = weights.catalogue()
    for model in models.values():
        assert model.pair is None or models[model.pair].pair == model.name
    folders = {model.folder: models[model.pair].folder for model in models.values() if model.kind == "shape"}
    assert folders == {"647_nsm_femur_v0.0.1": "NSM_Orig_BScore_Bone_Cartilage_April_17_2025",
                       "551_nsm_femur_bone_v0.0.1": "NSM_Orig_BScore_Bone_Only_April_18_2025"}


def test_nothing_of_others_is_shipped_or_fetched_without_terms():
    for model in weights.catalogue().values():
        assert model.source.type in ("package", "hub", "import", "virtual")
        if model.source.type == "package":
            assert model.licence == "Apache-2.0"
        if model.source.type == "hub":
            assert model.needs_acceptance
            assert model.page == f"https://huggingface.co/{model.source.repo}"
        if model.kind == "bscore":
            assert model.source.type == "import"
            assert model.needs == (model.pair,)
    assert all(weights.entry(name).gated and weights.entry(name).restricted for name in ("shape_647", "shape_551"))


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}', '{"models": [{"name": "x"}]}'])
def test_a_damaged_catalogue_is_one_sentence(tmp_path, content):
    path = tmp_path / "catalogue.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        entries.read_catalogue(path)


@pytest.mark.parametrize("spoil", [
    lambda models: models.append(models[0]),
    lambda models: models[1].update(aliases=["goyal_axial"]),
    lambda models: models[7]["needs"].append("nobody"),
])
def test_a_catalogue_that_contradicts_itself(tmp_path, document, spoil):
    spoilt = copy.deepcopy(document)
    spoil(spoilt["models"])
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps(spoilt))
    with pytest.raises(ConfigError, match="contradicts itself"):
        entries.read_catalogue(path)
