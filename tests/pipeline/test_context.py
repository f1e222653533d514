"""What the windows of one file are given to read, and when: with an engine that records every request."""

from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from made_hypotheses import NOTHING_ODD

from ifw import CancelToken, DecodeOptions, TranscribeOptions, VadOptions
from ifw.audio.decoder_process import launch_fresh
from ifw.engine.request import LanguageDetection
from ifw.pipeline.context import MAX_PREVIOUS_TOKENS
from ifw.pipeline.flights import MIN_IN_FLIGHT
from ifw.pipeline.transcription import Transcription

N_WINDOWS = 20


class Answer(Future):
    """Is there only when somebody waits for it, so that what runs together shows."""

    def __init__(self, engine, hypothesis):
        super().__init__()
        self.engine, self.hypothesis = engine, hypothesis

    def result(self, timeout=None):
        if not self.done():
            self.engine.n_running -= 1
            self.set_result(self.hypothesis)
        return super().result(timeout)


class RecordingEngine:
    """Says `say[i]` in window i, or its number."""

    n_slots = 4

    def __init__(self, tokenizer, changes, languages):
        self.tokenizer, self.changes, self.languages = tokenizer, changes, languages
        self.asked, self.requests = [], []  # all, and the first about each window
        self.n_running, self.most_running = 0, 0
        self.surer_without_prompt = False
        self.misled_by = None  # a prompt with this text makes it write one word for the first tenth of a second
        self.unprompted = {}  # changes to what it says then without the prompt

    def submit(self, request):
        if request.window_index not in {earlier.window_index for earlier in self.asked}:
            self.requests.append(request)
        self.asked.append(request)
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        begin = self.tokenizer.timestamp_begin
        text_ids = self.tokenizer.encode(said(request.window_index))
        hypothesis = replace(
            NOTHING_ODD,
            token_ids=(begin, *request.prefix_ids, *text_ids, begin + 5),
            text=said(request.window_index),
            language=request.language,
        )
        hypothesis = replace(hypothesis, **self.changes.get(request.window_index, {}))
        if self.misled_by is not None and self.misled_by in self.tokenizer.decode(request.prompt_ids):
            hypothesis = replace(hypothesis, token_ids=(begin, text_ids[0], begin + 5))
        elif self.misled_by is not None:
            hypothesis = replace(
                hypothesis, token_ids=(begin, *text_ids, begin + len(request.samples) // 320), **self.unprompted
            )
        if self.surer_without_prompt and not request.prompt_ids:
            text = f" Alone {request.window_index}."
            token_ids = (begin, *self.tokenizer.encode(text), begin + len(request.samples) // 320)
            surer = hypothesis.avg_logprob + 0.1
            hypothesis = replace(hypothesis, token_ids=token_ids, avg_logprob=surer, **self.unprompted)
        return Answer(self, hypothesis)

    def detect_language(self, request):
        language = self.languages.pop(0)
        future = Future()
        future.set_result(LanguageDetection(language, 1.0, {language: 1.0}, 0.0, encoded=None))
        return future

    def check_process(self):
        pass

    def cancel_group(self, group):
        pass


def said(index):
    return f" The {index} boxes."


@pytest.fixture(scope="module")
def recording(make_wav):
    return make_wav("noise", 0.1 * np.random.default_rng(1).standard_normal(N_WINDOWS * 16_000))


@pytest.fixture
def run(transcriber, recording):
    """Transcribes 20 windows; returns the engine, and the transcript."""

    def run(
        changes=(), languages=(), *, misled_by=None, surer_without_prompt=False, unprompted=(), window_s=1.0, **options
    ):
        engine = RecordingEngine(transcriber.checkpoint.tokenizer, dict(changes), list(languages))
        engine.misled_by, engine.unprompted = misled_by, dict(unprompted)
        engine.surer_without_prompt = surer_without_prompt
        options = {"language": "en"} | options
        transcription = Transcription(
            recording,
            TranscribeOptions(DecodeOptions(**options), VadOptions(enabled=False, max_window_s=window_s)),
            engine=engine,
            checkpoint=transcriber.checkpoint,
            detector=None,
            launch=launch_fresh,
            on_progress=None,
            cancel=CancelToken(),
            timings={},
        )
        assert list(transcription)
        assert len(engine.requests) >= N_WINDOWS / window_s
        return engine, transcription.transcript

    return run


def prompts(engine):
    return [engine.tokenizer.decode(request.prompt_ids) for request in engine.requests]


def before(index):
    return "".join(said(earlier) for earlier in range(index))


def test_windows_are_independent_and_decoded_together(run):
    engine, _ = run()
    assert set(prompts(engine)) == {""}
    assert engine.most_running == max(MIN_IN_FLIGHT, 2 * engine.n_slots)


def test_the_initial_prompt_is_for_the_first_window_and_hot_words_for_each(run):
    engine, _ = run(initial_prompt="A talk.", hotwords="Anna, Ida")
    assert prompts(engine)[0] == " Anna, Ida A talk."
    assert set(prompts(engine)[1:]) == {" Anna, Ida"}


def test_a_prefix_is_for_the_first_window(run):
    engine, transcript = run(prefix="Well,")
    assert [engine.tokenizer.decode(request.prefix_ids) for request in engine.requests[:3]] == [" Well,", "", ""]
    assert transcript.text.startswith("Well, The 0 boxes. The 1 boxes.")


def test_each_window_is_given_the_text_before_it(run):
    engine, _ = run(condition_on_previous_text=True, initial_prompt="A talk.", hotwords="Anna")
    for index in range(5):
        assert prompts(engine)[index] == " Anna A talk." + before(index)
    assert engine.most_running == 1


def test_of_previous_text_the_end_is_given_without_timestamps(run):
    """The hot words stay whole, the text next to the audio stays, what is older goes."""
    hotwords, initial_prompt = "Anna " * 30, "A talk. " * 8
    engine, transcript = run(condition_on_previous_text=True, hotwords=hotwords, initial_prompt=initial_prompt)
    encode = engine.tokenizer.encode
    hotword_ids, text_ids = encode(" " + hotwords.strip()), encode(" " + initial_prompt.strip())
    for index in range(len(engine.requests) - 1):
        text_ids += encode(said(index))
    assert len(text_ids) > MAX_PREVIOUS_TOKENS
    assert engine.requests[-1].prompt_ids == (*hotword_ids, *text_ids[-MAX_PREVIOUS_TOKENS:])
    assert transcript.warnings == ()


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.6}, {"suspect": "repetition"}, {"suspect": "low_probability"}],
    ids=["temperature", "repetition", "low_probability"],
)
def test_text_is_forgotten_after_a_window_that_is_not_trusted(run, change):
    engine, _ = run(changes={2: change}, condition_on_previous_text=True, hotwords="Anna")
    assert prompts(engine)[2] == " Anna" + before(2)
    assert prompts(engine)[3] == " Anna"
    assert prompts(engine)[5] == " Anna" + said(3) + said(4)


def test_a_temperature_of_a_half_is_trusted_and_silence_passes(run):
    changes = {1: {"temperature": 0.5}, 2: {"is_silent": True, "temperature": 1.0}}
    engine, _ = run(changes=changes, condition_on_previous_text=True)
    assert prompts(engine)[4] == said(0) + said(1) + said(3)


def test_text_is_forgotten_where_the_language_changes(run):
    languages = ["en", "en", "de", "de", "en"] + ["en"] * N_WINDOWS
    engine, transcript = run(
        languages=languages, language=None, multilingual=True, condition_on_previous_text=True, initial_prompt="A talk."
    )
    assert prompts(engine)[:6] == [
        " A talk.",
        " A talk." + said(0),
        "",
        said(2),
        "",
        said(4),
    ]
    assert [segment.language for segment in transcript.segments[:5]] == ["en", "en", "de", "de", "en"]
    assert transcript.language == "en"


def test_the_language_that_is_given_has_no_runners_up(run):
    _, transcript = run()
    assert (transcript.language, transcript.language_probability, transcript.language_probabilities) == ("en", 1.0, {})


def test_a_prompt_that_makes_the_model_leave_out_speech_is_taken_away(run):
    """Batched or prompted, text is not dropped in silence: the window is heard again without a prompt."""
    engine, transcript = run(misled_by="talk", initial_prompt="A talk.", hotwords="Anna", window_s=5.0)
    heard = [(request.window_index, engine.tokenizer.decode(request.prompt_ids)) for request in engine.asked]
    assert [prompt for index, prompt in heard if index == 0] == [" Anna A talk.", ""]
    assert [prompt for index, prompt in heard if index == 1] == [" Anna"]
    assert transcript.text.startswith("The 0 boxes. The 1 boxes.")


def test_text_that_was_heard_again_is_what_the_next_window_is_given(run):
    engine, transcript = run(misled_by="The 1", condition_on_previous_text=True, window_s=2.0)
    heard = [(request.window_index, engine.tokenizer.decode(request.prompt_ids)) for request in engine.asked]
    assert heard[:6] == [(0, ""), (1, before(1)), (1, ""), (2, before(2)), (2, ""), (3, before(3))]
    assert transcript.text.startswith("The 0 boxes. The 1 boxes. The 2 boxes. The 3 boxes.")


@pytest.mark.parametrize("worse", [{"suspect": "repetition"}, {"is_silent": True}], ids=["suspect", "silent"])
def test_what_is_less_trustworthy_without_the_prompt_is_not_taken(run, worse):
    _, transcript = run(misled_by="talk", unprompted=worse, initial_prompt="A talk.", window_s=5.0)
    assert "The 0 boxes." not in transcript.text


def test_without_a_prompt_nothing_is_heard_twice(run):
    engine, _ = run(window_s=5.0)
    assert engine.asked == engine.requests


def test_of_the_texts_with_and_without_previous_text_the_likelier_is_kept(run):
    engine, transcript = run(surer_without_prompt=True, condition_on_previous_text=True)
    assert transcript.text.startswith("Alone 0. Alone 1. Alone 2.")
    assert prompts(engine)[2] == " Alone 0. Alone 1.", "and it is what the next window is given"


@pytest.mark.parametrize("worse", [{"suspect": "repetition"}, {"is_silent": True}], ids=["suspect", "silent"])
def test_what_is_likelier_but_odd_is_not_kept(run, worse):
    options = {"surer_without_prompt": True, "condition_on_previous_text": True}
    _, transcript = run(**options, unprompted=worse, initial_prompt="A talk.")
    assert transcript.text.startswith("The 0 boxes. The 1 boxes.")


def test_hot_words_and_initial_prompt_alone_are_not_compared_with_nothing(run):
    engine, transcript = run(surer_without_prompt=True, hotwords="Anna")
    assert engine.asked == engine.requests
    assert transcript.text.startswith("The 0 boxes.")


def test_the_language_of_the_file_is_that_of_its_text_where_each_window_decides(run):
    """Windows of which nothing is written do not count, however many they are."""
    silent = {index: {"is_silent": True, "text": ""} for index in range(2, 2 * N_WINDOWS)}
    languages = ["de", "de", *["en"] * (2 * N_WINDOWS)]
    _, transcript = run(silent, languages, language=None, multilingual=True)
    assert transcript.language == "de"
