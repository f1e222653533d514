import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import jiwer
import numpy as np
import pytest

from ifw import AudioOptions, CancelToken, DecodeOptions, TranscribeOptions, Transcriber, VadOptions
from ifw.audio import decode
from ifw.errors import (
    AudioEmptyError,
    AudioNotFoundError,
    AudioTooLongError,
    CancelledError,
    ConfigError,
    EngineClosedError,
    LanguageError,
    ModelNotFoundError,
)

ENGLISH = TranscribeOptions(decode=DecodeOptions(language="en"))


def words(text):
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower()).split())


def spoken(reference):
    return words(" ".join(segment["text"] for segment in reference["segments"]))


def assert_same(segments, expected):
    """Equal in every text and time; probabilities may differ in rounding, as batches differ in size."""
    exact = [(s.id, s.start_s, s.end_s, s.text, s.token_ids, s.language, s.temperature) for s in segments]
    assert exact == [(s.id, s.start_s, s.end_s, s.text, s.token_ids, s.language, s.temperature) for s in expected]
    assert [s.avg_logprob for s in segments] == pytest.approx([s.avg_logprob for s in expected], abs=1e-4)


@pytest.fixture(scope="module")
def transcript(transcriber, sample):
    return transcriber.transcribe(sample)


def test_the_sample_is_understood(transcript, reference):
    assert transcript.language == "en"
    assert transcript.language_probability > 0.5
    assert jiwer.wer(spoken(reference), words(transcript.text)) <= 0.1
    assert transcript.warnings == ()
    assert transcript.model == "demo"


def test_segments_are_in_order_and_inside_the_audio(transcript):
    assert [segment.id for segment in transcript.segments] == list(range(len(transcript.segments)))
    edges = [edge for segment in transcript.segments for edge in (segment.start_s, segment.end_s)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= transcript.duration_s
    assert all(segment.end_s > segment.start_s for segment in transcript.segments)
    assert all(segment.text == segment.text.strip() != "" for segment in transcript.segments)


def test_text_is_the_segments_joined(transcript):
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)


def test_timings_say_where_the_time_went(transcript):
    assert {"load", "decode", "speech", "first_text", "total"} <= transcript.timings.keys()
    assert 0 < transcript.timings["first_text"] <= transcript.timings["total"]


def test_bytes_and_file_objects_give_what_the_path_gives(transcriber, sample, transcript):
    data = sample.read_bytes()
    assert_same(transcriber.transcribe(data).segments, transcript.segments)
    assert_same(transcriber.transcribe(io.BytesIO(data)).segments, transcript.segments)
    with sample.open("rb") as file:
        assert_same(transcriber.transcribe(file).segments, transcript.segments)


def test_stream_hands_out_the_same_segments_one_by_one(transcriber, sample, transcript):
    stream = transcriber.stream(sample)
    with pytest.raises(RuntimeError, match="iterate to the end"):
        stream.transcript  # noqa: B018
    segments = tuple(stream)
    assert_same(segments, transcript.segments)
    assert stream.transcript.segments == segments
    assert list(stream) == []


def test_block_length_changes_nothing(transcriber, sample, transcript):
    options = TranscribeOptions(audio=AudioOptions(block_s=1.7, n_workers=1))
    assert_same(transcriber.transcribe(sample, options).segments, transcript.segments)


def test_files_at_the_same_time_give_what_each_gives_alone(transcriber, sample, transcript):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: transcriber.transcribe(sample).segments, range(4)))
    for segments in results:
        assert_same(segments, transcript.segments)


def test_without_voice_detection_the_text_is_nearly_the_same(transcriber, sample, reference):
    options = TranscribeOptions(vad=VadOptions(enabled=False))
    assert jiwer.wer(spoken(reference), words(transcriber.transcribe(sample, options).text)) <= 0.15


def test_progress_only_grows_and_ends_at_the_total(transcriber, sample):
    seen = {"decode": [], "transcribe": []}
    transcript = transcriber.transcribe(sample, on_progress=lambda p: seen[p.stage].append((p.done_s, p.total_s)))
    for stage, reports in seen.items():
        done = [done_s for done_s, _ in reports]
        assert done == sorted(done), stage
        assert reports[-1] == (transcript.duration_s, transcript.duration_s), stage


def test_cancelling_ends_the_work_and_frees_the_engine(transcriber, sample):
    token = CancelToken()
    stream = transcriber.stream(sample, ENGLISH, cancel=token)
    next(stream)
    token.cancel()
    with pytest.raises(CancelledError):
        list(stream)
    assert transcriber.transcribe(sample, ENGLISH).segments
    assert transcriber.stats().n_occupied == transcriber.stats().n_waiting == 0


def test_cancelling_from_another_thread_wakes_the_waiting_one(transcriber, sample):
    token = CancelToken()

    def cancel_from_another_thread(progress):
        threading.Thread(target=token.cancel).start()

    def transcribe_many():  # the first may have ended before the token was cancelled
        for _ in range(100):
            transcriber.transcribe(sample, on_progress=cancel_from_another_thread, cancel=token)

    with pytest.raises(CancelledError):
        transcribe_many()


def test_a_token_cancelled_before_ends_at_once(transcriber, sample):
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        transcriber.transcribe(sample, cancel=token)


def test_leaving_a_stream_early_frees_the_engine(transcriber, sample):
    stream = transcriber.stream(sample)
    next(stream)
    stream.close()
    assert list(stream) == []
    assert transcriber.transcribe(sample).segments
    assert transcriber.stats().n_occupied == transcriber.stats().n_waiting == 0


def test_closing_the_transcriber_ends_what_runs(sample):
    transcriber = Transcriber("demo", n_threads=1, n_slots=1)
    stream = transcriber.stream(sample)
    next(stream)
    transcriber.close()
    transcriber.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    with pytest.raises(EngineClosedError):
        transcriber.transcribe(sample)


def noises():
    time_s = np.arange(20 * 16_000) / 16_000
    rng = np.random.default_rng(7)
    chord = sum(np.sin(2 * np.pi * pitch * time_s) for pitch in (220, 277.2, 329.6))
    return {
        "silence": np.zeros_like(time_s),
        "dither": rng.integers(-1, 2, len(time_s)) / 32767,
        "noise": 0.1 * rng.standard_normal(len(time_s)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time_s),
        "chords": 0.1 * chord * (1 + np.sin(2 * np.pi * 0.5 * time_s)),
    }


@pytest.mark.parametrize("vad", [True, False], ids=["vad", "no-vad"])
@pytest.mark.parametrize("kind", ["silence", "dither", "noise", "tone", "chords"])
def test_audio_without_speech_gives_an_empty_transcript(transcriber, make_wav, kind, vad):
    options = TranscribeOptions(vad=VadOptions(enabled=vad))
    transcript = transcriber.transcribe(make_wav(kind, noises()[kind]), options)
    assert (transcript.text, transcript.segments) == ("", ())
    assert transcript.duration_s == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("vad", [True, False], ids=["vad", "no-vad"])
def test_speech_that_peaks_at_minus_50_db_keeps_its_text(transcriber, sample, make_wav, vad):
    samples = decode(sample).samples[: 12 * 16_000]
    options = TranscribeOptions(decode=DecodeOptions(language="en"), vad=VadOptions(enabled=vad))
    quiet = samples / np.abs(samples).max() * 10 ** (-50 / 20)
    expected = transcriber.transcribe(make_wav("loud", samples), options).text
    found = transcriber.transcribe(make_wav("quiet", quiet), options).text
    assert len(expected.split()) > 10
    assert jiwer.wer(expected, found) < 0.3


def test_a_suspect_window_is_searched_and_its_text_is_kept(transcriber, sample, make_wav):
    samples = decode(sample).samples[: 8 * 16_000]
    strict = DecodeOptions(
        language="en", temperatures=(0.0, 0.4), beam_size=3, best_of=2, logprob_threshold=-0.0, no_speech_threshold=None
    )
    before = transcriber.stats().n_search_steps
    transcript = transcriber.transcribe(make_wav("searched", samples), TranscribeOptions(decode=strict))
    assert transcriber.stats().n_search_steps > before
    assert {segment.suspect for segment in transcript.segments} == {"low_probability"}
    assert len(transcript.text.split()) > 5


def test_a_truncated_file_gives_what_is_there_and_a_warning(transcriber, sample, tmp_path, transcript):
    data = sample.read_bytes()
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(data[: len(data) // 2])
    partial = transcriber.transcribe(cut)
    assert [warning.code for warning in partial.warnings] == ["audio_truncated"]
    assert 0.3 < len(partial.segments) / len(transcript.segments) < 0.7


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("no/such/file.mp3", AudioNotFoundError),
        (b"", AudioEmptyError),
        (3.5, ConfigError),
    ],
    ids=["missing", "empty", "number"],
)
def test_a_bad_source_is_a_clear_error_and_the_next_file_works(transcriber, sample, source, error):
    with pytest.raises(error):
        transcriber.transcribe(source)
    assert next(transcriber.stream(sample, ENGLISH)).text


def test_audio_over_the_cap_is_refused(transcriber, sample):
    with pytest.raises(AudioTooLongError):
        transcriber.transcribe(sample, TranscribeOptions(audio=AudioOptions(max_duration_s=10.0)))


def test_an_unknown_language_is_refused_before_any_work(transcriber):
    with pytest.raises(LanguageError, match="klingon"):
        transcriber.stream("no/such/file.mp3", TranscribeOptions(decode=DecodeOptions(language="klingon")))


def test_language_may_be_a_name_or_a_tag(transcriber, sample):
    for language in ("German", "de-DE", "DE"):
        options = TranscribeOptions(decode=DecodeOptions(language=language))
        stream = transcriber.stream(sample, options)
        assert next(stream).language == "de"
        stream.close()


def test_a_long_prompt_is_cut_with_a_warning(transcriber, sample):
    options = TranscribeOptions(decode=DecodeOptions(language="en", initial_prompt="Peter needs twelve boxes. " * 200))
    transcript = transcriber.transcribe(sample, options)
    assert [warning.code for warning in transcript.warnings] == ["prompt_truncated"]
    assert transcript.segments


def test_an_unknown_model_is_named():
    with pytest.raises(ModelNotFoundError, match="demoo"):
        Transcriber("demoo")


@pytest.mark.parametrize("model", [None, 5])
def test_a_model_that_is_no_name_is_refused(model):
    with pytest.raises(ConfigError, match=f"model: got {model}, allowed"):
        Transcriber(model)
