"""Text to tokens and back, and the special tokens of a checkpoint.

Reads `tokenizer.json`, or the older `vocab.json` + `merges.txt` + `added_tokens.json`. Users' text goes through a
tokenizer that knows no special tokens at all, so nothing that a user types can become one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from ifw.constants import POSITION_S, WINDOW_S
from ifw.errors import ModelFormatError
from ifw.model.json_file import expect_key, expect_list, expect_map, read_json
from ifw.model.languages import LANGUAGES

N_TIMESTAMPS: Final = round(WINDOW_S / POSITION_S) + 1  # 1,501: 0.00 s to 30.00 s
ENGLISH_ONLY_VOCAB: Final = 51_864  # rows of every published `.en` checkpoint; multilingual ones have more

_SPECIAL = re.compile(r"<\|.*\|>")
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_NAMES = {
    "eot": ("<|endoftext|>",),
    "sot": ("<|startoftranscript|>",),
    "translate": ("<|translate|>",),
    "transcribe": ("<|transcribe|>",),
    "sot_lm": ("<|startoflm|>",),
    "sot_prev": ("<|startofprev|>",),
    "no_speech": ("<|nospeech|>", "<|nocaptions|>"),
    "no_timestamps": ("<|notimestamps|>",),
}


class WhisperTokenizer:
    """The tokenizer of one checkpoint.

    Args:
        plain: Turns text into text tokens; knows no special tokens.
        vocab: Every token and its id: byte-level text tokens, and special ones by their name.
        literal_ids: Ids of text tokens that were added by a fine-tune and stand for themselves, not for bytes.
        is_multilingual: The checkpoint uses language and mode tokens.

    Raises:
        ModelFormatError: A special token is missing.

    Attributes:
        eot: `<|endoftext|>`: ends a window, and is the first id that is no text.
        sot: `<|startoftranscript|>`.
        translate: The mode token of translation into English.
        transcribe: The mode token of transcription.
        sot_lm: `<|startoflm|>`.
        sot_prev: `<|startofprev|>`: opens a prompt.
        no_speech: `<|nospeech|>`, called `<|nocaptions|>` in older vocabularies.
        no_timestamps: `<|notimestamps|>`.
        timestamp_begin: The token of 0.00 s; the tokens up to 30.00 s follow it, 0.02 s apart.
        language_ids: ISO code to token id, in the order of the ids; empty where `is_multilingual` is false.
        is_multilingual: The checkpoint uses language and mode tokens.
    """

    def __init__(
        self, plain: Tokenizer, vocab: Mapping[str, int], literal_ids: frozenset[int], *, is_multilingual: bool
    ) -> None:
        self._plain = plain
        self._literal_ids = literal_ids
        self._text = {token_id: token for token, token_id in vocab.items() if not _SPECIAL.fullmatch(token)}
        self._known_bytes: dict[int, bytes] = {}  # of tokens that were decoded before
        special = _special_tokens(vocab)
        self.eot = special["eot"]
        self.sot = special["sot"]
        self.translate = special["translate"]
        self.transcribe = special["transcribe"]
        self.sot_lm = special["sot_lm"]
        self.sot_prev = special["sot_prev"]
        self.no_speech = special["no_speech"]
        self.no_timestamps = special["no_timestamps"]
        self.timestamp_begin = self.no_timestamps + 1
        self.is_multilingual = is_multilingual
        self.language_ids: Mapping[str, int] = MappingProxyType(_language_ids(vocab) if is_multilingual else {})

    def encode(self, text: str) -> list[int]:
        """Turn text into text tokens. Special tokens written out in it are plain text.

        Args:
            text: Any text; Whisper's words begin with a space.

        Returns:
            Token ids, all of them text.
        """
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Iterable[int]) -> str:
        """Turn tokens into text.

        Args:
            token_ids: Any ids; special tokens and timestamps are skipped. A character may be spread over tokens.

        Returns:
            The text; bytes that are no UTF-8 become U+FFFD.
        """
        return self.decode_bytes(token_ids).decode("utf-8", errors="replace")

    def decode_bytes(self, token_ids: Iterable[int]) -> bytes:
        """The UTF-8 bytes of `decode`, which may end within a character."""
        return b"".join(map(self._bytes, token_ids))

    def is_timestamp(self, token_id: int) -> bool:
        """Whether the token is one of the 1,501 timestamps."""
        return self.timestamp_begin <= token_id < self.timestamp_begin + N_TIMESTAMPS

    def _bytes(self, token_id: int) -> bytes:
        known = self._known_bytes.get(token_id)
        if known is None:
            token = self._text.get(token_id, "")
            is_literal = token_id in self._literal_ids
            known = token.encode() if is_literal else bytes(_BYTE_OF_CHARACTER[character] for character in token)
            if token:
                self._known_bytes[token_id] = known
        return known


def load_tokenizer(folder: Path, n_vocab: int, is_multilingual: bool | None = None) -> WhisperTokenizer:
    """Read the tokenizer of a checkpoint folder.

    Args:
        folder: Holds `tokenizer.json`, or `vocab.json`, `merges.txt` and, as a rule, `added_tokens.json`.
        n_vocab: Rows of the token embedding.
        is_multilingual: As `generation_config.json` says; None derives it from the vocabulary.

    Returns:
        The tokenizer.

    Raises:
        ModelFormatError: A file is missing or damaged, a special token is missing, or an id has no embedding.
    """
    if (folder / "tokenizer.json").is_file():
        plain, vocab, literal = _read_tokenizer_json(folder / "tokenizer.json")
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        plain, vocab, literal = _read_vocab_and_merges(folder)
    else:
        raise ModelFormatError(f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt")
    if is_multilingual is None:
        is_multilingual = n_vocab != ENGLISH_ONLY_VOCAB and len(_language_ids(vocab)) > 1
    tokenizer = WhisperTokenizer(plain, vocab, literal, is_multilingual=is_multilingual)
    last = tokenizer.timestamp_begin + N_TIMESTAMPS - 1
    if last >= n_vocab:
        raise ModelFormatError(
            f"the tokenizer in {folder} does not fit its config.json: the last timestamp is token {last}, "
            f"allowed: below vocab_size ({n_vocab})"
        )
    return tokenizer


def _read_tokenizer_json(path: Path) -> tuple[Tokenizer, dict[str, int], frozenset[int]]:
    content, where, added_where = read_json(path), str(path), f"{path}, added_tokens"
    model = expect_key(content, "model", dict, where)
    text = expect_map(expect_key(model, "vocab", dict, where), int, f"{where}, vocab")
    added = {
        expect_key(token, "content", str, added_where): expect_key(token, "id", int, added_where)
        for token in expect_list(content.get("added_tokens") or [], dict, added_where)
    }
    literal = frozenset(token_id for name, token_id in added.items() if name not in text)
    plain_content = {**content, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    return _build(path, lambda: Tokenizer.from_str(json.dumps(plain_content))), {**text, **added}, literal


def _read_vocab_and_merges(folder: Path) -> tuple[Tokenizer, dict[str, int], frozenset[int]]:
    vocab = expect_map(read_json(folder / "vocab.json"), int, str(folder / "vocab.json"))
    merges = _read_merges(folder / "merges.txt")
    added = _added_by_id(folder / "tokenizer_config.json")
    if (folder / "added_tokens.json").is_file():
        added |= expect_map(read_json(folder / "added_tokens.json"), int, str(folder / "added_tokens.json"))
    plain = _build(folder, lambda: Tokenizer(BPE(vocab=vocab, merges=merges)))
    plain.pre_tokenizer = ByteLevel(add_prefix_space=False)
    literal = frozenset(token_id for name, token_id in added.items() if name not in vocab)
    return plain, {**vocab, **added}, literal


def _build(path: Path, make: Callable[[], Tokenizer]) -> Tokenizer:
    try:
        return make()
    except Exception as error:  # the tokenizers package raises nothing narrower
        raise ModelFormatError(f"{path} holds no tokenizer that the tokenizers package can read: {error}") from error


def _read_merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error
    merges: list[tuple[str, str]] = []
    for line in lines:
        if line and not line.startswith("#version"):
            left, space, right = line.partition(" ")
            if not space or " " in right:
                raise ModelFormatError(
                    f"{path} cannot be read: got the line {line[:80]!r}, allowed: two tokens with a space between"
                )
            merges.append((left, right))
    return merges


def _added_by_id(path: Path) -> dict[str, int]:
    """What an older `tokenizer_config.json` says about added tokens: name to id."""
    if not path.is_file():
        return {}
    where = f"{path}, added_tokens_decoder"
    by_id = expect_map(read_json(path).get("added_tokens_decoder") or {}, dict, where)
    if not all(token_id.isdecimal() and len(token_id) < 10 for token_id in by_id):
        raise ModelFormatError(f"{where}: got a key that is no number, allowed: token ids")
    return {expect_key(token, "content", str, where): int(token_id) for token_id, token in by_id.items()}


def _special_tokens(vocab: Mapping[str, int]) -> dict[str, int]:
    found = {part: vocab[name] for part, names in _NAMES.items() for name in names if name in vocab}
    missing = [names[0] for part, names in _NAMES.items() if part not in found]
    if missing:
        raise ModelFormatError(f"the tokenizer lacks {', '.join(missing)}: it is not Whisper's")
    return found


def _language_ids(vocab: Mapping[str, int]) -> dict[str, int]:
    matches = ((_LANGUAGE.fullmatch(name), token_id) for name, token_id in vocab.items())
    found = {match[1]: token_id for match, token_id in matches if match and match[1] in LANGUAGES}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _byte_of_character() -> dict[str, int]:
    """GPT-2's map: printable bytes stand for themselves, the others are moved past U+0100 in their order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF_CHARACTER: Final[Mapping[str, int]] = MappingProxyType(_byte_of_character())


def non_speech_tokens(tokenizer: WhisperTokenizer) -> tuple[int, ...]:
    """The text tokens that write no speech: brackets, notes, quotes and the like, as openai-whisper suppresses them.

    Needed only for checkpoints that carry no list of their own.

    Source:
        openai/whisper `tokenizer.py`, `non_speech_tokens`.
    """
    symbols = [*'"#()*+/:;<=>@[\\]^_`{|}~「」『』', "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("']
    symbols += ["((", "))", "(((", ")))", "[[", "]]", "{{", "}}", "♪♪", "♪♪♪"]
    notes = [*"♩♪♫♬♭♮♯"]  # U+2640 to U+267F share their first bytes, so the first token alone catches them
    found = {tokenizer.encode(" -")[0], tokenizer.encode(" '")[0]}
    for symbol in [*symbols, *notes]:
        for token_ids in (tokenizer.encode(symbol), tokenizer.encode(" " + symbol)):
            if len(token_ids) == 1 or symbol in notes:
                found.add(token_ids[0])
    return tuple(sorted(found))
