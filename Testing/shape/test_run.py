"""The shape branch of a run: which model is taken, what is said when there is none, the files it leaves, the score."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from KneePipelineLib.errors import KneePipelineError, MissingFileError, WeightsCorruptError
from KneePipelineLib.job import JobOptions
from KneePipelineLib.morphometry import MorphometryOptions, prepare_knee, write_prepared
from KneePipelineLib.phantom import DigitalKnee, Grid
from KneePipelineLib.pipeline.context import StageContext
from KneePipelineLib.pipeline.keys import weights_hashes
from KneePipelineLib.pipeline.plan import missing_scores, missing_shape_models
from KneePipelineLib.pipeline.stages import scoring, shape, shape_files
from KneePipelineLib.results import RULES
from KneePipelineLib.shape import KINDS, bscore, chosen_bscore, reason_to_skip
from KneePipelineLib.weights import BScoreParameters, import_from
from KneePipelineLib.weights.failures import WrongPairError

PUBLISHED_FOLDERS = {"bone_and_cart": "647_nsm_femur_v0.0.1", "bone_only": "551_nsm_femur_bone_v0.0.1"}
SCORE_FOLDERS = {"bone_and_cart": "NSM_Orig_BScore_Bone_Cartilage_April_17_2025",
                 "bone_only": "NSM_Orig_BScore_Bone_Only_April_18_2025"}


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNEEPIPELINE_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the surfaces step leaves of a coarse digital knee."""
    folder = tmp_path_factory.mktemp("surfaces")
    labels = DigitalKnee(3, side="left").labels(Grid.isotropic(2.0))
    options = MorphometryOptions(vertices={"femur": 2000, "tibia": 2000, "patella": 1000})
    write_prepared(prepare_knee(labels, options=options), folder)
    return folder


def score_folder(folder: Path, length: int = 8, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    vector = [float(i) for i in range(length)]
    content = {"bscore_vector": vector, "mean_healthy": 1.0, "std_healthy": 2.0, **changes}
    (folder / "model.json").write_text(json.dumps(content))
    (folder / "Bscore.py").write_text("raise SystemExit('downloaded code was run')")
    return folder


@dataclass
class Branch:
    """The shape, score and writing steps, one after the other, as the orchestrator calls them."""

    prepared: Path
    folder: Path
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def context(self, step: str, options: dict, done: tuple[str, ...] = ()) -> StageContext:
        out = self.folder / step
        out.mkdir(exist_ok=True)

        def send(event: dict) -> None:
            if event["event"] == "warning":
                self.warnings.append((event["code"], event["message"]))

        folders = {"surfaces": self.prepared, **{name: self.folder / name for name in done}}
        return StageContext(step, JobOptions.from_dict({"device": "cpu", "output": str(out), **options}), out, folders,
                            send=send)

    def run(self, options: dict, score: bool = True) -> dict[str, dict]:
        """Written JSON files by name."""
        shape.fit(self.context("shape", options))
        done = ("shape", "score") if score else ("shape",)
        if score:
            scoring.score(self.context("score", options, ("shape",)))
        context = self.context("files", options, done)
        self.outputs = {output.path: output for output in shape_files.write_files(context, context.out)}
        assert {path.name for path in context.out.iterdir()} == set(self.outputs)
        return {path.name: json.loads(path.read_text()) for path in context.out.glob("*.json")}


@pytest.fixture
def branch(prepared: Path, tmp_path: Path) -> Branch:
    return Branch(prepared, tmp_path)


def test_both_fits_and_their_scores(branch: Branch, bodies: Path, bodies_bone_only: Path, tmp_path: Path) -> None:
    own = score_folder(tmp_path / "own")
    written = branch.run({"nsm_type": "both", "nsm": {"path_model_folder": str(bodies)},
                          "nsm_bone_only": {"path_model_config": str(bodies_bone_only / "model_params_config.json"),
                                            "path_model_state": str(bodies_bone_only / "model" / "2000.pth")},
                          "bscore": {"path_model_folder": str(own)}, "bscore_bone_only": {"folder": str(own)}})
    assert set(branch.outputs) == {
        "femur_mesh_NSM_orig.vtk", "fem_cart_mesh_NSM_orig.vtk", "NSM_recon_femur_mesh.vtk",
        "NSM_recon_fem_cart_mesh.vtk", "NSM_recon_params.json", "NSM_bone_only_recon_femur_mesh.vtk",
        "NSM_bone_only_recon_params.json", "bscore_results.json"}
    for name, kind in (("NSM_recon_params.json", "bone_and_cart"), ("NSM_bone_only_recon_params.json", "bone_only")):
        record = written[name]
        expected = (np.dot(record["latent"], np.arange(8)) - 1) / 2
        assert record["Bscore"] == written["bscore_results.json"][kind] == pytest.approx(expected, abs=1e-6)
        assert {"latent", "icp_transform", "center", "scale", "assd_bone_mm"} <= set(record)
        assert record["mirrored"] is True
    assert written["NSM_recon_params.json"]["assd_cartilage_mm"] > 0
    pictures = shape_files.read_shapes(branch.context("files", {}, ("shape",)))
    assert [(p.kind, p.structure) for p in pictures] == [
        ("bone_and_cart", "femur"), ("bone_and_cart", "fem_cart"), ("bone_only", "femur")]
    for picture in pictures:
        assert picture.distance_mm.shape == (len(picture.points),)
        assert 0 < picture.distance_mm.mean() < 30
    assert branch.outputs["NSM_recon_femur_mesh.vtk"].scalars == shape_files.DISTANCE_ARRAY
    assert branch.outputs["femur_mesh_NSM_orig.vtk"].scalars is None
    assert shape_files.DISTANCE_ARRAY.replace(" ", "%20").encode() in (tmp_path / "files" / "NSM_recon_femur_mesh.vtk"
                                                                 ).read_bytes()
    # These models know no femora, and the run says so.
    assert {"NSM_FAR_FROM_FEMUR", "BSCORE_PAIR_UNKNOWN"} == {code for code, _ in branch.warnings}
    assert not any(str(tmp_path) in text for _, text in branch.warnings)


def test_one_fit_fails_and_the_other_is_made(branch: Branch, bodies_bone_only: Path, tmp_path: Path) -> None:
    (tmp_path / "broken" / "model").mkdir(parents=True)
    (tmp_path / "broken" / "model_params_config.json").write_text("{}")
    options = {"nsm_type": "both", "nsm": {"folder": str(tmp_path / "broken")},
               "nsm_bone_only": {"folder": str(bodies_bone_only)}}
    written = branch.run(options, score=False)
    assert list(written) == ["NSM_bone_only_recon_params.json"]
    assert written["NSM_bone_only_recon_params.json"]["Bscore"] is None
    assert "NSM_NOT_FITTED" in dict(branch.warnings)
    with pytest.raises(WeightsCorruptError):
        branch.run({**options, "nsm_type": "bone_and_cart"})


def test_an_installed_model_with_its_partner(branch: Branch, bodies: Path, tmp_path: Path) -> None:
    (tmp_path / PUBLISHED_FOLDERS["bone_and_cart"]).symlink_to(bodies)
    before = weights_hashes(JobOptions.from_dict({}), ("nsm", "bscore"))
    import_from(tmp_path / PUBLISHED_FOLDERS["bone_and_cart"], "shape_647", accept_licence=True)
    assert reason_to_skip(JobOptions.from_dict({})) == ""
    assert "import bscore_647" in missing_scores(JobOptions.from_dict({}), ["bone_and_cart"])
    import_from(score_folder(tmp_path / SCORE_FOLDERS["bone_and_cart"]), "bscore_647")
    assert missing_scores(JobOptions.from_dict({}), ["bone_and_cart"]) == ""
    after = weights_hashes(JobOptions.from_dict({}), ("nsm", "bscore"))
    assert before["nsm"] != after["nsm"]
    assert before["bscore"] != after["bscore"]
    written = branch.run({})
    assert written["bscore_results.json"]["models"] == {
        "bone_and_cart": {"shape_model": "shape_647", "bscore": "bscore_647"}}


def test_without_models_the_reason_names_the_command() -> None:
    both = JobOptions.from_dict({"nsm_type": "both"})
    assert "models download shape_647" in missing_shape_models(both, True)
    assert "models download shape_551" in missing_shape_models(both, True)
    given = JobOptions.from_dict({"nsm_type": "both", "nsm": {"folder": "anywhere"}})
    assert missing_shape_models(given, True) == ""
    assert "no femoral cartilage" in missing_shape_models(given, False)


def test_files_named_in_the_options_that_are_not_there(branch: Branch, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        branch.run({"nsm": {"folder": str(tmp_path / "Jane_Doe")}})
    assert "Jane" not in caught.value.message


@pytest.mark.parametrize(("limit_mm", "told"), [(0.7, True), (0.9, False)])
def test_what_counts_as_far_is_the_quality_rule_s_own_limit(branch: Branch, monkeypatch: pytest.MonkeyPatch,
                                                            limit_mm: float, told: bool) -> None:
    surfaces = [(np.zeros((1, 3)), np.zeros((1, 3), int))]
    found = SimpleNamespace(distances=[SimpleNamespace(assd=0.8, at_vertices=np.zeros(1))], reconstruction=surfaces,
                            femur=SimpleNamespace(original=surfaces), to_dict=dict)
    monkeypatch.setattr(shape, "why_not", lambda *_, **__: "")
    monkeypatch.setattr(shape, "_fitted", lambda *_: (found, {}))
    monkeypatch.setitem(RULES, "SHAPE_FIT_FAILED", replace(RULES["SHAPE_FIT_FAILED"], high=limit_mm))
    shape.fit(branch.context("shape", {"nsm_type": "bone_only"}))
    assert ("NSM_FAR_FROM_FEMUR" in dict(branch.warnings)) is told


class TestScore:
    options = JobOptions.from_dict({})

    def choose(self, kind: str, model: str, folder: Path | None, length: int = 8) -> BScoreParameters:
        options = JobOptions.from_dict({KINDS[kind].score_option: {"path_model_folder": str(folder)}} if folder else {})
        return chosen_bscore(KINDS[kind], options, model, length)

    def test_the_formula(self) -> None:
        parameters = BScoreParameters("own", (1.0, -2.0, 0.5), 3.0, 0.25)
        assert bscore([2.0, 1.0, 4.0], parameters) == pytest.approx((2 - 2 + 2 - 3) / 0.25)

    def test_lengths_and_numbers_must_agree(self, tmp_path: Path) -> None:
        with pytest.raises(WrongPairError):
            bscore([1.0, 2.0], BScoreParameters("own", (1.0,), 0.0, 1.0))
        with pytest.raises(KneePipelineError):
            bscore([float("nan")], BScoreParameters("own", (1.0,), 0.0, 1.0))
        with pytest.raises(WrongPairError):
            self.choose("bone_only", "", score_folder(tmp_path / "own", 9))

    @pytest.mark.parametrize(("model", "folder"), [
        ("shape_647", SCORE_FOLDERS["bone_only"]), ("shape_551", SCORE_FOLDERS["bone_and_cart"]),
        ("shape_647", "own"), ("", SCORE_FOLDERS["bone_and_cart"])])
    def test_strangers_are_refused(self, model: str, folder: str, tmp_path: Path) -> None:
        with pytest.raises(WrongPairError, match="plausible and wrong"):
            self.choose("bone_and_cart", model, score_folder(tmp_path / folder))

    def test_partners_and_models_of_ones_own_are_taken(self, tmp_path: Path) -> None:
        published = score_folder(tmp_path / SCORE_FOLDERS["bone_and_cart"])
        assert self.choose("bone_and_cart", "shape_647", published).name == "bscore_647"
        assert self.choose("bone_and_cart", "", score_folder(tmp_path / "own")).name == "own"

    @pytest.mark.parametrize("changes", [{"std_healthy": 0}, {"bscore_vector": "many"}, {"mean_healthy": None}])
    def test_damaged_numbers_are_refused(self, changes: dict, tmp_path: Path) -> None:
        with pytest.raises(WeightsCorruptError):
            self.choose("bone_and_cart", "", score_folder(tmp_path / "own", **changes))

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFileError):
            self.choose("bone_and_cart", "", tmp_path / "nowhere")
        with pytest.raises(MissingFileError, match="import bscore_647"):
            self.choose("bone_and_cart", "shape_647", None)
