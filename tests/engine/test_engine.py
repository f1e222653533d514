"""The engine's public face on small models: what it refuses, how it sizes itself, how it ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import torch

from ifw.audio.whole import decode
from ifw.config import DecodeOptions, EngineConfig
from ifw.constants import SAMPLE_RATE
from ifw.engine import cache, device
from ifw.engine.cache import DecoderCache, choose_n_slots, slot_bytes
from ifw.engine.device import resolve_config
from ifw.engine.engine import Engine
from ifw.engine.prefix import build_prefix
from ifw.engine.request import DecodeRequest, DetectRequest, EncodedWindow
from ifw.engine.vocabulary import Vocabulary
from ifw.errors import (
    AudioError,
    ConfigError,
    EngineClosedError,
    EngineMemoryError,
    LanguageError,
    ModeError,
    PromptError,
    ShapeError,
)
from ifw.model.checkpoint import load_whisper
from ifw.model.dims import ModelDims
from ifw.model.mel import log_mel

TIMEOUT_S = 120
SIZES = tiny_models.dims(layers=(1, 1), d_model=64, n_heads=1)
SAMPLES = tiny_models.window(0, seconds=1)


@pytest.fixture(scope="module")
def engine():
    with Engine(
        tiny_models.whisper(SIZES), tiny_models.checkpoint(SIZES), EngineConfig(n_threads=1, n_slots=2)
    ) as made:
        yield made


@pytest.fixture(scope="module")
def english_engine():
    checkpoint = tiny_models.checkpoint(SIZES, is_multilingual=False)
    with Engine(tiny_models.whisper(SIZES), checkpoint, EngineConfig(n_threads=1, n_slots=2)) as made:
        yield made


@pytest.fixture(scope="module")
def demo_engine():
    checkpoint = tiny_models.demo_checkpoint()
    with Engine(load_whisper(checkpoint, "cpu", "float32"), checkpoint, EngineConfig(n_threads=1, n_slots=3)) as made:
        yield made


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (LanguageError, {"language": "xx"}),
        (LanguageError, {"language": "English"}),
        (PromptError, {"prompt_ids": (0, 768)}),
        (PromptError, {"prompt_ids": (-1,)}),
        (PromptError, {"prefix_ids": (0, 768)}),
        (PromptError, {"prefix_ids": (5,) * 113}),
        (ConfigError, {"options": DecodeOptions(suppress_tokens=(2376,))}),
        (ConfigError, {"options": DecodeOptions(suppress_tokens=(-1,))}),
        (ConfigError, {"options": DecodeOptions(suppress_tokens=tuple(range(1000)))}),
        (ConfigError, {"options": DecodeOptions(suppress_tokens=tuple(range(1000)), timestamps=False)}),
        (ConfigError, {"options": DecodeOptions(suppress_tokens=tuple(t for t in range(768) if t != 220))}),
        (ConfigError, {"options": DecodeOptions(suppress_tokens=(875,))}),
        (ShapeError, {"encoded": EncodedWindow(torch.zeros(1500, 32))}),
    ],
)
def test_what_the_checkpoint_cannot_do_is_refused_at_once(engine, error, fields):
    with pytest.raises(error, match="allowed"):
        engine.submit(DecodeRequest(samples=SAMPLES, **fields))
    assert engine.stats().n_waiting == engine.stats().n_occupied == 0


@pytest.mark.parametrize(
    ("error", "samples"),
    [
        (ShapeError, np.zeros(480_001, np.float32)),
        (ShapeError, np.zeros((1, 10), np.float32)),
        (ShapeError, np.zeros(10, np.float64)),
        (ShapeError, [0.0, 1.0]),
        (AudioError, np.array([0.0, np.nan], np.float32)),
        (AudioError, np.array([np.inf], np.float32)),
    ],
)
@pytest.mark.parametrize("kind", [DecodeRequest, DetectRequest])
def test_samples_that_are_no_window_are_refused(kind, error, samples):
    with pytest.raises(error, match="samples"):
        kind(samples=samples)


def test_a_request_needs_a_window():
    with pytest.raises(ConfigError, match="samples, encoded"):
        DecodeRequest(language="en")


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_prefix_that_the_model_would_have_written_changes_nothing(demo_engine, timestamps):
    """Its tokens belong to the text, in front of what is sampled, and the grammar goes on from them."""
    options = DecodeOptions(temperatures=(0.0,), max_tokens=8, max_initial_timestamp_s=0.0, timestamps=timestamps)
    speech = decode(tiny_models.DEMO / "sample.mp3").samples[: 10 * SAMPLE_RATE]

    def continued(prefix_ids):
        request = DecodeRequest(samples=speech, language="en", prefix_ids=prefix_ids, options=options)
        return demo_engine.submit(request).result(TIMEOUT_S)

    own = continued(()).token_ids
    n_stamps = int(timestamps)
    assert len(own) == 8
    for n_given in (1, 2):
        given = continued(own[n_stamps : n_stamps + n_given])
        assert given.token_ids[: len(own)] == own
        assert given.text.startswith(demo_engine._vocabulary._tokenizer.decode(own).strip())


def test_a_prefix_stays_at_every_attempt(engine):
    options = DecodeOptions(temperatures=(0.0, 0.9), max_tokens=6, logprob_threshold=-1e-6, no_speech_threshold=None)
    request = DecodeRequest(samples=SAMPLES, language="en", prefix_ids=(5, 6, 7), options=options)
    hypothesis = engine.submit(request).result(TIMEOUT_S)
    assert hypothesis.n_attempts == 2
    begin = engine._vocabulary._tokenizer.timestamp_begin
    assert hypothesis.token_ids[:4] == (begin, 5, 6, 7)
    assert -50 < hypothesis.avg_logprob < 0


def test_english_only_checkpoints_have_neither_languages_nor_modes(english_engine):
    detection = english_engine.detect_language(DetectRequest(samples=SAMPLES)).result(TIMEOUT_S)
    assert (detection.language, detection.probability, detection.probabilities) == ("en", 1.0, {"en": 1.0})
    options = DecodeOptions(temperatures=(0.0,), max_tokens=5)
    for language in (None, "en"):
        request = DecodeRequest(samples=SAMPLES, language=language, options=options)
        assert english_engine.submit(request).result(TIMEOUT_S).language == "en"
    with pytest.raises(LanguageError):
        english_engine.submit(DecodeRequest(samples=SAMPLES, language="de"))
    with pytest.raises(ModeError, match="translate"):
        english_engine.submit(DecodeRequest(samples=SAMPLES, options=DecodeOptions(mode="translate")))


def test_a_multilingual_checkpoint_that_cannot_translate_refuses_to():
    cut_down = replace(SIZES, n_vocab=51_866, n_encoder_layers=2)
    vocabulary = Vocabulary(tiny_models.checkpoint(cut_down))
    vocabulary.check(DecodeRequest(samples=SAMPLES, options=DecodeOptions(mode="transcribe")))
    with pytest.raises(ModeError, match="translate"):
        vocabulary.check(DecodeRequest(samples=SAMPLES, options=DecodeOptions(mode="translate")))


@pytest.mark.parametrize("timestamps", [True, False])
def test_one_text_token_that_is_left_is_enough(engine, timestamps):
    tokenizer = tiny_models.demo_checkpoint().tokenizer
    suppressed = tuple(token for token in range(tokenizer.timestamp_begin) if token != 7)
    if not timestamps:
        suppressed += tuple(range(tokenizer.timestamp_begin, 2376))
    options = DecodeOptions(suppress_tokens=suppressed, timestamps=timestamps, temperatures=(0.0,))
    got = engine.submit(DecodeRequest(samples=SAMPLES, language="en", options=options)).result(TIMEOUT_S)
    assert {token for token in got.token_ids if token < tokenizer.timestamp_begin} == {7}


def test_a_checkpoint_knows_the_languages_that_its_generation_config_lists():
    checkpoint = tiny_models.knowing(tiny_models.checkpoint(SIZES), "de", "es")
    with Engine(tiny_models.whisper(SIZES), checkpoint, EngineConfig(n_threads=1, n_slots=1)) as small:
        detection = small.detect_language(DetectRequest(samples=SAMPLES)).result(TIMEOUT_S)
        assert list(detection.probabilities) == ["de", "es"]
        assert sum(detection.probabilities.values()) == pytest.approx(1.0)
        request = DecodeRequest(samples=SAMPLES, options=DecodeOptions(temperatures=(0.0,), max_tokens=3))
        assert small.submit(request).result(TIMEOUT_S).language == detection.language
        with pytest.raises(LanguageError, match="got 'en', allowed: de, es"):
            small.submit(replace(request, language="en"))


def test_an_empty_window_is_a_window_of_silence(demo_engine):
    empty = demo_engine.submit(DecodeRequest(samples=np.zeros(0, np.float32), language="en")).result(TIMEOUT_S)
    silence = demo_engine.submit(DecodeRequest(samples=np.zeros(480_000, np.float32), language="en")).result(TIMEOUT_S)
    assert empty == silence
    assert silence.text == ""


def test_a_window_may_be_decoded_again_at_full_length(engine):
    """Three attempts have more tokens than the context holds: each must start over at the end of the prefix."""
    options = DecodeOptions(
        temperatures=(0.0, 0.1, 0.2),
        suppress_tokens=(tiny_models.demo_checkpoint().tokenizer.eot,),
        logprob_threshold=0.0,
    )
    hypothesis = engine.submit(DecodeRequest(samples=SAMPLES, language="en", options=options)).result(TIMEOUT_S)
    assert (hypothesis.n_attempts, len(hypothesis.token_ids)) == (3, 224)


def test_a_freed_slot_between_busy_ones_stays_at_rest():
    """Its row is computed along with its neighbours; were it still counted on, it would run out of the context."""
    eot = tiny_models.demo_checkpoint().tokenizer.eot

    def request(n_tokens: int, prompt_ids: tuple[int, ...] = ()) -> DecodeRequest:
        options = DecodeOptions(temperatures=(0.0,), max_tokens=n_tokens, suppress_tokens=(eot,))
        return DecodeRequest(samples=SAMPLES, language="en", prompt_ids=prompt_ids, options=options)

    config = EngineConfig(n_threads=1, n_slots=3)
    with Engine(tiny_models.whisper(SIZES), tiny_models.checkpoint(SIZES), config) as shared:
        futures = [shared.submit(r) for r in (request(224), request(40, (5,) * 223), request(224))]
        assert [len(future.result(TIMEOUT_S).token_ids) for future in futures] == [224, 40, 224]


@torch.inference_mode()
def test_no_speech_probability_is_that_after_the_start_token():
    checkpoint, model = tiny_models.checkpoint(SIZES), tiny_models.whisper(SIZES)
    t = checkpoint.tokenizer
    with Engine(model, checkpoint, EngineConfig(n_threads=1, n_slots=1)) as single:
        request = DecodeRequest(
            samples=SAMPLES,
            language="en",
            prompt_ids=(5, 6, 7),
            options=DecodeOptions(temperatures=(0.0,), max_tokens=3),
        )
        got = single.submit(request).result(TIMEOUT_S).no_speech_prob
    caches = DecoderCache.allocate(SIZES, 1, tiny_models.CPU, torch.float32)
    model.cross_kv(model.encode(log_mel(SIZES.n_mels, tiny_models.CPU)([SAMPLES])), caches.cross_kv)
    tokens = torch.tensor([[t.sot_prev, 5, 6, 7, t.sot]])
    hidden = model.decode(tokens, torch.zeros(1, dtype=torch.int64), caches.self_kv, caches.cross_kv, n_keys=5)
    assert got == pytest.approx(model.logits(hidden)[0, -1].softmax(-1)[t.no_speech].item(), rel=1e-3)


def test_prefix():
    t = tiny_models.demo_checkpoint().tokenizer
    german = [t.sot, t.language_ids["de"]]
    assert build_prefix(t, "de", "transcribe").token_ids == (*german, t.transcribe)
    assert build_prefix(t, "de", "translate", timestamps=False).token_ids == (*german, t.translate, t.no_timestamps)
    prompted = build_prefix(t, "de", "transcribe", range(300))
    assert prompted.token_ids == (t.sot_prev, *range(77, 300), *german, t.transcribe)
    assert prompted.token_ids[prompted.sot_index] == t.sot
    english = tiny_models.checkpoint(SIZES, is_multilingual=False).tokenizer
    assert build_prefix(english, "en", "transcribe", timestamps=False).token_ids == (t.sot, t.no_timestamps)


def test_tokens_that_steer_the_decoder_are_never_produced():
    t = tiny_models.demo_checkpoint().tokenizer
    vocabulary = Vocabulary(tiny_models.checkpoint(SIZES))
    for options in (DecodeOptions(), DecodeOptions(suppress_tokens=()), DecodeOptions(suppress_tokens=(7,))):
        decoding = vocabulary.begin(DecodeRequest(samples=SAMPLES, language="en", options=options), None)
        suppressed = set(vocabulary.prefill_input(0, decoding).suppress)
        assert suppressed >= {t.sot, t.sot_prev, t.sot_lm, t.transcribe, t.translate, t.no_speech}
        assert (7 in suppressed) == (options.suppress_tokens == (7,))


def test_a_dropped_engine_ends_its_thread():
    made = Engine(tiny_models.whisper(SIZES), tiny_models.checkpoint(SIZES), EngineConfig(n_threads=1, n_slots=1))
    thread = made._loop._thread
    future = made.submit(DecodeRequest(samples=SAMPLES, language="en"))
    del made
    gc.collect()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert future.exception(TIMEOUT_S) is None or isinstance(future.exception(), EngineClosedError)


def test_a_closed_engine_takes_nothing_and_says_so():
    made = Engine(tiny_models.whisper(SIZES), tiny_models.checkpoint(SIZES), EngineConfig(n_threads=1, n_slots=1))
    with made:
        pass
    with pytest.raises(EngineClosedError):
        made.submit(DecodeRequest(samples=SAMPLES, language="en"))
    with pytest.raises(EngineClosedError):
        made.detect_language(DetectRequest(samples=SAMPLES))
    made.cancel("nobody")
    made.close()
    assert made.stats().n_slots == 1


def test_the_interpreter_ends_while_the_engine_works():
    code = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import tiny_models
        from ifw.config import EngineConfig
        from ifw.engine.engine import Engine
        from ifw.engine.request import DecodeRequest
        sizes = tiny_models.dims(layers=(1, 1), d_model=64, n_heads=1)
        engine = Engine(tiny_models.whisper(sizes), tiny_models.checkpoint(sizes), EngineConfig(n_threads=1))
        futures = [engine.submit(DecodeRequest(samples=tiny_models.window(i, 1), language="en")) for i in range(50)]
        futures[0].result(60)
        print("leaving", flush=True)
    """
    folder = str(tiny_models.__file__).rsplit("/", 1)[0]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), folder],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_importing_the_engine_needs_little():
    code = """
        import sys, ifw.engine.engine
        heavy = {"av", "huggingface_hub", "rich", "typer", "transformers", "fastapi", "silero_vad", "scipy"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=TIMEOUT_S)


def test_slots_follow_from_memory(monkeypatch):
    cpu, fp32 = torch.device("cpu"), torch.float32
    large = ModelDims(128, 51_866, 1280, 20, 32, 32, 5120, 5120)
    assert slot_bytes(large, torch.float16) == 32 * 2 * 1280 * (448 + 1500) * 2
    monkeypatch.setattr(cache, "_total_memory_bytes", lambda: 1 << 36)
    assert choose_n_slots(slot_bytes(SIZES, fp32), cpu) == 16
    assert choose_n_slots(slot_bytes(large, fp32), cpu) == 3
    monkeypatch.setattr(cache, "_total_memory_bytes", lambda: 1 << 30)
    assert choose_n_slots(slot_bytes(large, fp32), cpu) == 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (20 << 30, 24 << 30))
    assert choose_n_slots(slot_bytes(large, torch.float16), torch.device("cuda")) == 40


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (torch.OutOfMemoryError("no room"), EngineMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 bytes"), EngineMemoryError),
        (MemoryError(), EngineMemoryError),
        (RuntimeError("something else"), RuntimeError),
    ],
)
def test_cache_that_does_not_fit_is_a_clear_error(monkeypatch, raised, expected):
    def refuse(*args, **kwargs):
        raise raised

    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.raises(expected) as caught:
        DecoderCache.allocate(SIZES, 9, torch.device("cpu"), torch.float32)
    assert caught.type is expected
    assert ("n_slots: got 9" in str(caught.value)) == (expected is EngineMemoryError)


def test_views_share_the_cache():
    whole = DecoderCache.allocate(SIZES, 4, torch.device("cpu"), torch.float32)
    part = whole.view(1, 3)
    part.self_kv.fill_(float("nan"))
    part.cross_kv.fill_(2.0)
    assert (whole.n_slots, part.n_slots) == (4, 2)
    assert whole.cross_kv[0, 0, :, 0, 0, 0].tolist() == [0, 2, 2, 0]
    whole.wipe(1)
    assert whole.self_kv.isnan().any(dim=(0, 1, 3, 4, 5)).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("has_cuda", "given", "expected"),
    [
        (False, ("auto", "auto"), ("cpu", "bfloat16")),
        (True, ("auto", "auto"), ("cuda", "float16")),
        (True, ("cpu", "auto"), ("cpu", "bfloat16")),
        (True, ("cpu", "float32"), ("cpu", "float32")),
        (True, ("cuda", "bfloat16"), ("cuda", "bfloat16")),
        (False, ("cpu", "bfloat16"), ("cpu", "bfloat16")),
    ],
)
def test_auto_is_resolved(monkeypatch, has_cuda, given, expected):
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(device, "default_compute_type", lambda: "bfloat16")
    monkeypatch.setattr(device, "ops_for", lambda device, compute_type, encoder_products: None)
    config = resolve_config(EngineConfig(device=given[0], compute_type=given[1], n_slots=7))
    assert (config.device, config.compute_type) == expected
    assert replace(config, device=given[0], compute_type=given[1]) == EngineConfig(
        device=given[0], compute_type=given[1], n_slots=7
    )


@pytest.mark.parametrize(
    ("given", "match"), [({"device": "cuda"}, "device"), ({"compute_type": "float16"}, "compute_type")]
)
def test_what_the_machine_cannot_do_is_refused(monkeypatch, given, match):
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=match):
        resolve_config(EngineConfig(**given))
