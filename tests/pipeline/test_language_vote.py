from dataclasses import dataclass, replace

import pytest

from ifw import DecodeOptions
from ifw.errors import LanguageError, ModeError
from ifw.model.checkpoint import Checkpoint
from ifw.pipeline.language import Ballot, LanguageVote, resolve_language


@dataclass
class Detection:
    probabilities: dict
    no_speech_prob: float = 0.0


def vote(detections, speech_s):
    ballot = Ballot()
    for detection, seconds in zip(detections, speech_s, strict=True):
        ballot.add(detection, seconds)
    return ballot.result()


def test_the_window_with_more_speech_counts_more():
    detections = [Detection({"en": 0.6, "de": 0.4}), Detection({"en": 0.1, "de": 0.9})]
    assert vote(detections, [2.0, 20.0]).language == "de"
    assert vote(detections, [20.0, 2.0]).language == "en"


def test_a_window_without_speech_hardly_counts():
    detections = [Detection({"en": 0.9, "de": 0.1}, no_speech_prob=0.99), Detection({"en": 0.3, "de": 0.7})]
    assert vote(detections, [10.0, 5.0]).language == "de"


def test_the_probability_is_an_average():
    detections = [Detection({"en": 0.8, "es": 0.2}), Detection({"en": 0.6, "es": 0.4})]
    assert vote(detections, [5.0, 5.0]).probability == pytest.approx(0.7)


def test_the_runners_up_are_named_likeliest_first():
    shares = {"de": 0.05, "fr": 0.02, "en": 0.6, "es": 0.2, "it": 0.1, "nl": 0.03}
    probabilities = vote([Detection(shares)], [5.0]).probabilities
    assert list(probabilities) == ["en", "es", "it", "de", "nl"]
    assert probabilities == pytest.approx({code: shares[code] for code in probabilities})


def test_no_window_at_all_is_english_with_probability_zero():
    assert vote([], []) == LanguageVote("en", 0.0)


def test_what_was_decided_otherwise_keeps_its_own_probability():
    ballot = Ballot()
    ballot.add(Detection({"en": 0.7, "de": 0.3}), 1.0)
    assert ballot.result("de") == LanguageVote("de", 0.3, {"en": 0.7, "de": 0.3})


def test_a_language_that_the_checkpoint_does_not_list_is_refused(transcriber):
    checkpoint = transcriber.checkpoint
    generation = replace(checkpoint.generation, lang_to_id={"de": checkpoint.tokenizer.language_ids["de"]})
    small = replace(checkpoint, generation=generation)
    assert resolve_language(DecodeOptions(language="German"), small) == "de"
    assert resolve_language(DecodeOptions(), small) is None
    with pytest.raises(LanguageError, match=r"got 'zh', allowed by 'demo': de$"):
        resolve_language(DecodeOptions(language="zh"), small)


@pytest.mark.parametrize("open_language", [None, "", " ", "auto", "AUTO", "None"])
def test_the_language_may_be_left_open_in_many_ways(transcriber, open_language):
    assert resolve_language(DecodeOptions(language=open_language), transcriber.checkpoint) is None


@dataclass
class Tokenizer:
    is_multilingual: bool


def published(checkpoint, name, n_encoder_layers, n_decoder_layers):
    """A checkpoint of the shape of one on the hub; those that end in `.en` have neither modes nor languages."""
    is_multilingual = not name.endswith(".en")
    dims = replace(
        checkpoint.dims,
        n_encoder_layers=n_encoder_layers,
        n_decoder_layers=n_decoder_layers,
        n_vocab=51_866 if is_multilingual else 51_864,
    )
    generation = checkpoint.generation
    if not is_multilingual:
        generation = replace(generation, task_to_id={}, lang_to_id={})
    return Checkpoint(name, checkpoint.path, dims, generation, Tokenizer(is_multilingual))


@pytest.mark.parametrize(
    ("name", "layers", "able"),
    [
        ("large-v3-turbo", (32, 4), "large-v3"),
        ("distil-large-v3", (32, 2), "large-v3"),
        ("distil-medium.en", (24, 2), "medium"),
        ("small.en", (12, 12), "small"),
        ("base.en", (6, 6), "base"),
        ("tiny.en", (4, 4), "tiny"),
    ],
)
def test_translating_with_what_cannot_names_one_that_can(transcriber, name, layers, able):
    checkpoint = published(transcriber.checkpoint, name, *layers)
    with pytest.raises(ModeError, match=f"checkpoint '{name}' was never trained to translate; use '{able}' or"):
        resolve_language(DecodeOptions(mode="translate"), checkpoint)


@pytest.mark.parametrize(("name", "layers"), [("large-v3", (32, 32)), ("medium", (24, 24)), ("tiny", (4, 4))])
def test_translating_with_what_can_is_no_error(transcriber, name, layers):
    checkpoint = published(transcriber.checkpoint, name, *layers)
    assert resolve_language(DecodeOptions(mode="translate", language="de"), checkpoint) == "de"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DecodeOptions(language="fr"), r"language: got 'fr', but 'small\.en' knows English only; use 'small'$"),
        (DecodeOptions(multilingual=True), r"multilingual: got True, but 'small\.en' knows English only; use 'small'$"),
    ],
)
def test_english_only_says_which_one_knows_more(transcriber, options, message):
    checkpoint = published(transcriber.checkpoint, "small.en", 12, 12)
    with pytest.raises(LanguageError, match=message):
        resolve_language(options, checkpoint)
    assert resolve_language(DecodeOptions(), checkpoint) == "en"
