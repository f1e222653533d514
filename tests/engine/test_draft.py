"""The decoder of another checkpoint as a draft: what fits, what is loaded, and what real speech becomes."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import draft_folders
import pytest
import tiny_models
import torch

from ifw import TranscribeOptions, Transcriber
from ifw.config import EngineConfig
from ifw.engine.device import resolve_config
from ifw.errors import ConfigError, ModelNotFoundError
from ifw.model.checkpoint import load_checkpoint, load_whisper
from ifw.model.draft import check_draft, load_draft

DEMO = tiny_models.DEMO
SAMPLE = DEMO / "sample.mp3"


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """The demo with the first layer of its decoder, which knows little without the second."""
    return draft_folders.cut_out(DEMO, tmp_path_factory.mktemp("draft") / "distilled", [0])


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The whole demo, its encoder tuned further."""

    def tuned(name, tensor):
        return tensor + 0.01 if name.startswith("model.encoder.layer_norm") else tensor

    return draft_folders.cut_out(DEMO, tmp_path_factory.mktemp("draft") / "tuned", [0, 1], change=tuned)


def test_only_a_decoder_is_loaded_and_the_encoder_is_the_model_s(distilled):
    main = tiny_models.demo_checkpoint()
    for compute_type in ("float32", "bfloat16"):
        model = load_whisper(main, "cpu", compute_type)
        draft = load_draft(load_checkpoint(distilled), main, model)
        assert draft.encoder_layers is model.encoder_layers
        assert (draft.conv1, draft.conv2, draft.encoder_norm) == (model.conv1, model.conv2, model.encoder_norm)
        assert (draft.dtype, draft.compute_type) == (model.dtype, compute_type)
        assert (len(draft.decoder_layers), len(model.decoder_layers)) == (1, 2)
        assert torch.equal(draft.token_embedding, model.token_embedding)


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({"n_mels": 128}, "draft_model: got 'other', whose encoder has another shape (n_mels 128), allowed: .* (80)"),
        ({"d_model": 384}, "draft_model: got 'other', whose encoder has another shape (d_model 384)"),
        ({"n_encoder_layers": 12}, "draft_model: got 'other', whose encoder has another shape (n_encoder_layers 12)"),
        ({"n_vocab": 51_866}, "draft_model: got 'other', which has another vocabulary (51866 tokens)"),
        ({"n_text_positions": 64}, "draft_model: got 'other', whose context is 64 tokens, allowed: at least the 448"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(sizes, complaint):
    main = tiny_models.demo_checkpoint()
    other = replace(main, name="other", dims=replace(main.dims, **sizes))
    with pytest.raises(ConfigError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        check_draft(other, main)
    check_draft(main, main)


def test_as_many_tokens_that_mean_something_else_are_refused(tmp_path):
    folder = draft_folders.cut_out(DEMO, tmp_path / "other", [0])
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    one, other = [token for token, token_id in vocabulary.items() if token_id in {40, 41}]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="another vocabulary"):
        check_draft(load_checkpoint(folder), tiny_models.demo_checkpoint())


def test_another_encoder_is_warned_of(distilled, foreign, caplog):
    main = tiny_models.demo_checkpoint()
    model = load_whisper(main, "cpu", "float32")
    with caplog.at_level(logging.WARNING, "ifw.model.draft"):
        load_draft(load_checkpoint(distilled), main, model)
        assert not caplog.records
        load_draft(load_checkpoint(foreign, "tuned"), main, model)
    (record,) = caplog.records
    assert "the encoder of tuned is not that of demo" in record.getMessage()


def test_a_draft_that_does_not_exist_or_fit_ends_the_start(distilled):
    with pytest.raises(ModelNotFoundError, match=r"^draft_model: got 'no-such-draft'"):
        Transcriber("demo", draft_model="no-such-draft")
    with pytest.raises(ConfigError, match="config: got it beside"):
        Transcriber("demo", "cpu", config=EngineConfig())
    with pytest.raises(ConfigError, match="steps: got 'graphs', allowed on 'cpu'"):
        Transcriber("demo", config=EngineConfig(device="cpu", steps="graphs"), draft_model=distilled)


def test_the_engine_is_as_the_config_says(distilled):
    config = EngineConfig("cpu", "float32", 2, n_threads=1, encoder_products="int8", cross_kv="float8")
    for draft in (None, distilled):
        with Transcriber("demo", config=config, draft_model=draft) as transcriber:
            engine = transcriber._engine
            assert engine.arithmetic == "cpu float32, encoder int8, keys and values float8"
            assert (engine.n_slots, engine.n_threads) == (2, 1)
    with pytest.raises(ConfigError, match="steps: got 'graphs', allowed on 'cpu'"):
        resolve_config(EngineConfig(device="cpu", steps="graphs"))  # before anything is loaded


@pytest.fixture(scope="module")
def alone():
    with Transcriber("demo", config=EngineConfig(n_threads=1)) as transcriber:
        return transcribed(transcriber)


def transcribed(transcriber):
    """The sample twice: as it is, with word times; and with what attempts, prompts and searches bring about."""
    options = [
        TranscribeOptions.preset(word_timestamps=True, token_logprobs=True),
        TranscribeOptions.preset("accurate", language="en", initial_prompt="Good morning.", logprob_threshold=-0.05),
    ]
    before = transcriber.stats()
    transcripts = [transcriber.transcribe(SAMPLE, one) for one in options]
    after = transcriber.stats()
    counts = {name: getattr(after, name) - getattr(before, name) for name in ("n_steps", "n_drafted", "n_accepted")}
    return transcripts, counts


@pytest.mark.parametrize("kind", ["demo", "distilled", "foreign"])
def test_real_speech_becomes_the_same_text(alone, kind, request):
    """Words, times and probabilities too."""
    model = "demo" if kind == "demo" else request.getfixturevalue(kind)
    with Transcriber("demo", config=EngineConfig(n_threads=1), draft_model=model) as transcriber:
        transcripts, counts = transcribed(transcriber)
    for got, expected in zip(transcripts, alone[0], strict=True):
        assert got.text == expected.text
        assert [segment.token_ids for segment in got.segments] == [segment.token_ids for segment in expected.segments]
        for segment, wanted in zip(got.segments, expected.segments, strict=True):
            assert segment.avg_logprob == pytest.approx(wanted.avg_logprob, abs=2e-2)
            words, their_words = segment.words or (), wanted.words or ()
            assert [word.text for word in words] == [word.text for word in their_words]
            assert [word.start_s for word in words] == pytest.approx([word.start_s for word in their_words], abs=0.021)
    if kind == "demo":
        assert counts["n_accepted"] > 0.8 * counts["n_drafted"]
        assert counts["n_steps"] < 0.5 * alone[1]["n_steps"]
