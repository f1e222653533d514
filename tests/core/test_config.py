import dataclasses

import pytest

from ifw import AudioOptions, DecodeOptions, EngineConfig, SubtitleOptions, TranscribeOptions, VadOptions
from ifw.errors import ConfigError

NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: AudioOptions(max_duration_s=0), "max_duration_s"),
        (lambda: AudioOptions(n_workers=0), "n_workers"),
        (lambda: AudioOptions(block_s=NAN), "block_s"),
        (lambda: AudioOptions(max_stream_bytes=0), "max_stream_bytes"),
        (lambda: VadOptions(onset=1.0), "onset"),
        (lambda: VadOptions(onset=0.4, offset=0.5), "offset"),
        (lambda: VadOptions(min_speech_ms=-1), "min_speech_ms"),
        (lambda: VadOptions(max_window_s=30.1), "max_window_s"),
        (lambda: DecodeOptions(mode="summarise"), "mode"),
        (lambda: DecodeOptions(temperatures=()), "temperatures"),
        (lambda: DecodeOptions(temperatures=(0.0, NAN)), "temperatures"),
        (lambda: DecodeOptions(max_tokens=448), "max_tokens"),
        (lambda: DecodeOptions(suppress_tokens=[1]), "suppress_tokens"),
        (lambda: DecodeOptions(suppress_tokens=(1.0,)), "suppress_tokens"),
        (lambda: TranscribeOptions(decode={"language": "en"}), "decode"),
        (lambda: TranscribeOptions(vad=None), "vad"),
        (lambda: TranscribeOptions(audio=VadOptions()), "audio"),
        (lambda: DecodeOptions(max_initial_timestamp_s=31.0), "max_initial_timestamp_s"),
        (lambda: DecodeOptions(logprob_threshold=NAN), "logprob_threshold"),
        (lambda: DecodeOptions.preset("slow"), "preset"),
        (lambda: TranscribeOptions.preset("slow"), "preset"),
        (lambda: DecodeOptions.preset("accurate", best_of=0), "best_of"),
        (lambda: SubtitleOptions(max_line_width=0), "max_line_width"),
        (lambda: SubtitleOptions(max_line_count=1.5), "max_line_count"),
        (lambda: SubtitleOptions(max_words_per_line=1001), "max_words_per_line"),
        (lambda: SubtitleOptions(highlight_words="yes"), "highlight_words"),
        (lambda: SubtitleOptions(min_cue_s=NAN), "min_cue_s"),
        (lambda: SubtitleOptions(layout="netflix"), "layout"),
        (lambda: EngineConfig(device="tpu"), "device"),
        (lambda: EngineConfig(compute_type="int4"), "compute_type"),
        (lambda: EngineConfig(n_slots=0), "n_slots"),
        (lambda: EngineConfig(n_threads="2"), "n_threads"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(make, name):
    with pytest.raises(ConfigError, match=rf"^{name}: got .+, allowed: ") as caught:
        make()
    assert caught.value.code == "config_invalid"


def test_large_bounds_are_written_out():
    with pytest.raises(ConfigError, match=r"allowed: an integer, 0 to 9223372036854775807$"):
        DecodeOptions(seed=-1)
    with pytest.raises(ConfigError, match=r"allowed: a number, 0\.001 to 10000000$"):
        AudioOptions(max_duration_s=-1)


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TranscribeOptions().vad = VadOptions()


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="langauge"):
        DecodeOptions(langauge="de")


def test_presets_differ_in_what_a_suspect_window_gets():
    fast, balanced, accurate = (DecodeOptions.preset(name) for name in ("fast", "balanced", "accurate"))
    assert balanced == DecodeOptions() == DecodeOptions.preset()
    assert fast == DecodeOptions(temperatures=(0.0, 0.4))
    assert accurate == DecodeOptions(beam_size=5, best_of=5, condition_on_previous_text=True)


def test_what_is_given_wins_over_the_preset():
    options = TranscribeOptions.preset("accurate", vad=VadOptions(onset=0.3), language="en", best_of=2)
    assert options == TranscribeOptions(
        DecodeOptions(language="en", beam_size=5, best_of=2, condition_on_previous_text=True), VadOptions(onset=0.3)
    )
    with pytest.raises(TypeError, match="langauge"):
        TranscribeOptions.preset("fast", langauge="de")


def test_offset_follows_onset():
    assert VadOptions(onset=0.5).offset_or_default == pytest.approx(0.35)
    assert VadOptions(onset=0.1).offset_or_default == pytest.approx(0.01)
    assert VadOptions(onset=0.005).offset_or_default == 0.005
    assert VadOptions(onset=0.5, offset=0.2).offset_or_default == 0.2
