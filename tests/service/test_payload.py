import json

import pytest

from ifw.config import DiarizationOptions, TranscribeOptions, VadOptions
from ifw.errors import ConfigError, LanguageError
from ifw.service.payload import Source, dialect_of, make_payload, options_in, options_of, source_of

URL = Source(url="https://example.com/a.mp3?secret=1")


def through_json(payload):
    return json.loads(json.dumps(payload))


def test_what_was_asked_for_comes_back():
    sent = Source(name="a.mp3", n_bytes=7, sha256="00")
    options = {"language": "en-US", "preset": "accurate", "beam_size": None, "clip": [[1, 2], [3, None]]}
    payload = through_json(make_payload(sent, options, dialect="legacy"))
    assert source_of(payload) == sent
    assert dialect_of(payload) == "legacy"
    made = options_of(payload)
    assert (made.decode.language, made.decode.beam_size) == ("en-US", 5)
    assert made.audio.clip == ((1, 2), (3, None))
    assert source_of(make_payload(URL, {})) == URL


def test_nothing_said_is_the_default():
    assert options_in({}) == TranscribeOptions()


def test_lists_and_objects():
    made = options_in({"temperatures": [0, 0.5], "vad": {"onset": 0.6, "offset": None}, "channels": "split"})
    assert made.decode.temperatures == (0, 0.5)
    assert made.vad == VadOptions(onset=0.6)
    assert made.audio.channels == "split"


@pytest.mark.parametrize(
    "options",
    [
        {"langauge": "en"},
        {"max_duration_s": 1e9},
        {"suppress_tokens": [1]},
        {"vad": {"onnset": 1}},
        {"vad": [1]},
        {"preset": "best"},
        {"mode": "sing"},
        {"temperatures": [3]},
        {"temperatures": 0},
        {"language": 7},
        {"beam_size": 99},
        {"clip": [[2, 1]]},
        {"clip": [1]},
    ],
)
def test_what_cannot_be_worked_is_refused(options):
    with pytest.raises(ConfigError):
        make_payload(URL, options)


def test_speakers():
    def asked(**options):
        return options_of(make_payload(URL, options)).diarize

    assert asked() is asked(diarize=False) is asked(diarize=None) is None
    assert asked(diarize=True) == DiarizationOptions()
    assert asked(diarize=True, num_speakers=2) == DiarizationOptions(num_speakers=2)
    assert asked(diarize=True, min_speakers=2, max_speakers=3) == DiarizationOptions(min_speakers=2, max_speakers=3)
    for wrong in ({"num_speakers": 2}, {"diarize": False, "max_speakers": 2}):
        with pytest.raises(ConfigError, match="allowed: beside diarize true"):
            asked(**wrong)
    for wrong in ({"num_speakers": 0}, {"num_speakers": 2, "max_speakers": 3}, {"min_speakers": 3, "max_speakers": 2}):
        with pytest.raises(ConfigError):
            asked(diarize=True, **wrong)
    with pytest.raises(ConfigError, match="channels"):
        asked(diarize=True, channels="split")


def test_languages():
    with pytest.raises(LanguageError):
        make_payload(URL, {"language": "klingon"})
    assert options_of(make_payload(URL, {"language": "None", "diarize": False})).decode.language == "None"
