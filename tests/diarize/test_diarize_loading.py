"""Checkpoints in files: what is read, what is refused, and that nothing in them is ever executed."""

import collections
import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import random_models
import torch
import yaml

from ifw.diarize import places
from ifw.diarize.diarizer import Diarizer
from ifw.diarize.networks import build_embedding, build_segmentation
from ifw.diarize.pipeline_config import AgglomerativeSettings, ModelPlace, VbxSettings, read_config
from ifw.diarize.weights_file import read_network
from ifw.errors import ModelError, ModelFormatError, ModelNotFoundError, ModelUnsafeError

sys.path.append(str(Path(__file__).resolve().parent.parent / "model"))
from fake_hub import COMMIT, TOKEN, Repository, serve

PIPELINE, SEGMENTATION, EMBEDDING = "pyannote/diarization", "pyannote/segmentation", "pyannote/embedding"


@pytest.fixture
def own(folder, tmp_path):
    """A copy of the models that a test may change."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


def change(path, edit):
    with random_models._specification_classes() as (specifications, problem, resolution):
        with torch.serialization.safe_globals([specifications, problem, resolution, torch.torch_version.TorchVersion]):
            saved = torch.load(path, weights_only=True)
        edit(saved)
        torch.save(saved, path)


class Executes:
    """A pickle that touches a file when it is loaded by an ordinary unpickler."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_checkpoint_that_executes_code_is_refused(own, tmp_path, is_zip):
    mark = tmp_path / "executed"
    path = own / "segmentation" / "pytorch_model.bin"
    torch.save({"state_dict": {}, "extra": Executes(mark)}, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(ModelUnsafeError if is_zip else ModelError):
        Diarizer(own, device="cpu")
    assert not mark.exists()


def test_code_is_not_executed_where_the_first_look_misses_it(own, tmp_path, monkeypatch):
    torch.save({"extra": Executes(tmp_path / "executed")}, own / "segmentation" / "pytorch_model.bin")
    monkeypatch.setattr(torch.serialization, "get_unsafe_globals_in_checkpoint", lambda _: [])
    with pytest.raises(ModelFormatError, match="safely"):
        Diarizer(own, device="cpu")
    assert not (tmp_path / "executed").exists()


def test_a_bare_pickle_is_refused(own, tmp_path):
    (own / "embedding" / "pytorch_model.bin").write_bytes(pickle.dumps(Executes(tmp_path / "executed")))
    with pytest.raises(ModelError):
        Diarizer(own, device="cpu")
    assert not (tmp_path / "executed").exists()


def test_plda_that_is_pickled_is_refused(own, tmp_path):
    np.savez(own / "plda" / "plda.npz", mu=np.array([Executes(tmp_path / "executed")], dtype=object))
    with pytest.raises(ModelFormatError, match=r"plda\.npz"):
        Diarizer(own, device="cpu")
    assert not (tmp_path / "executed").exists()


def test_specifications_are_read_without_pyannote(folder):
    assert not any(name.startswith(("pyannote", "lightning", "torchaudio")) for name in sys.modules)
    saved = read_network(folder / "segmentation")
    assert saved.kind == "PyanNet"
    assert saved.specifications["powerset_max_classes"] == 2
    assert len(saved.specifications["classes"]) == 3


@pytest.mark.parametrize(
    "name", ["segmentation/pytorch_model.bin", "embedding/pytorch_model.bin", "plda/plda.npz", "config.yaml"]
)
def test_files_that_lack_or_are_cut_short(own, name):
    content = (own / name).read_bytes()
    (own / name).write_bytes(content[: len(content) // 2] if name != "config.yaml" else b"pipeline: [")
    with pytest.raises(ModelFormatError, match=name.rpartition("/")[2]):
        Diarizer(own, device="cpu")
    (own / name).unlink()
    with pytest.raises(ModelFormatError, match=name.rpartition("/")[2]):
        Diarizer(own, device="cpu")


def test_what_training_leaves_in_a_checkpoint_does_no_harm(own, folder):
    def train(saved):
        best = {"best_model_score": np.float64(0.25), "scores": collections.defaultdict(list, {"a": [np.float32(1)]})}
        saved |= {"callbacks": best, "epoch": 3, "optimizer_states": [{"step": torch.zeros(1)}]}

    change(own / "segmentation" / "pytorch_model.bin", train)
    got, wanted = read_network(own / "segmentation"), read_network(folder / "segmentation")
    assert got.parameters == wanted.parameters
    assert all(torch.equal(got.tensors[name], tensor) for name, tensor in wanted.tensors.items())


def test_networks_of_other_kinds_are_refused(own):
    def other(saved):
        saved["pyannote.audio"]["architecture"]["class"] = "SSeRiouSS"

    for part, build in (("segmentation", build_segmentation), ("embedding", build_embedding)):
        change(own / part / "pytorch_model.bin", other)
        with pytest.raises(ModelFormatError, match="SSeRiouSS"):
            build(read_network(own / part))


@pytest.mark.parametrize(
    "edit",
    [
        lambda saved: saved["state_dict"].pop("classifier.bias"),
        lambda saved: saved["state_dict"].pop("sincnet.conv1d.0.filterbank.low_hz_"),
        lambda saved: saved["state_dict"].update({"classifier.bias": torch.zeros(9)}),
        lambda saved: saved["state_dict"].update({"surplus": torch.zeros(1)}),
        lambda saved: saved["state_dict"].update({"classifier.bias": torch.full((7,), torch.nan)}),
        lambda saved: saved["hyper_parameters"].update(sample_rate=8000),
        lambda saved: saved["hyper_parameters"]["lstm"].update(num_layers=10**9),
        lambda saved: saved["pyannote.audio"]["specifications"].__dict__.update(powerset_max_classes=None),
        lambda saved: saved["pyannote.audio"]["specifications"].__dict__.update(duration=None),
        lambda saved: saved.pop("state_dict"),
    ],
)
def test_broken_segmentation_is_refused(own, edit):
    change(own / "segmentation" / "pytorch_model.bin", edit)
    with pytest.raises(ModelFormatError):
        build_segmentation(read_network(own / "segmentation"))


def test_layers_of_the_lstm_that_were_saved_one_by_one(own, folder):
    def split(saved):
        state = saved["state_dict"]
        for name in [name for name in state if name.startswith("lstm.")]:
            layer = name.partition("_l")[2][0]
            state[name.replace("lstm.", f"lstm.{layer}.").replace(f"_l{layer}", "_l0")] = state.pop(name)

    change(own / "segmentation" / "pytorch_model.bin", split)
    samples = torch.from_numpy(random_models.conversation()[None, 16_000:176_000])
    first, second = (build_segmentation(read_network(one / "segmentation")) for one in (own, folder))
    assert torch.equal(first(samples), second(samples))


def test_settings_of_both_pipelines(tmp_path):
    random_models.write_config(tmp_path)
    config = read_config(tmp_path)
    assert config.clustering == VbxSettings(0.6, 0.07, 0.8, ModelPlace(str(tmp_path), "plda"))
    assert config.exclude_overlap
    assert config.step_ratio == 0.1
    assert not config.votes_by_margin, "the published pipelines count votes as pyannote.audio does"
    assert config.dtype == "float32", "and compute as it does"
    random_models.write_config(tmp_path, "AgglomerativeClustering", 0.25)
    config = read_config(tmp_path)
    assert config.clustering == AgglomerativeSettings(0.7045654963945799, 12)
    assert config.min_duration_off_s == 0.25


@pytest.mark.parametrize(("section", "is_by_margin"), [(None, False), ({}, False), ({"votes": "by_margin"}, True)])
def test_how_votes_count(tmp_path, section, is_by_margin):
    edit_config(tmp_path, lambda config: config.update(ifw=section))
    assert read_config(tmp_path).votes_by_margin is is_by_margin


@pytest.mark.parametrize(
    ("section", "dtype"), [(None, "float32"), ({"dtype": "float32"}, "float32"), ({"dtype": "bfloat16"}, "bfloat16")]
)
def test_the_precision_that_a_pipeline_wants(tmp_path, section, dtype):
    edit_config(tmp_path, lambda config: config.update(ifw=section))
    assert read_config(tmp_path).dtype == dtype


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("pyannote/segmentation-3.0", ModelPlace("pyannote/segmentation-3.0")),
        ({"checkpoint": "pyannote/one", "subfolder": "two"}, ModelPlace("pyannote/one", "two")),
        ("$model/two", ModelPlace("FOLDER", "two")),
        ({"checkpoint": "$model", "subfolder": "two"}, ModelPlace("FOLDER", "two")),
    ],
)
def test_places_of_models(tmp_path, value, place):
    edit_config(tmp_path, lambda config: config["pipeline"]["params"].update(segmentation=value))
    wanted = ModelPlace(place.where.replace("FOLDER", str(tmp_path)), place.subfolder)
    assert read_config(tmp_path).segmentation == wanted


@pytest.mark.parametrize(
    "edit",
    [
        lambda config: config.update(pipeline=None),
        lambda config: config["pipeline"].update(name="pyannote.audio.pipelines.SpeechSeparation"),
        lambda config: config["pipeline"]["params"].update(clustering="OracleClustering"),
        lambda config: config["pipeline"]["params"].update(segmentation=7),
        lambda config: config["pipeline"]["params"].update(segmentation_step="often"),
        lambda config: config["params"]["clustering"].update(threshold=None),
        lambda config: config["params"]["clustering"].update(Fa=float("nan")),
        lambda config: config["params"]["segmentation"].update(min_duration_off=-1),
        lambda config: config.update(ifw={"votes": "of_all"}),
        lambda config: config.update(ifw={"dtype": "float16"}),
        lambda config: config.update(ifw={"dtype": ["bfloat16"]}),
        lambda config: config.update(ifw="by_margin"),
    ],
)
def test_settings_that_are_not_allowed(tmp_path, edit):
    edit_config(tmp_path, edit)
    with pytest.raises(ModelFormatError, match=r"config\.yaml"):
        read_config(tmp_path)


LAUGHS = "a: &a [ha, ha]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        f"{LAUGHS}pipeline: {{name: *i, params: {{}}}}",
        f"{LAUGHS}pipeline: *i",
        "pipeline: " + "[" * 20_000,
        "pipeline: " + "{a: " * 10_000,
        "made: 2026-13-45",
        f"params: {'9' * 5000}",
        f"# {'x' * 70_000}",
        f"pipeline: {'x' * 60_000}",
    ],
    ids=["name bomb", "bomb", "deep list", "deep mapping", "no date", "long number", "long file", "long value"],
)
def test_a_config_of_somebody_who_means_harm(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ModelFormatError, match=r"config\.yaml") as caught:
        read_config(tmp_path)
    assert len(str(caught.value)) < 2000


def edit_config(folder, edit):
    random_models.write_config(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    edit(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "x" * 5000])
def test_a_place_that_no_file_can_have(tmp_path, own, name):
    with pytest.raises(ModelNotFoundError, match="a folder that exists"):
        Diarizer(name, device="cpu")
    edit_config(tmp_path, lambda config: config["pipeline"]["params"].update(segmentation=f"$model/{name}"))
    with pytest.raises(ModelFormatError, match=r"pytorch_model\.bin"):
        Diarizer(tmp_path, device="cpu")


@pytest.mark.parametrize(
    "stream",
    [
        b"\x80\x02h\x07.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02X\xff",
        b"\x80\x02t.",
    ],
    ids=["KeyError", "AssertionError", "TypeError", "struct.error", "IndexError"],
)
def test_a_pickle_that_torch_stumbles_over(own, stream):
    path = own / "segmentation" / "pytorch_model.bin"
    with zipfile.ZipFile(path) as good:
        parts = {name: good.read(name) for name in good.namelist()}
    with zipfile.ZipFile(path, "w") as damaged:
        for name, content in parts.items():
            damaged.writestr(name, stream if name.endswith("data.pkl") else content)
    with pytest.raises(ModelFormatError, match=r"no checkpoint that torch can read"):
        read_network(path.parent)


def test_a_checkpoint_that_is_one_tensor(own):
    torch.save(torch.zeros(1), own / "segmentation" / "pytorch_model.bin")
    with pytest.raises(ModelFormatError, match="no checkpoint of pyannote"):
        read_network(own / "segmentation")


def test_names_that_nothing_has(tmp_path):
    with pytest.raises(ModelNotFoundError, match="community-1"):
        Diarizer("no such folder")
    with pytest.raises(ModelFormatError, match=r"config\.yaml"):
        Diarizer(tmp_path)


LOAD = """
import json, sys
from ifw.errors import IfwError
from ifw.diarize.places import NETWORK_FILES, find_part, find_pipeline
from ifw.diarize.pipeline_config import read_config
try:
    config = read_config(find_pipeline(sys.argv[1]))
    folders = [find_part(one, NETWORK_FILES) for one in (config.segmentation, config.embedding)]
    answer = {"found": [(folder / "pytorch_model.bin").is_file() for folder in folders]}
except IfwError as error:
    answer = {"error": error.code, "message": str(error)}
print(json.dumps(answer))
"""


def load(endpoint, cache, **variables):
    """Find the models in a process of its own, as the hub's package reads its variables when it is imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), **variables}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, PIPELINE], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def repositories(tmp_path, gate):
    """As 3.1 is: the pipeline and the segmentation are gated, the models lie in repositories of their own."""
    params = {"segmentation": SEGMENTATION, "embedding": EMBEDDING}
    edit_config(tmp_path, lambda config: config["pipeline"]["params"].update(params))
    files = {"config.yaml": (tmp_path / "config.yaml").read_bytes(), "handler.py": b"do not download"}
    files |= {f"plda/{name}.npz": name.encode() for name in ("plda", "xvec_transform")}
    return {
        PIPELINE: Repository(files, gate=gate),
        SEGMENTATION: Repository({"pytorch_model.bin": b"weights", "code.py": b"do not download"}, gate=gate),
        EMBEDDING: Repository({"pytorch_model.bin": b"weights"}),
    }


def test_models_are_fetched_from_several_repositories_and_then_found_offline(tmp_path):
    with serve(repositories(tmp_path, gate=True)) as hub:
        assert load(hub.endpoint, tmp_path / "cache", HF_TOKEN=TOKEN) == {"found": [True, True]}
        plda = ["plda/plda.npz", "plda/xvec_transform.npz"]
        assert sorted(hub.fetched()) == ["config.yaml", *plda, "pytorch_model.bin", "pytorch_model.bin"]
        n_requests = len(hub.requests)
        assert load(hub.endpoint, tmp_path / "cache", HF_TOKEN=TOKEN) == {"found": [True, True]}
        assert len(hub.requests) == n_requests, "the hub was asked for news of what is cached"
    assert load("http://127.0.0.1:9", tmp_path / "cache", HF_HUB_OFFLINE="1") == {"found": [True, True]}


@pytest.mark.parametrize("name", ["plda/plda.npz", "plda/xvec_transform.npz", "embedding/pytorch_model.bin"])
def test_a_pipeline_is_whole_with_all_of_its_files(own, name):
    assert places._has_pipeline(own)
    (own / name).unlink()
    assert not places._has_pipeline(own)


@pytest.mark.parametrize("name", ["plda.npz", "xvec_transform.npz"])
def test_a_cached_pipeline_without_all_of_its_plda_is_fetched_again(tmp_path, name):
    with serve(repositories(tmp_path, gate=False)) as hub:
        load(hub.endpoint, tmp_path / "cache")
        (lost,) = (tmp_path / "cache").glob(f"**/snapshots/*/plda/{name}")
        lost.resolve().unlink()
        lost.unlink()
        assert load(hub.endpoint, tmp_path / "cache") == {"found": [True, True]}
        assert lost.is_file()
        lost.unlink()
    assert load("http://127.0.0.1:9", tmp_path / "cache", HF_HUB_OFFLINE="1")["error"] == "model_offline"


def test_a_gate_names_the_page_and_the_token(tmp_path):
    with serve(repositories(tmp_path, gate=True)) as hub:
        answer = load(hub.endpoint, tmp_path / "cache")
        assert answer["error"] == "model_gated"
        assert f"{hub.endpoint}/{PIPELINE}" in answer["message"]
        assert "HF_TOKEN" in answer["message"]


def test_offline_without_a_copy(tmp_path):
    answer = load("http://127.0.0.1:9", tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert answer["error"] == "model_offline"
    assert "HF_HUB_OFFLINE" in answer["message"]
    assert COMMIT not in answer["message"]
