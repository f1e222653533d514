"""The flags of `ifw transcribe`: what they make of the options, and what is said about those that cannot be."""

import dataclasses
from typing import get_args

import pytest
from typer.main import get_command

from ifw.cli.app import app
from ifw.cli.destinations import ALL_FORMATS
from ifw.cli.flag_names import in_flags
from ifw.cli.flags import OutputFormat
from ifw.cli.temperature_flags import temperature_ladder
from ifw.config import (
    DEFAULT_TEMPERATURES,
    DecodeOptions,
    DiarizationOptions,
    EngineConfig,
    Preset,
    SubtitleOptions,
    TranscribeOptions,
    VadOptions,
)
from ifw.diarize.places import DEFAULT_MODEL
from ifw.formats import FORMATS, FormatName

WITHOUT_FLAG = {
    "timestamps",
    "enabled",
    "suppress_tokens",
    "max_tokens",
    "max_initial_timestamp_s",
    "boost_quiet",
    "min_level_db",
    "token_logprobs",  # for programs
    "prefix",  # how one known file begins: for callers of the library
}
CHECKED = {
    field.name
    for made in (DecodeOptions, VadOptions, SubtitleOptions, EngineConfig, DiarizationOptions)
    for field in dataclasses.fields(made)
}
CHECKED = CHECKED - WITHOUT_FLAG - {"encode_batch"}


def test_options_left_alone_are_the_library_s(ifw, record, transcribers):
    ifw("transcribe", record("a.mp3"))
    made = transcribers[0]
    assert made.options == [TranscribeOptions()]
    assert (made.model, made.draft_model, made.config) == ("turbo", None, EngineConfig())


def test_every_option_arrives(ifw, record, transcribers):
    flags = (
        "--model demo --language de --task translate --initial-prompt Hallo --no-timestamps --seed 7"
        " --hotwords Anna --multilingual --word-timestamps --token-logprobs"
        " --condition-on-previous-text --beam-size 4 --best-of 6"
        " --temperature 0.4 --temperature-increment-on-fallback 0.3 --compression-ratio-threshold none"
        " --logprob-threshold -2 --no-speech-threshold None --vad-onset 0.4 --vad-offset 0.2"
        " --vad-min-speech-ms 1 --vad-min-silence-ms 2 --vad-pad-ms 3 --chunk-size 20 --no-vad"
        " --device cpu --compute-type bfloat16 --batch-size 5 --threads 2"
        " --steps static --cross-kv int8 --encoder-products float8 --draft-model small --draft-tokens 3"
    )
    assert ifw("transcribe", record("a.mp3"), *flags.split()).exit_code == 0
    made = transcribers[0]
    assert (made.model, made.draft_model) == ("demo", "small")
    assert made.config == EngineConfig(
        device="cpu",
        compute_type="bfloat16",
        n_slots=5,
        n_threads=2,
        steps="static",
        cross_kv="int8",
        encoder_products="float8",
        draft_tokens=3,
    )
    decode, vad = made.options[0].decode, made.options[0].vad
    assert decode == DecodeOptions(
        language="de",
        mode="translate",
        initial_prompt="Hallo",
        hotwords="Anna",
        multilingual=True,
        word_timestamps=True,
        token_logprobs=True,
        condition_on_previous_text=True,
        beam_size=4,
        best_of=6,
        temperatures=(0.4, 0.7, 1.0),
        timestamps=False,
        compression_ratio_threshold=None,
        logprob_threshold=-2.0,
        no_speech_threshold=None,
        seed=7,
    )
    assert (vad.enabled, vad.onset, vad.offset) == (False, 0.4, 0.2)
    assert (vad.min_speech_ms, vad.min_silence_ms, vad.pad_ms, vad.max_window_s) == (1, 2, 3, 20.0)


@pytest.mark.parametrize(
    ("first", "increment", "ladder"),
    [
        (0.0, 0.2, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.3, 0.1, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        (0.5, 0.4, (0.5, 0.9)),
        (0.5, 0.0, (0.5,)),
        (0.0, 0.0, (0.0,)),
        (1.5, 0.2, (1.5,)),
        (0.4, None, (0.4, 0.6, 0.8, 1.0)),
        (None, 0.5, (0.0, 0.5, 1.0)),
        (None, None, None),
        (0.0, None, None),
    ],
)
def test_temperature_ladder(first, increment, ladder):
    assert temperature_ladder(first, increment) == ladder


def test_the_default_steps_are_the_library_s():
    assert temperature_ladder(None, DEFAULT_TEMPERATURES[1]) == DEFAULT_TEMPERATURES


@pytest.mark.parametrize("preset", get_args(Preset))
def test_temperature_0_is_the_start_of_the_ladder_and_not_its_end(ifw, record, transcribers, preset):
    ifw("transcribe", record("a.mp3"), "--temperature", "0", "--preset", preset)
    temperatures = transcribers[0].options[0].decode.temperatures
    assert temperatures == DecodeOptions.preset(preset).temperatures
    assert len(temperatures) > 1


@pytest.mark.parametrize("increment", ["none", "0"])
def test_no_increment_never_tries_again(ifw, record, transcribers, increment):
    ifw("transcribe", record("a.mp3"), "--temperature_increment_on_fallback", increment, "--preset", "accurate")
    assert transcribers[0].options[0].decode.temperatures == (0.0,)


@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_preset_is_that_of_the_library(ifw, record, transcribers, preset):
    ifw("transcribe", record("a.mp3"), "--preset", preset)
    assert transcribers[0].options == [TranscribeOptions.preset(preset)]


@pytest.mark.parametrize("preset", get_args(Preset))
def test_flags_win_over_the_preset(ifw, record, transcribers, preset):
    flags = "--beam_size 3 --best-of 2 --no-condition_on_previous_text --temperature 0.6 --preset"
    ifw("transcribe", record("a.mp3"), *flags.split(), preset)
    ifw("transcribe", record("a.mp3"), "--condition_on_previous_text", "--preset", preset)
    first, second = (made.options[0].decode for made in transcribers)
    assert first == DecodeOptions(beam_size=3, best_of=2, temperatures=(0.6, 0.8, 1.0))
    assert second == DecodeOptions.preset(preset, condition_on_previous_text=True)


def test_every_format_can_be_asked_for():
    assert get_args(FormatName) == tuple(FORMATS)
    assert [item.value for item in OutputFormat] == [*FORMATS, ALL_FORMATS]


def test_underscores_are_dashes(ifw, record, transcribers):
    flags = "--initial_prompt a_b --no_vad --compute_type default --vad_min_speech_ms 9 --batch_size 3"
    assert ifw("transcribe", record("a_b.mp3"), *flags.split()).exit_code == 0
    made = transcribers[0]
    assert (made.options[0].decode.initial_prompt, made.options[0].vad.enabled) == ("a_b", False)
    assert (made.options[0].vad.min_speech_ms, made.config.n_slots, made.config.compute_type) == (9, 3, "auto")


@pytest.mark.parametrize(
    ("written", "language"),
    [("auto", None), ("AUTO", None), ("", None), ("None", None), ("GERMAN", "de"), ("en-US", "en"), ("yue", "yue")],
)
def test_languages_are_found_by_what_people_call_them(ifw, record, transcribers, written, language):
    ifw("transcribe", record("a.mp3"), "--language", written)
    assert transcribers[0].options[0].decode.language == language


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "5000"], "--batch-size: got 5000, allowed: an integer, 1 to 4096"),
        (["--threads", "5000"], "--threads: got 5000, allowed"),
        (["--vad-onset", "0"], "--vad-onset: got 0.0, allowed"),
        (["--vad-onset", "nan"], "--vad-onset: got nan, allowed"),
        (["--vad-onset", "0.2", "--vad-offset", "0.4"], "--vad-offset: got 0.4, allowed: a number, 0.001 to 0.2"),
        (["--vad-pad-ms", "9999"], "--vad-pad-ms: got 9999, allowed: an integer, 0 to 5000"),
        (["--temperature", "-1e300"], "--temperature: got -1e+300, allowed: a number, 0 to 2"),
        (["--temperature", "nan"], "--temperature: got nan, allowed: a number, 0 to 2"),
        (["--no-speech-threshold", "nan"], "--no-speech-threshold: got nan, allowed: a number, 0 to 1"),
        (["--temperature-increment-on-fallback", "nan"], "--temperature-increment-on-fallback: got nan, allowed"),
        (["--seed", "-1"], "--seed: got -1, allowed: an integer, 0 to 9223372036854775807"),
        (["--chunk-size", "nan"], "--chunk-size: got nan, allowed"),
        (["--language", "klingon"], "--language: got 'klingon', allowed"),
        (["-o", ""], "--output-dir: got '', allowed"),
        (["--num-speakers", "2"], "--num-speakers: got 2 without --diarize, allowed: only with --diarize"),
        (["--min-speakers", "2"], "--min-speakers: got 2 without --diarize, allowed: only with --diarize"),
        (["--max-speakers", "2"], "--max-speakers: got 2 without --diarize, allowed: only with --diarize"),
        (["--diarization-model", "demo"], "--diarization-model: got 'demo' without --diarize, allowed: only with"),
        (["--diarize", "--num-speakers", "2", "--max-speakers", "3"], "--num-speakers: got 2, allowed: None beside"),
        (["--diarize", "--min-speakers", "3", "--max-speakers", "2"], "--min-speakers: got 3, allowed: an integer"),
        (["--diarize", "--channels", "split"], "--diarize: got it beside channels='split'"),
    ],
)
def test_messages_name_the_flag_and_the_value(ifw, record, transcribers, flags, message):
    result = ifw("transcribe", record("a.mp3"), *flags)
    assert result.stderr.startswith(f"error: {message}")
    assert (result.exit_code, len(result.stderr.splitlines()), transcribers) == (2, 1, [])


def test_speakers_are_told_apart_by_the_default_model_or_another(ifw, record, transcribers):
    flags = "--diarize --diarization-model voices --min-speakers 2 --max-speakers 3"
    assert ifw("transcribe", record("a.mp3"), *flags.split()).exit_code == 0
    assert ifw("transcribe", record("a.mp3"), "--diarize", "--num-speakers", "4").exit_code == 0
    assert ifw("transcribe", record("a.mp3")).exit_code == 0
    assert [made.diarization_model for made in transcribers] == ["voices", DEFAULT_MODEL, None]
    assert [made.options[0].diarize for made in transcribers] == [
        DiarizationOptions(min_speakers=2, max_speakers=3),
        DiarizationOptions(num_speakers=4),
        None,
    ]


def test_every_name_stands_for_a_flag_and_a_parameter():
    """Whatever the options check is named by its flag, except what has none."""
    flags = {option for parameter in get_command(app).commands["transcribe"].params for option in parameter.opts}
    assert {in_flags(f"{name}: ").removesuffix(": ") for name in CHECKED} <= flags
    assert in_flags("no option") == "no option"
    assert in_flags("talk.mp3: broken") == "talk.mp3: broken"


@pytest.mark.parametrize(
    "flags",
    [
        ["--task", "summarise"],
        ["--preset", "slow"],
        ["--beam-size", "0"],
        ["--best-of", "17"],
        ["--temperature", "3"],
        ["--logprob-threshold", "low"],
        ["--temperature-increment-on-fallback", "-0.1"],
        ["--temperature-increment-on-fallback", "1e-9"],
        ["--batch-size", "0"],
        ["--vad-onset", "0.2", "--vad-offset", "0.4"],
        ["--vad-onset", "0"],
        ["--compute-type", "int4"],
        ["--output-format", "docx"],
        ["--no-such-flag"],
    ],
)
def test_bad_options_are_usage_errors_before_anything_is_loaded(ifw, record, transcribers, flags):
    result = ifw("transcribe", record("a.mp3"), *flags)
    assert (result.exit_code, result.stdout, transcribers) == (2, "", [])
    assert "rror: " in result.stderr


def test_no_files_is_a_usage_error(ifw):
    assert ifw("transcribe").exit_code == 2
