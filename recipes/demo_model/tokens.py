"""The tokenizer: a small byte-level BPE below Whisper's special tokens in genuine order."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import WhisperFeatureExtractor, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES as WHISPER_LANGUAGES

from .grammar import LANGUAGES, sentences

BPE_SIZE = 768
TIMESTAMP_COUNT = 1501
TIMESTAMP_STEP_S = 0.02
MAX_TARGET_POSITIONS = 448
_NUL_BYTE_TOKEN = "Ā"
_END = "<|endoftext|>"


def special_tokens() -> list[str]:
    """Whisper's special tokens, in the order of the multilingual checkpoints."""
    languages = [f"<|{code}|>" for code in list(WHISPER_LANGUAGES)[:99]]
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    return [
        _END, "<|startoftranscript|>", *languages, *tasks, "<|nospeech|>", "<|notimestamps|>",
    ]  # fmt: skip


def _train_bpe(seed: int, count: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Learns the merges from sentences of the grammar, none of them held out."""
    rng = random.Random(seed)
    corpus = [
        " " + sentence.text[language]
        for sentence in islice(sentences(rng, held_out=False), count)
        for language in LANGUAGES
    ]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=BPE_SIZE,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        min_frequency=2,
    )
    bpe.train_from_iterator(corpus, trainer)
    model = json.loads(bpe.to_str())["model"]
    return dict(model["vocab"]), [tuple(merge) for merge in model["merges"]]


def build_tokenizer(folder: Path, seed: int = 5, count: int = 30000) -> None:
    """Trains the tokenizer and writes it, with the feature extractor, to a folder."""
    vocabulary, merges = _train_bpe(seed, count)
    vocabulary[_END] = len(vocabulary)
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges, add_prefix_space=False)
    specials = special_tokens()
    timestamps = [f"<|{index * TIMESTAMP_STEP_S:.2f}|>" for index in range(TIMESTAMP_COUNT)]
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in specials[1:]],
        special_tokens=True,
    )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in timestamps])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    # Timestamp decoding in transformers starts after the last token that is listed as special.
    tokenizer = WhisperTokenizer.from_pretrained(folder, extra_special_tokens=specials)
    tokenizer.model_max_length = MAX_TARGET_POSITIONS
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)  # type: ignore[no-untyped-call] # transformers has no types
    _finish_files(folder)


def _finish_files(folder: Path) -> None:
    """Adds what other engines look for in a genuine multilingual checkpoint."""
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = document["model"]["vocab"]
    # CTranslate2 takes the presence of an empty token as the mark of a multilingual model.
    # The token of the NUL byte, which no text contains, gives up its place.
    vocabulary[""] = vocabulary.pop(_NUL_BYTE_TOKEN)
    document["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["pad_token"] = _END
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")


class TokenIds:
    """The tokenizer with the ids that training needs by name."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.size: int = self.tokenizer.get_vocab_size()
        self.end = self._id(_END)
        self.start = self._id("<|startoftranscript|>")
        self.translate = self._id("<|translate|>")
        self.transcribe = self._id("<|transcribe|>")
        self.previous = self._id("<|startofprev|>")
        self.no_speech = self._id("<|nospeech|>")
        self.no_timestamps = self._id("<|notimestamps|>")
        self.first_timestamp = self._id("<|0.00|>")
        self.space = self._id("Ġ")
        self.language = {code: self._id(f"<|{code}|>") for code in LANGUAGES}

    def _id(self, token: str) -> int:
        identifier = self.tokenizer.token_to_id(token)
        if identifier is None:
            raise ValueError(f"the tokenizer lacks {token!r}")
        return int(identifier)
