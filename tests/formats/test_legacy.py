from dataclasses import replace

from made_transcripts import segment, spoken, transcript

from ifw.formats.legacy import to_legacy_dict


def test_a_chunk_is_a_segment_with_the_space_that_whisper_writes():
    made = to_legacy_dict(transcript(segment(0.0, 2.5, "Hello there."), segment(3.0004, 4.0, "Yes.")))
    assert made == {
        "text": " Hello there. Yes.",
        "chunks": [
            {"timestamp": [0.0, 2.5], "text": " Hello there."},
            {"timestamp": [3.0, 4.0], "text": " Yes."},
        ],
        "speakers": [],
    }


def test_a_chunk_is_a_word_where_words_were_asked_for_and_are_known():
    made = to_legacy_dict(
        transcript(spoken((" Hello", 0.1, 0.5), (" you.", 0.5, 0.9)), segment(1.0, 2.0, "Known as a whole.")),
        words=True,
    )
    assert made["chunks"] == [
        {"timestamp": [0.1, 0.5], "text": " Hello"},
        {"timestamp": [0.5, 0.9], "text": " you."},
        {"timestamp": [1.0, 2.0], "text": " Known as a whole."},
    ]
    assert made["text"] == " Hello you. Known as a whole."


def test_word_times_do_not_matter_where_nobody_asked_for_them():
    made = to_legacy_dict(transcript(spoken((" Hello", 0.1, 0.5), (" you.", 0.5, 0.9))))
    assert made["chunks"] == [{"timestamp": [0.1, 0.9], "text": " Hello you."}]


def test_languages_without_spaces_get_none_unless_translated():
    spoken_chinese = segment(0, 1, "你好", language="zh")
    assert to_legacy_dict(transcript(spoken_chinese, spoken_chinese))["text"] == "你好你好"
    translated = transcript(segment(0, 1, "Hello.", language="zh"), mode="translate")
    assert to_legacy_dict(translated)["text"] == " Hello."


def test_speakers_are_the_same_chunks_with_their_names_and_nothing_is_lost():
    words = spoken((" Hi", 0, 1, "SPEAKER_01"), (" you", 1, 2), speaker="SPEAKER_00")
    made = to_legacy_dict(transcript(words, segment(3, 4, "Who?")), words=True)
    assert made["speakers"] == [
        {"speaker": "SPEAKER_01", "timestamp": [0.0, 1.0], "text": " Hi"},
        {"speaker": "SPEAKER_00", "timestamp": [1.0, 2.0], "text": " you"},
        {"speaker": "unknown", "timestamp": [3.0, 4.0], "text": " Who?"},
    ]
    assert len(made["chunks"]) == 3


def test_speakers_are_there_where_somebody_asked_and_nobody_was_found():
    alone = transcript(segment(3, 4, "Who?"))
    assert to_legacy_dict(alone)["speakers"] == []
    assert [one["speaker"] for one in to_legacy_dict(replace(alone, turns=()))["speakers"]] == ["unknown"]


def test_silence_is_no_error():
    assert to_legacy_dict(transcript()) == {"text": "", "chunks": [], "speakers": []}
