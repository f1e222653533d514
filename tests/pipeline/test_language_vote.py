from dataclasses import dataclass, replace

import pytest

from ifw import DecodeOptions
from ifw.errors import LanguageError
from ifw.pipeline.language import LanguageVote, resolve_language


@dataclass
class Detection:
    probabilities: dict
    no_speech_prob: float = 0.0


def test_the_window_with_more_speech_counts_more():
    detections = [Detection({"en": 0.6, "de": 0.4}), Detection({"en": 0.1, "de": 0.9})]
    assert LanguageVote.over(detections, [2.0, 20.0]).language == "de"
    assert LanguageVote.over(detections, [20.0, 2.0]).language == "en"


def test_a_window_without_speech_hardly_counts():
    detections = [Detection({"en": 0.9, "de": 0.1}, no_speech_prob=0.99), Detection({"en": 0.3, "de": 0.7})]
    vote = LanguageVote.over(detections, [10.0, 5.0])
    assert vote.language == "de"


def test_the_probability_is_an_average():
    detections = [Detection({"en": 0.8, "es": 0.2}), Detection({"en": 0.6, "es": 0.4})]
    assert LanguageVote.over(detections, [5.0, 5.0]).probability == pytest.approx(0.7)


def test_no_window_at_all_is_english_with_probability_zero():
    assert LanguageVote.over([], []) == LanguageVote("en", 0.0)


def test_a_language_that_the_checkpoint_does_not_list_is_refused(transcriber):
    checkpoint = transcriber.checkpoint
    generation = replace(checkpoint.generation, lang_to_id={"de": checkpoint.tokenizer.language_ids["de"]})
    small = replace(checkpoint, generation=generation)
    assert resolve_language(DecodeOptions(language="German"), small) == "de"
    assert resolve_language(DecodeOptions(), small) is None
    with pytest.raises(LanguageError, match=r"got 'zh', allowed by 'demo': de$"):
        resolve_language(DecodeOptions(language="zh"), small)
