from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_files import demo_tokenizer, rename, write_tokenizer_json, write_vocab_and_merges

from ifw.errors import ModelFormatError
from ifw.model.tokenizer import ENGLISH_ONLY_VOCAB, WhisperTokenizer, load_tokenizer

N_VOCAB = 2376
TEXTS = [
    " Hello, world! It's 12:30 - we'll go.",
    "Grüße aus München; naïve café",
    " 今日はいい天気ですね。",
    " Привет, как дела?",
    "  leading and   multiple\n\nspaces\t",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f389",
    "12345678901234567890",
    "",
]


@pytest.fixture(scope="module")
def tokenizer(demo_folder: Path) -> WhisperTokenizer:
    return load_tokenizer(demo_folder, N_VOCAB)


def test_special_tokens(tokenizer: WhisperTokenizer) -> None:
    ids = (tokenizer.eot, tokenizer.sot, tokenizer.translate, tokenizer.transcribe, tokenizer.sot_lm)
    assert ids == (768, 769, 869, 870, 871)
    assert (tokenizer.sot_prev, tokenizer.no_speech, tokenizer.no_timestamps) == (872, 873, 874)
    assert tokenizer.timestamp_begin == 875
    assert tokenizer.is_timestamp(875)
    assert tokenizer.is_timestamp(2375)
    assert not tokenizer.is_timestamp(874)
    assert not tokenizer.is_timestamp(2376)


def test_languages(tokenizer: WhisperTokenizer) -> None:
    assert tokenizer.is_multilingual
    assert len(tokenizer.language_ids) == 99
    assert list(tokenizer.language_ids.items())[:4] == [("en", 770), ("zh", 771), ("de", 772), ("es", 773)]


@pytest.mark.parametrize("text", TEXTS)
def test_encodes_and_decodes_as_transformers_does(text: str, tokenizer: WhisperTokenizer, demo_folder: Path) -> None:
    from transformers import WhisperTokenizerFast

    reference = WhisperTokenizerFast.from_pretrained(demo_folder)
    token_ids = tokenizer.encode(text)
    assert token_ids == reference.encode(text, add_special_tokens=False)
    assert tokenizer.decode(token_ids) == reference.decode(token_ids) == text


# The demo's vocabulary has every byte but zero.
@given(text=st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_any_text_survives(text: str, tokenizer: WhisperTokenizer) -> None:
    token_ids = tokenizer.encode(text)
    assert tokenizer.decode(token_ids) == text
    assert all(token_id < tokenizer.eot for token_id in token_ids)


@pytest.mark.parametrize(
    "typed", ["<|endoftext|>", "a<|startofprev|>b", "<|0.00|>", "<|en|><|transcribe|>", " <|nospeech|> ", "<|30.00|>"]
)
@pytest.mark.parametrize("layout", ["tokenizer.json", "added_tokens.json", "tokenizer_config.json"])
def test_typed_special_tokens_are_plain_text(typed: str, layout: str, demo_folder: Path, tmp_path: Path) -> None:
    content = demo_tokenizer(demo_folder)
    if layout == "tokenizer.json":
        folder = write_tokenizer_json(tmp_path, content)
    else:
        folder = write_vocab_and_merges(tmp_path, content, layout)
    tokenizer = load_tokenizer(folder, N_VOCAB)
    token_ids = tokenizer.encode(typed)
    assert all(token_id < tokenizer.eot for token_id in token_ids)
    assert tokenizer.decode(token_ids) == typed


def test_decoding_skips_special_tokens_and_timestamps(tokenizer: WhisperTokenizer) -> None:
    text = tokenizer.encode(" Good morning.")
    prefix = [tokenizer.sot_prev, tokenizer.sot, tokenizer.language_ids["de"], tokenizer.transcribe]
    assert tokenizer.decode([*prefix, 875, *text, 900, tokenizer.no_speech, tokenizer.eot]) == " Good morning."
    assert tokenizer.decode([10_000, -1]) == "", "ids beyond the vocabulary are no text"


def test_characters_over_several_tokens(tokenizer: WhisperTokenizer) -> None:
    token_ids = tokenizer.encode("\U0001f389")
    assert len(token_ids) > 1
    assert tokenizer.decode(token_ids) == "\U0001f389"
    assert tokenizer.decode(token_ids[:-1]) == "\ufffd"
    assert tokenizer.decode_bytes(token_ids[:1]) + tokenizer.decode_bytes(token_ids[1:]) == "\U0001f389".encode()
    with_timestamp = [token_ids[0], 875, *token_ids[1:]]
    assert tokenizer.decode(with_timestamp) == "\U0001f389"


@pytest.mark.parametrize("added_in", ["added_tokens.json", "tokenizer_config.json"])
def test_older_layout_gives_the_same_tokenizer(
    added_in: str, tokenizer: WhisperTokenizer, demo_folder: Path, tmp_path: Path
) -> None:
    older = load_tokenizer(write_vocab_and_merges(tmp_path, demo_tokenizer(demo_folder), added_in), N_VOCAB)
    for text in TEXTS:
        assert older.encode(text) == tokenizer.encode(text)
        assert older.decode(older.encode(text)) == text
    assert older.language_ids == tokenizer.language_ids
    assert (older.eot, older.no_speech, older.timestamp_begin) == (768, 873, 875)


def test_old_name_of_the_no_speech_token(demo_folder: Path, tmp_path: Path) -> None:
    folder = write_tokenizer_json(tmp_path, rename(demo_tokenizer(demo_folder), "<|nospeech|>", "<|nocaptions|>"))
    assert load_tokenizer(folder, N_VOCAB).no_speech == 873


def test_tokenizer_without_timestamp_tokens(demo_folder: Path, tmp_path: Path) -> None:
    """Early fine-tunes list no timestamps; their ids follow the special tokens all the same."""
    content = demo_tokenizer(demo_folder)
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < 875]
    tokenizer = load_tokenizer(write_tokenizer_json(tmp_path, content), N_VOCAB)
    assert tokenizer.timestamp_begin == 875
    assert tokenizer.decode([875, *tokenizer.encode(" yes"), 2375]) == " yes"


def test_words_added_by_a_fine_tune(demo_folder: Path, tmp_path: Path) -> None:
    content = demo_tokenizer(demo_folder)
    added = {"id": N_VOCAB, "content": "Überlingen", "special": False}
    content["added_tokens"].append({**content["added_tokens"][0], **added})
    tokenizer = load_tokenizer(write_tokenizer_json(tmp_path, content), N_VOCAB + 1)
    assert tokenizer.decode([*tokenizer.encode(" in "), N_VOCAB]) == " in Überlingen"


def test_english_only(demo_folder: Path) -> None:
    assert not load_tokenizer(demo_folder, ENGLISH_ONLY_VOCAB).is_multilingual
    english = load_tokenizer(demo_folder, N_VOCAB, is_multilingual=False)
    assert not english.is_multilingual
    assert not english.language_ids
    assert load_tokenizer(demo_folder, ENGLISH_ONLY_VOCAB, is_multilingual=True).is_multilingual


def test_missing_special_token_is_named(demo_folder: Path, tmp_path: Path) -> None:
    folder = write_tokenizer_json(tmp_path, rename(demo_tokenizer(demo_folder), "<|startofprev|>", "<|other|>"))
    with pytest.raises(ModelFormatError, match=r"lacks <\|startofprev\|>"):
        load_tokenizer(folder, N_VOCAB)


def test_vocabulary_beyond_the_embedding(demo_folder: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"token 2375, allowed: below vocab_size \(2000\)"):
        load_tokenizer(demo_folder, 2000)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither tokenizer.json nor vocab.json"),
        ({"tokenizer.json": "{"}, "cannot be read"),
        ({"tokenizer.json": "{}"}, "cannot be read"),
        ({"tokenizer.json": '{"model": {"vocab": {}}}'}, "no tokenizer that the tokenizers package can read"),
        ({"tokenizer.json": '{"model": null}'}, "model: got null, allowed: an object"),
        ({"tokenizer.json": '{"model": {"vocab": []}}'}, "vocab: got list, allowed: an object"),
        ({"tokenizer.json": '{"model": {"vocab": {"a": "b"}}}'}, "'a': got \"b\", allowed: an integer"),
        (
            {"tokenizer.json": '{"model": {"vocab": {}}, "added_tokens": [5]}'},
            "added_tokens: got 5, allowed",
        ),
        ({"tokenizer.json": '{"model": {"vocab": {}}, "added_tokens": [{}]}'}, "it lacks 'content'"),
        ({"vocab.json": "[]", "merges.txt": ""}, "vocab.json: got list, allowed: a JSON object"),
        (
            {"vocab.json": "{}", "merges.txt": "", "tokenizer_config.json": '{"added_tokens_decoder": {"x": {}}}'},
            "got a key that is no number",
        ),
        (
            {"vocab.json": "{}", "merges.txt": "", "tokenizer_config.json": '{"added_tokens_decoder": {"1": null}}'},
            "'1': got null, allowed: an object",
        ),
        (
            {"vocab.json": "{}", "merges.txt": "", "added_tokens.json": '{"x": 1.5}'},
            "'x': got 1.5, allowed",
        ),
        ({"vocab.json": "{}"}, "neither tokenizer.json nor vocab.json"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b c\n"}, "cannot be read"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b\n"}, "no tokenizer that the tokenizers package can read"),
    ],
)
def test_damaged_files(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelFormatError, match=message):
        load_tokenizer(tmp_path, N_VOCAB)
