"""The recipe of the demo diarizer: conversations, labels, splits, losses, PLDA, export. Needs no espeak-ng."""

import pickle
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2]))
import itertools

from recipes.demo_diarization import voices
from recipes.demo_diarization.chunks import (
    NOBODY,
    Stretches,
    StretchSpec,
    active_frames,
    cut_chunks,
    write_stretches,
)
from recipes.demo_diarization.conversations import Manner, Said, converse
from recipes.demo_diarization.embedding_training import Views, draw_views, embed, with_norm
from recipes.demo_diarization.export import export_networks, write_config
from recipes.demo_diarization.plda import fit_plda
from recipes.demo_diarization.schedule import Schedule
from recipes.demo_diarization.segmentation_training import (
    alone_traits,
    best_order_loss,
    class_scores,
    classes_of,
    heard_features,
    new_network,
)
from recipes.demo_diarization.sizes import EMBEDDING, N_FRAMES, N_STRETCH_FRAMES, SEGMENTATION, SINC_NET
from recipes.demo_diarization.speech import Corpus, PoolSpec, Utterance
from recipes.demo_diarization.team import Halt, Team, run_as_team
from recipes.demo_diarization.tuning import load_listener

from ifw.diarize.diarizer import Diarizer
from ifw.diarize.embedding import ResNet
from ifw.diarize.pipeline_config import AgglomerativeSettings, ModelPlace, VbxSettings, read_config
from ifw.diarize.plda import Plda
from ifw.diarize.segmentation import speaker_sets

RATE = 16_000


def utterances(n_voices, seconds=(0.6, 1.1, 2.4, 3.0)):
    lengths = [round(second * RATE) for second in seconds]
    starts = np.cumsum([0, *lengths * n_voices])
    return [
        [
            Utterance(voice, "text", int(starts[voice * len(lengths) + n]), length, 0.05, length / RATE - 0.05)
            for n, length in enumerate(lengths)
        ]
        for voice in range(n_voices)
    ]


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory):
    """Two voices that hum at different heights."""
    folder = tmp_path_factory.mktemp("speech")
    pool = utterances(2)
    total = sum(one.length for voice in pool for one in voice)
    pcm = np.zeros(total, np.int16)
    for voice in pool:
        for one in voice:
            time = np.arange(one.length) / RATE
            is_sound = (time >= one.start_s) & (time < one.end_s)
            tone = 16000 * np.sin(2 * np.pi * (200 + 300 * one.voice) * time) * is_sound
            pcm[one.offset : one.offset + one.length] = tone
    (folder / "pool.pcm").write_bytes(pcm.tobytes())
    cast = tuple(voices.Voice(f"v{n}", 150, 50, 50, 1.0) for n in range(2))
    spec = PoolSpec("pool", cast, 4, ("en",), 0)
    (folder / "pool.index").write_bytes(pickle.dumps((spec, [one for voice in pool for one in voice])))
    return folder


@pytest.mark.parametrize("n_speakers", [1, 2, 4])
def test_conversations_are_possible(n_speakers):
    n_overlaps = 0
    for seed in range(40):
        said = converse(np.random.default_rng(seed), utterances(n_speakers), 30.0, Manner(overlap_share=0.3))
        assert [one.start_s for one in said] == sorted(one.start_s for one in said)
        for speaker in range(n_speakers):
            own = [one for one in said if one.speaker == speaker]
            assert all(one.utterance.voice == speaker for one in own)
            assert all(after.start_s - before.end_s > 0.1 for before, after in itertools.pairwise(own))
        for one in said:
            assert 0 <= one.start_s < 33
            assert one.end_s - one.start_s == pytest.approx(one.utterance.end_s - one.utterance.start_s)
        n_overlaps += sum(after.start_s < before.end_s for before, after in itertools.pairwise(said))
    assert (n_overlaps > 20) == (n_speakers > 1)


def test_conversations_come_from_their_seed():
    draw = [converse(np.random.default_rng(seed), utterances(3), 20.0, Manner()) for seed in (5, 5, 6)]
    assert draw[0] == draw[1] != draw[2]


def test_held_out_voices_are_never_trained_on():
    held_out = {*voices.TEST_VARIANTS, *voices.VALIDATION_VARIANTS, *voices.RELATIVES}
    of_system = [*sorted(held_out), "m1", "f1", "klatt"]
    trained = voices.training_variants(of_system)
    assert not held_out & set(trained)
    assert {"m1", "f1", "klatt"} < set(trained)
    assert not set(voices.TEST_VARIANTS) & set(voices.VALIDATION_VARIANTS)
    assert not {voice.variant for voice in voices.calibration_voices(1)} & {*trained, *held_out}
    for name in ("steph", "edward"):
        assert not [variant for variant in trained if variant.startswith(name)]


def test_voices_of_a_variant_differ():
    drawn = voices.draw_voices(["m1", "drawn000"], 6, seed=1)
    assert len(drawn) == len(set(drawn)) == 8
    tensions = sorted(voice.tension for voice in drawn if voice.variant == "m1")
    assert tensions[0] < 0.93
    assert tensions[-1] > 1.08
    assert drawn == voices.draw_voices(["m1", "drawn000"], 6, seed=1)


def test_frames_are_those_of_the_runtime(listener):
    said = [Said(1.0, 2.5, 0, utterances(1)[0][0]), Said(11.2, 14.0, 1, utterances(1)[0][0])]
    active = active_frames(said, 2, from_s=10.0)
    times = 10.0 + listener.grid.times(N_STRETCH_FRAMES)
    assert active.shape == (N_STRETCH_FRAMES, 2)
    assert listener.grid.n_frames == N_FRAMES
    assert not active[:, 0].any()
    np.testing.assert_array_equal(active[:, 1], (times >= 11.2) & (times < 14.0))


def check_labels(samples, speech, owners):
    """Where one alone is said to speak, their tone is heard; returns who was said to speak."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), 512)[730::540][: len(speech)]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(512)))
    for speaker, voice in enumerate(owners):
        if voice == NOBODY:
            assert not speech[:, speaker].any()
            continue
        own, other = (spectrum[:, round((200 + 300 * v) / 31.25)] for v in (voice, 1 - voice))
        alone = (speech[: len(frames), speaker] == 1) & (speech[: len(frames)].sum(1) == 1)
        if alone.sum() > 10:
            assert np.median(own[alone]) > 3 * np.median(other[alone])
    return {int(voice) for voice in owners if voice != NOBODY}


def test_labels_are_where_the_sound_is(corpus_folder, tmp_path):
    assert write_stretches(StretchSpec("set", ("pool",), 12, 3), corpus_folder, tmp_path) == 24
    stretches = Stretches(tmp_path, "set")
    seen = [check_labels(*one) for one in zip(stretches.samples, stretches.speech, stretches.voices, strict=True)]
    assert set().union(*seen) == {0, 1}
    chunks = cut_chunks(np.random.default_rng(0), [stretches, stretches], range(48))
    assert chunks.samples.shape == (48, SEGMENTATION.chunk_samples)
    assert chunks.speech.shape == (48, N_FRAMES, 3)
    seen = [check_labels(*one) for one in zip(chunks.samples, chunks.speech, chunks.voices, strict=True)]
    assert set().union(*seen) == {0, 1}
    again = tmp_path / "again"
    again.mkdir()
    write_stretches(StretchSpec("set", ("pool",), 12, 3), corpus_folder, again)
    assert (again / "set.samples").read_bytes() == (tmp_path / "set.samples").read_bytes()


def test_chunks_hold_those_who_speak_most(tmp_path):
    stretches = Stretches(tmp_path, "set", 1)
    stretches.samples[0] = np.arange(stretches.samples.shape[1]) // SINC_NET.step_samples
    stretches.voices[0] = [5, 6, 7, 8]
    for speaker, n_frames in enumerate((40, 0, 60, 20)):
        stretches.speech[0, 60 * speaker + 100 : 60 * speaker + 100 + n_frames, speaker] = 1
    stretches.speech[0, :, 1] = 1
    for seed in range(8):
        chunks = cut_chunks(np.random.default_rng(seed), [stretches], [0])
        first = round(chunks.samples[0, 0] * 32768)
        part = stretches.speech[0, first : first + N_FRAMES]
        assert chunks.samples[0, SINC_NET.step_samples - 1] < chunks.samples[0, SINC_NET.step_samples]
        order = np.argsort(-part.sum(0, dtype=int), kind="stable")[:3]
        np.testing.assert_array_equal(chunks.speech[0], part[:, order])
        assert chunks.voices[0].tolist() == [5 + n if part[:, n].any() else NOBODY for n in order]


def test_the_corpus_knows_its_voices(corpus_folder):
    corpus = Corpus(corpus_folder, ["pool", "pool"])
    assert len(corpus.voices) == len(corpus.by_voice) == 4
    samples = corpus.samples(1, corpus.by_voice[1][0])
    assert np.abs(samples).max() == pytest.approx(16000 / 16384, abs=0.01)


def test_classes_are_those_of_the_runtime():
    sets = speaker_sets(3, 2)
    np.testing.assert_array_equal(classes_of(sets[None], sets)[0], np.arange(7))
    three = classes_of(torch.ones(1, 1, 3, dtype=torch.uint8), sets)
    assert sets[three[0, 0]].tolist() == [1, 1, 0]


def test_the_order_of_speakers_does_not_matter_to_the_loss():
    sets = speaker_sets(3, 2)
    noise = torch.Generator().manual_seed(1)
    scores = torch.randn(2, 40, 7, generator=noise)
    classes = torch.randint(0, 7, (2, 40), generator=noise)
    speech = sets[classes]
    loss = best_order_loss(scores, speech, sets)
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        torch.testing.assert_close(best_order_loss(scores, speech[:, :, order], sets), loss)
    sure = 20.0 * torch.nn.functional.one_hot(classes, 7)
    assert best_order_loss(sure, speech[:, :, [2, 1, 0]], sets).max() < 1e-6
    assert best_order_loss(-sure, speech, sets).min() > 5


def test_plda_finds_what_was_put_in(tmp_path):
    noise = np.random.default_rng(2)
    n_voices, n_each, width = 300, 20, 12
    names = np.repeat(np.arange(n_voices), n_each)
    spread = np.array([6.0, 4.0, 3.0, *[0.3] * 9])
    mixing = np.linalg.qr(noise.standard_normal((width, width)))[0]
    who = noise.standard_normal((n_voices, width)) * spread
    embeddings = ((who[names] + noise.standard_normal((len(names), width))) @ mixing + 5).astype(np.float32)
    fit_plda(embeddings, names, 6).write(tmp_path)
    plda = Plda(tmp_path)
    points = plda(embeddings)
    centres = np.stack([points[names == name].mean(0) for name in range(n_voices)])
    within = (points - centres[names]).std(0)
    np.testing.assert_allclose(within, 1, atol=0.15)
    np.testing.assert_allclose(centres.var(0), plda.between, rtol=0.2, atol=0.1)
    assert (np.diff(plda.between) <= 0).all()
    assert plda.between[2] > 4 * plda.between[3]


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(3)
    segmentation, embedding = new_network().eval(), ResNet(EMBEDDING)
    for module in embedding.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return segmentation, embedding.eval()


@pytest.fixture(scope="module")
def exported(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export_networks(networks[0].state_dict(), networks[1].state_dict(), folder)
    write_config(folder, AgglomerativeSettings(0.7, 2), 0.25)
    return folder


@pytest.fixture(scope="module")
def listener(exported):
    return load_listener(exported)


def test_the_runtime_hears_what_training_heard(networks, listener):
    samples = torch.randn(SEGMENTATION.chunk_samples, generator=torch.Generator().manual_seed(4)) * 0.1
    with torch.inference_mode():
        classes = class_scores(networks[0], heard_features(networks[0], samples[None])).argmax(2)
        worked = listener.segment(samples)
        assert (worked == speaker_sets(3, 2)[classes]).float().mean() > 0.95  # training computes in bfloat16
        speech = torch.zeros(1, N_FRAMES, 3, dtype=torch.uint8)
        speech[0, 20:100, 1] = 1
        energies = listener._filter_bank(samples)[None]
        weights = speech[0, :, 1].numpy()[None].astype(np.float32)
        views = Views(np.array([0]), np.array([0]), weights, np.array([0]))
        trained = embed(networks[1], energies - energies.mean(1, keepdim=True), views)
        worked = listener.embed(samples, speech)[0, 1]
    assert torch.cosine_similarity(trained[0], worked, dim=0) > 0.999  # training computes in bfloat16


def test_the_norm_of_training_is_folded_in(networks):
    norm = torch.nn.BatchNorm1d(EMBEDDING.width, affine=False).eval()
    norm.running_mean.normal_(0, 1)
    norm.running_var.uniform_(0.5, 2)
    folded = ResNet(EMBEDDING).eval()
    folded.load_state_dict(with_norm(networks[1], norm))
    features, weights = torch.randn(1, 320, 125), torch.ones(1, 1, 125)
    with torch.inference_mode():
        plain, after = (network.embed(features, weights)[0] for network in (networks[1], folded))
    torch.testing.assert_close(after, norm(plain), rtol=1e-3, atol=1e-4)


def test_exported_settings_are_read(exported, tmp_path):
    config = read_config(exported)
    assert config.clustering == AgglomerativeSettings(0.7, 2)
    assert (config.min_duration_off_s, config.exclude_overlap, config.votes_by_margin) == (0.25, True, True)
    settings = VbxSettings(0.6, 0.07, 0.8, ModelPlace(str(tmp_path), "plda"))
    write_config(tmp_path, settings, 0.0)
    assert read_config(tmp_path).clustering == settings
    assert Diarizer(exported, device="cpu").diarize(np.zeros(0, np.float32)).turns == ()


def test_views_show_one_speaker_alone():
    speech = np.zeros((1, N_FRAMES, 3), np.uint8)
    speech[0, 20:100, 0] = speech[0, 90:140, 1] = 1
    speech[0, 140:145, 2] = 1
    owners = np.array([[7, 9, 4]], np.int32)
    for seed in range(5):
        views = draw_views(np.random.default_rng(seed), speech, owners, 59)
        assert set(views.voices) <= {7, 9}
        for voice, first, weight in zip(views.voices, views.first, views.weights, strict=True):
            frames = first + np.flatnonzero(weight)
            allowed = range(20, 90) if voice == 7 else range(100, 140)
            assert set(frames) <= set(allowed)


def test_every_row_comes_once_before_any_comes_again():
    schedule = Schedule(10, seed=1, n_warm_up=2)
    batches = [rows for _, rows in schedule.batches(20, 4)]
    assert sorted(row for rows in batches[:5] for row in rows) == list(range(20))
    assert batches == [rows for _, rows in schedule.batches(20, 4)]
    assert batches != [rows for _, rows in replace(schedule, seed=2).batches(20, 4)]
    assert schedule.share(0) < schedule.share(1) == 1.0
    assert schedule.share(9) < 0.1
    assert [rows for _, rows in schedule.batches(20, 4, first=6)] == batches[6:]


def test_traits_are_asked_where_one_speaks_alone():
    speech = torch.tensor([[[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]]])
    is_alone, traits = alone_traits(speech, torch.tensor([[1, 2, NOBODY]]), torch.tensor([[10.0], [11.0], [12.0]]))
    assert is_alone.tolist() == [[False, True, False, True]]
    assert traits.tolist() == [[12.0], [11.0]]


def learn(folder, team):
    """Each member sees another gradient."""
    layer = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    rows = team.part(range(6))
    layer(torch.tensor([[float(row), 1.0] for row in rows])).mean().backward()
    team.average(layer.parameters())
    (folder / f"{team.rank}").write_text(repr(layer.weight.grad.tolist()))


def test_a_team_sees_the_mean_of_its_gradients(tmp_path):
    run_as_team(partial(learn, tmp_path), 2)
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text() == repr([[2.5, 1.0]])
    learn(tmp_path, Team(0, 1))
    assert (tmp_path / "0").read_text() == repr([[2.5, 1.0]])


def test_a_training_goes_on_where_it_halted(tmp_path):
    layer = torch.nn.Linear(3, 1)
    halt = Halt(tmp_path / "a.halt", {"layer": layer})
    assert halt.restore() == 0
    halt.keep(7)
    wanted = layer.weight.clone()
    torch.nn.init.zeros_(layer.weight)
    assert halt.restore() == 7
    assert torch.equal(layer.weight, wanted)
