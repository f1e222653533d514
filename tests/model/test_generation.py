from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ifw.errors import ModelFormatError
from ifw.model.dims import ModelDims
from ifw.model.generation import GenerationConfig, read_generation_config
from ifw.model.tokenizer import WhisperTokenizer, load_tokenizer, non_speech_tokens

DIMS = ModelDims(80, 2376, 192, 3, 4, 4, 768, 768)


@pytest.fixture(scope="module")
def tokenizer(demo_folder: Path) -> WhisperTokenizer:
    return load_tokenizer(demo_folder, DIMS.n_vocab)


@pytest.fixture(scope="module")
def demo_generation(demo_folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((demo_folder / "generation_config.json").read_text())
    return content


def read(tokenizer: WhisperTokenizer, *files: dict[str, Any], dims: ModelDims = DIMS) -> GenerationConfig:
    return read_generation_config(files, dims, tokenizer)


def test_reads_the_file(tokenizer: WhisperTokenizer, demo_generation: dict[str, Any]) -> None:
    languages = {f"<|{code}|>": token_id for code, token_id in tokenizer.language_ids.items()}
    given = {
        **demo_generation,
        "lang_to_id": languages,
        "suppress_tokens": [5, 3],
        "max_initial_timestamp_index": 25,
    }
    config = read(tokenizer, given)
    assert config.suppress_tokens == (5, 3)
    assert config.begin_suppress_tokens == (220, 768)
    assert config.lang_to_id["de"] == 772
    assert list(config.lang_to_id)[:3] == ["en", "zh", "de"]
    assert len(config.lang_to_id) == 99
    assert config.task_to_id == {"transcribe": 870, "translate": 869}
    assert config.alignment_heads == ((1, 0),)
    assert config.is_multilingual
    assert config.max_initial_timestamp_index == 25


def test_the_first_file_that_has_a_key_decides(tokenizer: WhisperTokenizer) -> None:
    assert read(tokenizer, {"suppress_tokens": [1]}, {"suppress_tokens": [2]}).suppress_tokens == (1,)
    assert read(tokenizer, {}, {"suppress_tokens": [2]}).suppress_tokens == (2,)
    assert read(tokenizer, {"suppress_tokens": None}, {"suppress_tokens": [2]}).suppress_tokens == ()
    assert read(tokenizer, {"suppress_tokens": []}).suppress_tokens == ()


def test_derives_what_no_file_says(tokenizer: WhisperTokenizer) -> None:
    config = read(tokenizer)
    assert config.begin_suppress_tokens == (tokenizer.encode(" ")[0], tokenizer.eot)
    special = {tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm, tokenizer.no_speech}
    assert {*special, tokenizer.transcribe, tokenizer.translate} < set(config.suppress_tokens)
    assert set(non_speech_tokens(tokenizer)) < set(config.suppress_tokens)
    assert tokenizer.eot not in config.suppress_tokens
    assert config.lang_to_id == tokenizer.language_ids
    assert config.task_to_id == {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate}
    assert config.alignment_heads == tuple((layer, head) for layer in (2, 3) for head in range(3))
    assert config.max_initial_timestamp_index == 50


def test_non_speech_tokens(tokenizer: WhisperTokenizer) -> None:
    found = non_speech_tokens(tokenizer)
    for symbol in ("(", "[", "#", '"', "~"):
        assert tokenizer.encode(symbol)[0] in found
    for speech in (".", ",", "a", " the", "0", "-", "'"):
        assert tokenizer.encode(speech)[0] not in found
    assert all(token_id < tokenizer.eot for token_id in found)


def test_english_only(demo_folder: Path, demo_generation: dict[str, Any]) -> None:
    tokenizer = load_tokenizer(demo_folder, DIMS.n_vocab, is_multilingual=False)
    config = read(tokenizer, demo_generation)
    assert not config.is_multilingual
    assert not config.lang_to_id
    assert not config.task_to_id


def test_languages_are_those_that_the_file_lists_and_the_vocabulary_has(tokenizer: WhisperTokenizer) -> None:
    listed = {"<|es|>": 773, "<|en|>": 770, "<|xx|>": 800}
    assert read(tokenizer, {"lang_to_id": listed}).lang_to_id == {"en": 770, "es": 773}
    assert list(read(tokenizer, {"lang_to_id": listed}).lang_to_id) == ["en", "es"]
    assert read(tokenizer, {"lang_to_id": {}}).lang_to_id == tokenizer.language_ids
    with pytest.raises(ModelFormatError, match=r"lang_to_id: got <\|xx\|>, allowed: languages of the tokenizer"):
        read(tokenizer, {"lang_to_id": {"<|xx|>": 800}})


def test_heads_of_a_teacher_with_more_layers(tokenizer: WhisperTokenizer) -> None:
    inside_and_outside = read(tokenizer, {"alignment_heads": [[1, 2], [10, 0], [1, 7]]})
    assert inside_and_outside.alignment_heads == ((1, 2),)
    two_layers = replace(DIMS, n_decoder_layers=2)
    only_outside = read(tokenizer, {"alignment_heads": [[10, 0]]}, dims=two_layers)
    assert only_outside.alignment_heads == ((1, 0), (1, 1), (1, 2))


def test_a_checkpoint_without_translation(tokenizer: WhisperTokenizer) -> None:
    assert read(tokenizer, {"task_to_id": {"transcribe": 870}}).task_to_id == {"transcribe": 870}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"suppress_tokens": [2376]}, "suppress_tokens: got 2376, allowed: 0 to 2375"),
        ({"begin_suppress_tokens": [-1]}, "begin_suppress_tokens: got -1"),
        ({"suppress_tokens": ["x"]}, "generation_config.json or config.json"),
        ({"suppress_tokens": 5}, "generation_config.json or config.json"),
        ({"lang_to_id": {"<|en|>": 99999}}, "lang_to_id: got 99999"),
        ({"lang_to_id": ["en"]}, "generation_config.json or config.json"),
        ({"lang_to_id": 5}, "lang_to_id: got 5, allowed: an object"),
        ({"lang_to_id": {"<|en|>": None}}, "lang_to_id, '<|en|>': got null, allowed: an integer"),
        ({"task_to_id": "transcribe"}, 'task_to_id: got "transcribe", allowed: an object'),
        ({"suppress_tokens": [True]}, "suppress_tokens: got true, allowed: an integer"),
        ({"suppress_tokens": {}}, "suppress_tokens: got object, allowed: a list"),
        ({"alignment_heads": 7}, "alignment_heads: got 7, allowed: a list"),
        ({"alignment_heads": [[1]]}, "alignment_heads: got an item that is no pair"),
        ({"alignment_heads": [[1, None]]}, "alignment_heads: got null, allowed: an integer"),
        ({"max_initial_timestamp_index": [5]}, "max_initial_timestamp_index: got list, allowed: an integer"),
        ({"alignment_heads": [1, 2]}, "generation_config.json or config.json"),
        ({"max_initial_timestamp_index": "later"}, "generation_config.json or config.json"),
    ],
)
def test_damaged_files(given: dict[str, Any], message: str, tokenizer: WhisperTokenizer) -> None:
    with pytest.raises(ModelFormatError, match=re.escape(message)):
        read(tokenizer, given)
