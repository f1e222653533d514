"""A transcription that was killed goes on where it stopped, with the same text, whatever the journal has suffered."""

import contextlib
import dataclasses
import json
import zlib

import pytest

from ifw import AudioOptions, CancelToken, DecodeOptions, TranscribeOptions, VadOptions
from ifw.audio import decode
from ifw.engine.request import Hypothesis
from ifw.errors import CancelledError, OutputError, ResumeError
from ifw.pipeline.journal import rebuilt
from ifw.pipeline.journal_file import JournalFile

OPTIONS = TranscribeOptions(
    decode=DecodeOptions(word_timestamps=True, token_logprobs=True), vad=VadOptions(max_window_s=3.0)
)
IDENTITY = {"audio": "a", "language": None}
HYPOTHESIS = Hypothesis(
    token_ids=(1, 2, 50_364),
    text="Äh.",
    language="de",
    avg_logprob=-0.1234567890123456,
    no_speech_prob=1e-9,
    compression_ratio=1.0,
    temperature=0.2,
    suspect="repetition",
    is_silent=False,
    n_attempts=2,
    token_logprobs=(-0.1, -1e-9, -3.0),
)


def begun(path, *records, is_resuming=False, identity=IDENTITY):
    journal = JournalFile(path, is_resuming=is_resuming)
    found = list(journal.begin(identity))
    for record in records:
        journal.append(record)
    journal.close()
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "talk.ifw-journal"


def test_records_come_back_in_order(path):
    assert begun(path, {"window": 0}, {"window": 1}) == []
    assert begun(path, {"window": 2}, is_resuming=True) == [{"window": 0}, {"window": 1}]
    assert begun(path, is_resuming=True) == [{"window": 0}, {"window": 1}, {"window": 2}]


def test_nothing_is_there_before_the_first_record(path):
    assert begun(path) == begun(path, is_resuming=True) == []
    assert not path.exists()


def test_without_resuming_the_first_record_replaces_what_is_there(path):
    begun(path, {"window": 0}, {"window": 1})
    begun(path)
    assert len(begun(path, is_resuming=True)) == 2, "nothing new was recorded, so nothing old may be lost"
    begun(path, {"window": 7})
    assert begun(path, is_resuming=True) == [{"window": 7}]


def test_a_file_cut_anywhere_gives_the_whole_lines_and_goes_on(path):
    begun(path, {"window": 0, "text": "ä"}, {"window": 1})
    data = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == ord("\n")]
    for n_bytes in range(len(data)):
        path.write_bytes(data[:n_bytes])
        n_whole = max(sum(end <= n_bytes for end in ends) - 1, 0)
        assert len(begun(path, {"window": 9}, is_resuming=True)) == n_whole
        assert begun(path, is_resuming=True)[n_whole:] == [{"window": 9}], n_bytes


@pytest.mark.parametrize("damage", [b"\0" * 40, b"\xff\xfe garbage \r\n", b'00000000 {"window": 5}\n'])
def test_what_a_power_cut_left_is_cut_off(path, damage):
    begun(path, {"window": 0})
    path.write_bytes(path.read_bytes() + damage)
    assert begun(path, {"window": 1}, is_resuming=True) == [{"window": 0}]
    assert begun(path, is_resuming=True) == [{"window": 0}, {"window": 1}]


def test_a_changed_byte_ends_the_belief(path):
    begun(path, {"window": 0}, {"window": 1}, {"window": 2})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b"1}", b"3}"), lines[3]]))
    assert begun(path, {"window": 5}, is_resuming=True) == [{"window": 0}]
    assert begun(path, is_resuming=True) == [{"window": 0}, {"window": 5}], "what followed must not come back"


def test_another_question_is_an_error_that_names_the_difference_and_changes_nothing(path):
    begun(path, {"window": 0})
    before = path.read_bytes()
    with pytest.raises(ResumeError, match=r"language was None and is 'de' now.*start over") as raised:
        begun(path, is_resuming=True, identity={**IDENTITY, "language": "de"})
    assert "audio" not in str(raised.value)
    assert path.read_bytes() == before


def test_two_processes_cannot_write_one_journal(path):
    first = JournalFile(path, is_resuming=False)
    first.begin(IDENTITY)
    first.append({"window": 0})
    for second in (JournalFile(path, is_resuming=is_resuming) for is_resuming in (True, False)):
        with pytest.raises(OutputError, match="another process is writing it"):
            begin_and_append(second)
    first.append({"window": 1})
    first.close()
    assert begun(path, is_resuming=True) == [{"window": 0}, {"window": 1}]


def begin_and_append(journal):
    journal.begin(IDENTITY)
    journal.append({"window": 5})


def test_a_full_disk_is_an_error_and_costs_no_record(path, monkeypatch):
    """The disk takes half of the third line."""
    journal = JournalFile(path, is_resuming=False)
    journal.begin(IDENTITY)
    journal.append({"window": 0})
    journal._file = FullDisk(journal._file)
    with pytest.raises(OutputError, match=r"cannot write .*talk.ifw-journal: No space left"):
        journal.append({"window": 1})
    journal.close()
    assert begun(path, {"window": 1}, is_resuming=True) == [{"window": 0}]
    assert begun(path, is_resuming=True) == [{"window": 0}, {"window": 1}]


class FullDisk:
    def __init__(self, file):
        self._file, self._is_full = file, False

    def write(self, data):
        if self._is_full:
            raise OSError(28, "No space left on device")
        self._is_full = True
        return self._file.write(data[: len(data) // 2])

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_short_write_is_finished(path):
    journal = JournalFile(path, is_resuming=False)
    journal.begin(IDENTITY)
    journal.append({"window": 0})
    journal._file = ShortWrites(journal._file)
    journal.append({"window": 1})
    journal.close()
    assert begun(path, is_resuming=True) == [{"window": 0}, {"window": 1}]


class ShortWrites:
    def __init__(self, file):
        self._file = file

    def write(self, data):
        return self._file.write(data[:3])

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_hypothesis_comes_back_as_it_was():
    assert rebuilt(Hypothesis, json.loads(json.dumps(dataclasses.asdict(HYPOTHESIS)))) == HYPOTHESIS
    plain = dataclasses.replace(HYPOTHESIS, suspect=None)
    assert rebuilt(Hypothesis, json.loads(json.dumps(dataclasses.asdict(plain)))) == plain


@pytest.fixture(scope="module")
def talk(sample, make_wav):
    """The first 16 seconds of the sample."""
    return make_wav("talk", decode(sample).samples[: 16 * 16_000])


@pytest.fixture(scope="module")
def whole(transcriber, talk):
    """The transcript of an uninterrupted run."""
    return comparable(transcriber.transcribe(talk, OPTIONS))


def comparable(transcript):
    """All but wall times and scores, of which the last digit depends on which windows are decoded together."""
    scores = {"avg_logprob": 0.0, "no_speech_prob": 0.0}
    segments = tuple(
        dataclasses.replace(
            segment,
            **scores,
            token_logprobs=tuple(round(logprob) for logprob in segment.token_logprobs),
            words=tuple(dataclasses.replace(word, probability=0.0) for word in segment.words),
        )
        for segment in transcript.segments
    )
    return dataclasses.replace(transcript, segments=segments, timings={})


def interrupted(transcriber, source, options, path, n_segments):
    """A run that is cancelled after some segments; what it says of itself then."""
    cancel = CancelToken()
    journal = JournalFile(path, is_resuming=True)
    stream = transcriber.stream(source, options, cancel=cancel, journal=journal)
    with contextlib.suppress(CancelledError):
        for segment in stream:
            if segment.id + 1 == n_segments:
                cancel.cancel()
    journal.close()
    with pytest.raises(RuntimeError, match="CancelledError"):
        _ = stream.transcript
    return comparable(stream.partial)


def resumed(transcriber, source, options, path):
    journal = JournalFile(path, is_resuming=True)
    before = transcriber.stats().n_completed
    stream = transcriber.stream(source, options, journal=journal)
    segments = list(stream)
    journal.close()
    assert tuple(segments) == stream.transcript.segments
    return comparable(stream.transcript), transcriber.stats().n_completed - before


def test_a_run_that_is_resumed_twice_gives_the_same_transcript(transcriber, talk, path, whole):
    for n_segments in (1, 3):
        partial = interrupted(transcriber, talk, OPTIONS, path, n_segments)
        assert partial.segments == whole.segments[: len(partial.segments)]
        assert len(partial.segments) >= n_segments
        assert partial.segments[-1].end_s <= partial.duration_s <= whole.duration_s
        assert partial.warnings[-1].code == "interrupted"
    again, n_asked = resumed(transcriber, talk, OPTIONS, path)
    assert again == whole
    assert n_asked < len(whole.segments)
    assert resumed(transcriber, talk, OPTIONS, path) == (whole, 0), "all windows and the language are known"


def test_a_journal_from_before_an_option_is_continued_unless_it_is_asked_for(transcriber, talk, path):
    """Journals of older versions do not name what they could not be asked for."""
    plain = dataclasses.replace(OPTIONS, decode=DecodeOptions())
    interrupted_plainly(transcriber, talk, plain, path)
    assert b"token_logprobs" not in path.read_bytes().splitlines()[0]
    with pytest.raises(ResumeError, match="token_logprobs was None and is True now"):
        resumed(transcriber, talk, dataclasses.replace(plain, decode=DecodeOptions(token_logprobs=True)), path)
    journal = JournalFile(path, is_resuming=True)
    assert [segment.token_logprobs for segment in transcriber.stream(talk, plain, journal=journal)] != []
    journal.close()


def interrupted_plainly(transcriber, source, options, path):
    journal = JournalFile(path, is_resuming=False)
    with contextlib.closing(transcriber.stream(source, options, journal=journal)) as stream:
        next(stream)
    journal.close()


def test_another_question_is_refused(transcriber, talk, path, tmp_path):
    interrupted(transcriber, talk, OPTIONS, path, 1)
    for options in (
        dataclasses.replace(OPTIONS, decode=DecodeOptions(language="de")),
        dataclasses.replace(OPTIONS, decode=DecodeOptions(seed=1)),
        dataclasses.replace(OPTIONS, vad=VadOptions(max_window_s=5.0)),
    ):
        with pytest.raises(ResumeError, match="start over"):
            resumed(transcriber, talk, options, path)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(talk.read_bytes()[:-5000])
    with pytest.raises(ResumeError, match="audio was"):
        resumed(transcriber, copy, OPTIONS, path)


def test_the_same_recording_may_lie_elsewhere_and_be_read_otherwise(transcriber, talk, path, tmp_path, whole):
    interrupted(transcriber, talk, OPTIONS, path, 2)
    options = dataclasses.replace(OPTIONS, audio=AudioOptions(n_workers=1, block_s=1.0))
    assert resumed(transcriber, talk.read_bytes(), options, path)[0] == whole


def test_windows_that_sound_different_now_are_heard_again(transcriber, talk, path, whole):
    """As after a change in the middle of a file, which its size and ends do not show."""
    resumed(transcriber, talk, OPTIONS, path)
    lines = path.read_bytes().splitlines()
    records = [json.loads(line.split(b" ", 1)[1]) for line in lines]
    index = next(index for index, record in enumerate(records) if record.get("window") == 3)
    records[index]["samples_crc32"] ^= 1
    for record in records[index:]:
        record["result"]["segments"] = []
    texts = [json.dumps(record).encode() for record in records]
    path.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(text), text) for text in texts))
    assert resumed(transcriber, talk, OPTIONS, path) == (whole, len(records) - index)
    assert resumed(transcriber, talk, OPTIONS, path) == (whole, 0)


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b'"window"'])
def test_a_line_that_is_no_record_was_never_written(transcriber, talk, path, whole, text):
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(text), text))
    assert resumed(transcriber, talk, OPTIONS, path)[0] == whole


def test_nothing_is_partial_before_the_first_window(transcriber, talk):
    stream = transcriber.stream(talk, OPTIONS)
    assert stream.partial is None
    stream.close()
