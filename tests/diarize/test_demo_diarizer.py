"""The bundled diarizer on voices that it was never trained on. The conversations lie beside the tests."""

import json
import shutil
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ifw.audio import decode
from ifw.config import DiarizationOptions
from ifw.diarize import diarizer
from ifw.diarize.diarizer import Diarizer
from ifw.diarize.places import find_pipeline
from ifw.evaluation.speaker_errors import SpeakerErrors, count_speaker_errors
from ifw.types import SpeakerTurn

HELD_OUT = Path(__file__).with_name("heldout")
ENTRIES = {entry["kind"]: entry for entry in json.loads((HELD_OUT / "manifest.json").read_text(encoding="utf-8"))}
CONVERSATIONS = ("short", "two", "three", "four")


@lru_cache(maxsize=16)
def heard(kind):
    return decode(str(HELD_OUT / ENTRIES[kind]["file"])).samples


def spoken(kind):
    return [SpeakerTurn(one["start_s"], one["end_s"], str(one["speaker"])) for one in ENTRIES[kind]["segments"]]


@pytest.fixture(scope="module")
def demo():
    return Diarizer("demo", device="cpu")


@pytest.fixture(scope="module")
def errors(demo):
    """By kind of conversation: the errors with the number of speakers given, and without."""
    found = {}
    for kind in CONVERSATIONS:
        options = [DiarizationOptions(num_speakers=ENTRIES[kind]["speakers"]), None]
        turns = [demo.diarize(heard(kind), one).turns for one in options]
        found[kind] = [count_speaker_errors(spoken(kind), one, collar_s=0.25) for one in turns]
    return found


def test_error_rate_with_the_number_of_speakers_given(errors):
    # These four are harder than most: over many conversations the rates are those in the README of the recipe.
    assert sum((given for given, _ in errors.values()), SpeakerErrors()).rate <= 0.15, errors


def test_error_rate_without(errors):
    assert sum((found for _, found in errors.values()), SpeakerErrors()).rate <= 0.15, errors


def test_speech_is_found(errors):
    total = sum((given for given, _ in errors.values()), SpeakerErrors())
    assert (total.missed_s + total.false_alarm_s) / total.total_s <= 0.06
    assert [one.rate <= 0.12 for one in errors["short"]] == [True, True]


def test_where_chunks_disagree_the_surer_one_is_believed(errors, tmp_path):
    """Every moment is heard by two chunks; without their margins the lower number would decide."""
    folder = shutil.copytree(find_pipeline("demo"), tmp_path / "equal")
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert config["pipeline"]["params"]["segmentation_step"] == 0.5
    config["ifw"]["votes"] = "equal"
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    equal = Diarizer(folder, device="cpu")
    found = SpeakerErrors()
    for kind in CONVERSATIONS:
        turns = equal.diarize(heard(kind), DiarizationOptions(num_speakers=ENTRIES[kind]["speakers"])).turns
        found += count_speaker_errors(spoken(kind), turns, collar_s=0.25)
    assert sum((given for given, _ in errors.values()), SpeakerErrors()).rate < found.rate


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_the_precision_is_what_it_was_measured_with_where_the_processor_has_that(monkeypatch, has_bfloat16):
    monkeypatch.setattr(diarizer, "has_bfloat16", lambda: has_bfloat16)
    precision = torch.bfloat16 if has_bfloat16 else torch.float32
    for dtype, wanted in [("auto", precision), ("float32", torch.float32), ("bfloat16", torch.bfloat16)]:
        network = Diarizer("demo", device="cpu", dtype=dtype)._listener._segmentation
        assert network.lstm.weight_hh_l0.dtype == wanted
        assert network.classifier.weight.dtype == torch.float32


def test_the_precision_of_the_lstm_moves_few_frames():
    samples = torch.from_numpy(heard("two")[: 16_000 * 60])
    listeners = [Diarizer("demo", device="cpu", dtype=dtype)._listener for dtype in ("float32", "bfloat16")]
    exact, found = (listener.segment(samples) for listener in listeners)
    assert int((exact != found).any(2).sum()) <= 0.005 * exact[..., 0].numel()
    features = torch.randn(1, 9, 60)
    assert not torch.equal(*(listener._lstm(features) for listener in listeners))


def test_one_who_speaks_alone_is_one(demo):
    found = demo.diarize(heard("alone"))
    assert found.speakers == ("SPEAKER_00",)
    assert count_speaker_errors(spoken("alone"), found.turns, collar_s=0.25).rate <= 0.12


@pytest.mark.parametrize("level", [0.0, 1e-3])
def test_where_nobody_speaks_nobody_is_found(demo, level):
    noise = np.random.RandomState(0).standard_normal(16_000 * 25).astype(np.float32)
    assert demo.diarize(np.float32(level) * noise).turns == ()


def test_names_of_the_demo():
    folder = find_pipeline("demo")
    assert find_pipeline(" Demo ") == folder == Path(str(resources.files("ifw") / "demo_diarizer"))
    assert (folder / "config.yaml").is_file()


def test_the_networks_are_small():
    folder = find_pipeline("demo")
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert sum(size for name, size in sizes.items() if not name.startswith("dialogue")) <= 6_000_000
    assert sizes["dialogue.mp3"] <= 200_000


def test_the_bundled_dialogue(demo):
    folder = find_pipeline("demo")
    reference = json.loads((folder / "dialogue.json").read_text(encoding="utf-8"))
    samples = decode(str(folder / reference["file"])).samples
    found = demo.diarize(samples, DiarizationOptions(num_speakers=reference["speakers"]))
    turns = [SpeakerTurn(one["start_s"], one["end_s"], one["speaker"]) for one in reference["segments"]]
    assert count_speaker_errors(turns, found.turns, collar_s=0.25).rate <= 0.12


def test_voices_heard_together_sound_as_each_alone(demo):
    """Small networks hear several chunks in one pass, in which none may hear the others."""
    listener = demo._listener
    assert listener._trunk_batch > 1
    n_chunks = 2 * listener._trunk_batch + 1
    samples = torch.from_numpy(decode(find_pipeline("demo") / "dialogue.mp3").samples).repeat(2)
    heard = samples[: listener.chunk_samples + (n_chunks - 1) * listener.step_samples]
    speech = listener.segment(heard)
    together = listener.embed(heard, speech)
    for index in range(n_chunks):
        alone = listener.embed(heard[index * listener.step_samples :][: listener.chunk_samples], speech[index, None])
        torch.testing.assert_close(together[index, None], alone, rtol=1e-3, atol=1e-3)
