import pytest

from ifw.cli.clip_flag import parse_clips
from ifw.errors import ConfigError


@pytest.mark.parametrize(
    ("texts", "clip"),
    [
        (["1:30-2:45"], ((90.0, 165.0),)),
        (["90-165.5, 3:00-"], ((90.0, 165.5), (180.0, None))),
        (["0-10", "1:02:03-1:02:04.25"], ((0.0, 10.0), (3723.0, 3724.25))),
        ([], ()),
    ],
)
def test_clips_as_people_write_them(texts, clip):
    assert parse_clips(texts) == clip


@pytest.mark.parametrize("text", ["", "90", "-90", "a-b", "1:60-2:00", "1:61:00-2:00:00", "1:2:3:4-", "1--2", "1-2,"])
def test_what_is_no_clip_is_an_error_that_shows_how(text):
    with pytest.raises(ConfigError, match=r"--clip: got .*m:ss"):
        parse_clips([text])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--clip", "5-3"], "error: --clip: got (5.0, 3.0), allowed: an end after its start"),
        (["--clip", "1-3", "--clip", "2-4"], "error: --clip: got (2.0, 4.0), allowed: a start that is not before"),
        (["--clip", "x"], "error: --clip: got 'x', allowed: START-END"),
    ],
)
def test_wrong_clips_are_usage_errors_before_anything_is_loaded(ifw, record, transcribers, flags, message):
    result = ifw("transcribe", record("a.mp3"), *flags)
    assert (result.exit_code, transcribers) == (2, [])
    assert result.stderr.startswith(message)


def test_clip_and_channels_arrive(ifw, record, transcribers):
    ifw("transcribe", record("a.mp3"), "--clip", "0-1,1:00-", "--channels", "split")
    (options,) = transcribers[0].options
    assert options.audio.clip == ((0.0, 1.0), (60.0, None))
    assert options.audio.channels == "split"
