"""What one checkpoint makes of requests: which tokens precede, which are forbidden, which languages there are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ifw.constants import FRAMES_PER_POSITION, HOP_LENGTH, POSITION_S, WINDOW_S, WINDOW_SAMPLES
from ifw.engine.decoding import WindowDecoding
from ifw.engine.noise import noise_key
from ifw.engine.prefix import build_prefix
from ifw.engine.request import DecodeRequest, LanguageDetection
from ifw.engine.rules import NO_LIMIT, RowStart, RuleTokens
from ifw.engine.runner import RunnerTokens
from ifw.engine.runner_interface import AlignInput, PrefillInput, SearchInput
from ifw.engine.segments import split_segments
from ifw.errors import ConfigError, EngineError, LanguageError, ModeError, PromptError, ShapeError

if TYPE_CHECKING:
    from ifw.engine.request import EncodedWindow, Hypothesis, Request
    from ifw.engine.runner_interface import Detected
    from ifw.model.checkpoint import Checkpoint


class Vocabulary:
    """The tokens of one checkpoint, as the engine uses them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._dims = checkpoint.dims
        self._languages = checkpoint.languages
        self._can_translate = checkpoint.can_translate
        self._tokenizer = checkpoint.tokenizer
        self._generation = checkpoint.generation
        special = checkpoint.tokenizer
        self._control_ids = {
            special.sot,
            special.sot_prev,
            special.sot_lm,
            special.transcribe,
            special.translate,
            special.no_speech,
        }
        self._suppress = self._with_control(self._generation.suppress_tokens)
        self.runner_tokens = RunnerTokens(
            rules=RuleTokens(
                eot=special.eot,
                no_timestamps=special.no_timestamps,
                timestamp_begin=self._tokenizer.timestamp_begin,
                begin_suppress=tuple(self._generation.begin_suppress_tokens),
            ),
            sot=special.sot,
            no_speech=special.no_speech,
            language_ids=tuple(checkpoint.language_ids.values()),
        )

    def check(self, request: Request) -> None:
        """Refuse what this checkpoint cannot do.

        Raises:
            LanguageError: It does not know the language.
            ModeError: It cannot translate.
            PromptError: A token of the prompt or the prefix is no text token, or the prefix is too long.
            ConfigError: A suppressed token is not in the vocabulary, or too little is left of it.
            ShapeError: The encoded window comes from a model of another shape.
        """
        if not isinstance(request, DecodeRequest):
            return
        tokenizer, options = self._tokenizer, request.options
        if request.language is not None and request.language not in self._languages:
            raise LanguageError(f"language: got {request.language!r}, allowed: {', '.join(self._languages)}")
        if options.mode == "translate" and not self._can_translate:
            raise ModeError("mode: got 'translate', allowed by this checkpoint, which cannot translate: 'transcribe'")
        for name, token_ids in (("prompt_ids", request.prompt_ids), ("prefix_ids", request.prefix_ids)):
            for token in token_ids:
                if not 0 <= token < tokenizer.eot:
                    raise PromptError(f"{name}: got {token}, allowed: text tokens, 0 to {tokenizer.eot - 1}")
        max_prefix = self._dims.n_text_positions // 4
        if len(request.prefix_ids) > max_prefix:
            raise PromptError(f"prefix_ids: got {len(request.prefix_ids)} tokens, allowed: at most {max_prefix}")
        if options.suppress_tokens is not None:
            self._check_suppressed(options.suppress_tokens, has_timestamps=options.timestamps)
        expected = (self._dims.n_positions, self._dims.d_model)
        if request.encoded is not None and tuple(request.encoded.audio.shape) != expected:
            raise ShapeError(f"encoded: got shape {tuple(request.encoded.audio.shape)}, allowed: {expected}")

    def needs_detection(self, request: Request) -> bool:
        """Whether the language has to be asked for before the window can be decoded."""
        if isinstance(request, DecodeRequest):
            return request.language is None and self._tokenizer.is_multilingual
        return True

    def detection(self, detected: Detected, encoded: EncodedWindow) -> LanguageDetection:
        """Name the languages of a detection.

        Raises:
            EngineError: The model gave numbers that are not finite.
        """
        probabilities = dict(zip(self._languages, detected.probabilities or [1.0], strict=True))
        if not all(map(math.isfinite, [*probabilities.values(), detected.no_speech_prob])):
            raise EngineError(
                "the model gave probabilities that are not finite: its weights are damaged, or the compute type does "
                "not suit it; try float32"
            )
        language = max(probabilities, key=lambda code: probabilities[code])
        return LanguageDetection(language, probabilities[language], probabilities, detected.no_speech_prob, encoded)

    def begin(self, request: DecodeRequest, detection: LanguageDetection | None) -> WindowDecoding:
        """Start on a window whose language is known, from the request or from a detection."""
        language = detection.language if detection is not None else request.language or "en"
        n_text_positions = self._dims.n_text_positions
        prefix = build_prefix(
            self._tokenizer,
            language,
            request.options.mode,
            request.prompt_ids,
            request.prefix_ids,
            timestamps=request.options.timestamps,
            max_prompt=n_text_positions // 2 - 1,
        )
        return WindowDecoding(
            request,
            prefix,
            language=language,
            tokenizer=self._tokenizer,
            n_text_positions=n_text_positions,
        )

    def row_starts(self, decoding: WindowDecoding) -> tuple[RowStart, ...]:
        """How the rows of the attempt that is running begin to sample: one a sample, one in all for a beam search."""
        request, attempt, prefix_ids = decoding.request, decoding.attempt_options, decoding.prefix.token_ids
        first_s = request.options.max_initial_timestamp_s
        place = (request.options.seed, request.window_index, decoding.attempt_index)
        n_rows = attempt.n_hypotheses if attempt.kind == "sample" else 1
        return tuple(
            RowStart(
                last_prefix_token=prefix_ids[-1],
                n_prefix=len(prefix_ids),
                given_ids=decoding.prefix.given_ids,
                has_grammar=request.options.timestamps,
                max_first_stamp=NO_LIMIT if first_s is None else round(first_s / POSITION_S),
                temperature=attempt.temperature,
                key=noise_key(*place) if n_rows == 1 else noise_key(*place, sample),
            )
            for sample in range(n_rows)
        )

    def search_input(self, slot: int, decoding: WindowDecoding) -> SearchInput:
        """The attempt that is running, for the search workspace."""
        attempt = decoding.attempt_options
        n_candidates = 1 if attempt.kind == "sample" else min(attempt.n_hypotheses + 1, self._dims.n_vocab)
        return SearchInput(slot, self.row_starts(decoding), attempt.n_hypotheses, n_candidates)

    def prefill_input(self, slot: int, decoding: WindowDecoding) -> PrefillInput:
        """The prefix of a window, for its slot."""
        own = decoding.request.options.suppress_tokens
        suppress = self._suppress if own is None else self._with_control(own)
        return PrefillInput(slot, decoding.prefix, self.row_starts(decoding)[0], suppress)

    def align_input(self, slot: int, request: DecodeRequest, hypothesis: Hypothesis) -> AlignInput | None:
        """The row of tokens whose attention gives the word times of a hypothesis.

        Returns:
            The tokens as openai-whisper's `find_alignment` orders them, without prompt and timestamps, cut to the
            decoder's context; None where no words were asked for or there are none.
        """
        if not request.options.word_timestamps or hypothesis.is_silent:
            return None
        n_samples = WINDOW_SAMPLES if request.samples is None else len(request.samples)
        segments = split_segments(hypothesis.token_ids, self._tokenizer, WINDOW_S)
        text_ids = [token for segment in segments for token in segment.token_ids]
        if not text_ids:
            return None
        prefix = build_prefix(self._tokenizer, hypothesis.language, request.options.mode, timestamps=False)
        n_room = self._dims.n_text_positions - len(prefix.token_ids) - 1
        return AlignInput(
            slot,
            token_ids=(*prefix.token_ids, *text_ids[:n_room], self._tokenizer.eot),
            n_prefix=len(prefix.token_ids),
            n_positions=min(max(n_samples // (HOP_LENGTH * FRAMES_PER_POSITION), 1), self._dims.n_positions),
        )

    def _check_suppressed(self, suppress: tuple[int, ...], *, has_timestamps: bool) -> None:
        """There must be a token to choose in every state of the grammar: the end may be suppressed, or not come yet."""
        rules = self.runner_tokens.rules
        for token in suppress:
            if not 0 <= token < self._dims.n_vocab:
                raise ConfigError(f"suppress_tokens: got {token}, allowed: 0 to {self._dims.n_vocab - 1}")
        stamps = [token for token in suppress if self._tokenizer.is_timestamp(token)]
        if has_timestamps and stamps:
            raise ConfigError(
                f"suppress_tokens: got {stamps[0]}, a timestamp, allowed with timestamps: other tokens; "
                "timestamps=False goes without all of them"
            )
        if sum(token < rules.eot for token in {*suppress, *rules.begin_suppress}) == rules.eot:
            raise ConfigError(f"suppress_tokens: got all {rules.eot} text tokens, allowed: a list that leaves some")

    def _with_control(self, suppress: tuple[int, ...]) -> tuple[int, ...]:
        """A suppress list and the tokens that steer the decoder, which no text contains."""
        return tuple(sorted({*suppress, *self._control_ids}))
