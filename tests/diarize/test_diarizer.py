"""The public face: every kind of recording gives sensible turns, however its samples arrive."""

import threading

import numpy as np
import pytest
import random_models
import torch
from random_models import RATE

from ifw.cancellation import CancelToken
from ifw.config import DiarizationOptions
from ifw.diarize.diarizer import Diarizer
from ifw.errors import CancelledError, ConfigError, EngineMemoryError, ShapeError

SILENCE, FIRST, FIRST_AND_SECOND = 0, 1, 4  # classes of the segmentation network
DURATION_S = 12.3


@pytest.fixture(scope="module")
def biased(reference, tmp_path_factory):
    """A diarizer whose segmentation network always says the same."""

    def make(chosen, clustering="VBxClustering"):
        classifier = np.zeros((7, 129), np.float32)
        classifier[chosen, -1] = 1
        folder = tmp_path_factory.mktemp("biased")
        return Diarizer(
            random_models.write_folder(folder, classifier, reference["bias"], clustering), device="cpu", dtype="float32"
        )

    return make


@pytest.fixture(scope="module")
def samples():
    return random_models.conversation()[: round(DURATION_S * RATE)]


@pytest.fixture(scope="module")
def whole(diarizer, samples):
    return diarizer.diarize(samples)


def assert_sensible(found, duration_s):
    for turns in (found.turns, found.exclusive_turns):
        assert list(turns) == sorted(turns, key=lambda turn: turn.start_s)
        assert all(0 <= turn.start_s < turn.end_s <= duration_s for turn in turns)
        assert {turn.speaker for turn in turns} <= set(found.embeddings)
    ends = [turn.end_s for turn in found.exclusive_turns]
    starts = [turn.start_s for turn in found.exclusive_turns]
    assert all(end_s <= start_s for end_s, start_s in zip(ends, starts[1:], strict=False))
    first_heard = list(dict.fromkeys(turn.speaker for turn in found.turns))
    assert first_heard == [f"SPEAKER_{number:02d}" for number in range(len(first_heard))] == list(found.speakers)
    for embedding in found.embeddings.values():
        assert embedding.shape == (256,)
        assert embedding.dtype == np.float32
        assert np.isfinite(embedding).all()


def assert_same(found, other):
    assert found.turns == other.turns
    assert found.exclusive_turns == other.exclusive_turns
    assert found.speakers == other.speakers
    for speaker in found.speakers:
        np.testing.assert_allclose(found.embeddings[speaker], other.embeddings[speaker], atol=1e-4)


def test_conversation_has_several_speakers_and_overlap(whole):
    assert_sensible(whole, DURATION_S)
    assert len(whole.speakers) >= 2
    assert sum(turn.duration_s for turn in whole.turns) > sum(turn.duration_s for turn in whole.exclusive_turns)


@pytest.mark.parametrize("block", [3_777, 16_000, 170_001])
def test_samples_may_arrive_in_any_blocks(folder, samples, whole, block):
    stream = Diarizer(folder, device="cpu", dtype="float32", batch_size=2).stream()
    for start in range(0, len(samples), block):
        stream.feed(samples[start : start + block].copy())
    assert_same(stream.finish(), whole)


@pytest.mark.parametrize("n_samples", [0, 1, 100, RATE, 10 * RATE - 1, 10 * RATE, 10 * RATE + 1, 11 * RATE])
def test_short_recordings(biased, samples, n_samples):
    found = biased(FIRST).diarize(samples[:n_samples])
    assert_sensible(found, n_samples / RATE)
    assert bool(found.turns) == (n_samples > 1000)
    if found.turns:
        assert found.turns[-1].end_s == pytest.approx(n_samples / RATE, abs=0.1)


def test_no_speech(biased, samples):
    found = biased(SILENCE).diarize(samples)
    assert (found.turns, found.exclusive_turns, found.embeddings, found.speakers) == ((), (), {}, ())


@pytest.mark.parametrize("clustering", ["VBxClustering", "AgglomerativeClustering"])
def test_two_who_always_speak_at_once(biased, samples, clustering):
    """Nobody is ever heard alone, so that nothing can be clustered."""
    found = biased(FIRST_AND_SECOND, clustering).diarize(samples[: 12 * RATE])
    assert_sensible(found, 12)
    assert found.turns[0].start_s < 0.1
    assert found.turns[0].end_s > 11.9


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        (DiarizationOptions(num_speakers=1), {1}),
        (DiarizationOptions(max_speakers=1), {1}),
        (DiarizationOptions(num_speakers=2), {2}),
        (DiarizationOptions(max_speakers=2), {1, 2}),
        (DiarizationOptions(min_speakers=3, max_speakers=3), {1, 2, 3}),
        (DiarizationOptions(min_speakers=50), set(range(1, 51))),
        (DiarizationOptions(num_speakers=100), set(range(1, 101))),
    ],
)
def test_bounds(diarizer, samples, options, allowed):
    found = diarizer.diarize(samples, options)
    assert_sensible(found, DURATION_S)
    assert len(found.speakers) in allowed


def test_at_most_one_speaker_never_overlaps(diarizer, samples):
    found = diarizer.diarize(samples, DiarizationOptions(max_speakers=1))
    assert found.turns == found.exclusive_turns


@pytest.mark.parametrize(
    "fields",
    [
        {"num_speakers": 0},
        {"num_speakers": True},
        {"max_speakers": 1.5},
        {"min_speakers": 3, "max_speakers": 2},
        {"num_speakers": 2, "max_speakers": 2},
    ],
)
def test_options_are_checked(fields):
    with pytest.raises(ConfigError):
        DiarizationOptions(**fields)


@pytest.mark.parametrize("wrong", [np.zeros((1, 100), np.float32), np.zeros(100), np.zeros(100, np.int16)])
def test_samples_are_checked(diarizer, wrong):
    with pytest.raises(ShapeError, match="float32 of shape"):
        diarizer.diarize(wrong)


@pytest.mark.parametrize(
    "arguments", [{"device": "tpu"}, {"dtype": "int8"}, {"dtype": "float16", "device": "cpu"}, {"batch_size": 0}]
)
def test_arguments_are_checked(folder, arguments):
    with pytest.raises(ConfigError):
        Diarizer(folder, **arguments)
    with pytest.raises(ConfigError):
        Diarizer(42)


def test_options_of_another_kind_are_refused(diarizer):
    with pytest.raises(ConfigError, match="DiarizationOptions"):
        diarizer.diarize(np.zeros(100, np.float32), {"num_speakers": 2})


def test_progress_goes_up_to_the_end(folder, samples):
    heard = []
    Diarizer(folder, device="cpu", dtype="float32", batch_size=2).diarize(samples, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(DURATION_S)
    assert len(heard) > 1


def test_cancelled_before_and_in_the_middle(folder, samples):
    diarizer = Diarizer(folder, device="cpu", dtype="float32", batch_size=2)
    cancel = CancelToken()
    calls = []

    def stop(heard_s):
        calls.append(heard_s)
        cancel.cancel()

    with pytest.raises(CancelledError):
        diarizer.diarize(samples, on_progress=stop, cancel=cancel)
    assert len(calls) == 1
    with pytest.raises(CancelledError):
        diarizer.diarize(samples, cancel=cancel)


def test_two_threads_share_one_diarizer(diarizer, samples, whole):
    found = {}

    def work(name):
        found[name] = diarizer.diarize(samples)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(found[0], whole)
    assert_same(found[1], whole)


def test_samples_that_may_not_be_written(diarizer, samples, whole):
    samples = samples.copy()
    samples.flags.writeable = False
    assert_same(diarizer.diarize(samples), whole)


def test_half_precision_says_nearly_the_same(folder, samples, whole):
    found = Diarizer(folder, device="cpu", dtype="bfloat16").diarize(samples)
    assert_sensible(found, DURATION_S)
    found_s, whole_s = (sum(turn.duration_s for turn in one.turns) for one in (found, whole))
    assert found_s == pytest.approx(whole_s, abs=0.1)  # a few frames


def test_what_chunks_share_is_heard_once_and_sounds_the_same(diarizer, samples):
    network = diarizer._listener._segmentation.sincnet
    heard = torch.from_numpy(np.concatenate([samples[: 10 * RATE], 0.01 * samples[: 5 * RATE] + 0.02]))
    for step in (RATE, 3 * RATE, RATE + 1):
        apart = network(heard.unfold(0, 10 * RATE, step).unsqueeze(1))
        assert len(apart) >= 2
        torch.testing.assert_close(network.hear(heard, 10 * RATE, step), apart, atol=1e-4, rtol=0)


def test_the_number_of_threads_changes_no_bit(diarizer, samples):
    heard = [samples[: (10 + n_more) * RATE] for n_more in (0, 2)] + [np.resize(samples, 15 * RATE)]
    alone = [diarizer._listener.hear(part) for part in heard]
    try:
        torch.set_num_threads(3)
        together = [diarizer._listener.hear(part) for part in heard]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_cancelling_ends_between_groups_of_chunks(diarizer, monkeypatch):
    listener, cancel, n_heard = diarizer._listener, CancelToken(), []

    def heard_once(group):
        n_heard.append(len(group))
        cancel.cancel()
        return np.zeros((1, 1, 1), np.uint8), np.zeros((1, 1, 1), np.float32)

    monkeypatch.setattr(listener, "_hear_group", heard_once)
    with pytest.raises(CancelledError):
        listener.hear(np.zeros(60 * RATE, np.float32), cancel)
    assert len(n_heard) == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), MemoryError()]
)
def test_memory_that_runs_out_is_an_error_of_ours_on_cpu_too(diarizer, samples, monkeypatch, error):
    def fails(heard):
        raise error

    monkeypatch.setattr(diarizer._listener, "segment", fails)
    for work in (diarizer.diarize, diarizer.embed):
        with pytest.raises(EngineMemoryError, match="fewer threads"):
            work(samples)


def test_other_errors_of_torch_stay_what_they_are(diarizer, samples, monkeypatch):
    def fails(heard):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(diarizer._listener, "segment", fails)
    with pytest.raises(RuntimeError, match="multiplied"):
        diarizer.diarize(samples)
