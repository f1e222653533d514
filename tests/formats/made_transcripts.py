"""Transcripts for tests: made by hand, or by hypothesis."""

from dataclasses import replace

from hypothesis import strategies as st

from ifw.types import Segment, Transcript, Word


def segment(start_s, end_s, text, **changes):
    plain = Segment(
        id=0,
        start_s=start_s,
        end_s=end_s,
        text=text,
        token_ids=(1, 2),
        language="en",
        temperature=0.0,
        avg_logprob=-0.25,
        compression_ratio=1.2,
        no_speech_prob=0.01,
    )
    return replace(plain, **changes)


def spoken(*words, **changes):
    """A segment of words, each (text, start_s, end_s) or (text, start_s, end_s, speaker)."""
    made = tuple(Word(text, start_s, end_s, 0.9, *speaker) for text, start_s, end_s, *speaker in words)
    text = "".join(word.text for word in made).strip()
    return segment(made[0].start_s, made[-1].end_s, text, words=made, **changes)


def transcript(*segments, **changes):
    numbered = tuple(replace(item, id=position) for position, item in enumerate(segments))
    plain = Transcript(
        text=" ".join(item.text for item in segments),
        segments=numbered,
        language="en",
        language_probability=0.99,
        duration_s=segments[-1].end_s if segments else 1.0,
        model="demo",
    )
    return replace(plain, **changes)


nasty = st.sampled_from(
    ["-->", "--->", "<i>", "&amp;", "&", "1", "00:00:01,000 --> 00:00:02,000", "\n\n", "\t", "\xa0"]
)
texts = st.lists(st.one_of(st.text(max_size=8), nasty), max_size=5).map(" ".join)


@st.composite
def transcripts(draw):
    """Any text at all, at any time."""
    hours = draw(st.sampled_from([0, 0, 1, 99, 120]))
    times = sorted(draw(st.lists(st.floats(0, 5000, allow_nan=False), min_size=2, max_size=8)))
    pairs = list(zip(times[::2], times[1::2], strict=False))
    return transcript(*(segment(hours * 3600 + start, hours * 3600 + end, draw(texts)) for start, end in pairs))


ordinary_words = st.one_of(
    st.sampled_from(
        [" a", " the", " Yes.", " well,", " isn't", "-like", " 3", ".5", " 你好", "吗？", " Straße", " \u00bfque?"]
    ),
    st.text("abcdefghijklmnopqrstuvwxyz.,", min_size=1, max_size=12).map(" {}".format),
)
gaps_ms = st.one_of(st.sampled_from([0, 0, 0, 20, 300, 1200, 2999, 3000, 3001, 9000]), st.integers(0, 4000))


@st.composite
def ordinary_segments(draw, with_words=True, speakers=(None,), words=ordinary_words):
    """Words one after the other, none without length, in segments."""
    now_ms = draw(gaps_ms)
    segments = []
    for n_words in draw(st.lists(st.integers(1, 14), min_size=1, max_size=4)):
        made = []
        for _ in range(n_words):
            start_ms = now_ms + draw(gaps_ms)
            now_ms = start_ms + draw(st.integers(1, 1500))
            made.append(Word(draw(words), start_ms / 1000, now_ms / 1000, 0.5, draw(st.sampled_from(speakers))))
        text = "".join(word.text for word in made).strip()
        known = tuple(made) if with_words else None
        segments.append(segment(made[0].start_s, made[-1].end_s, text, words=known))
    return segments
