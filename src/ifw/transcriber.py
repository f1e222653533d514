"""The public face: a source goes in, a transcript comes out. The only module that knows all the parts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ifw.audio.fork_server import ForkServer
from ifw.audio.whole import Audio, decode
from ifw.cancellation import CancelToken
from ifw.config import AudioOptions, ComputeType, Device, EngineConfig, TranscribeOptions, checked_options
from ifw.engine.device import resolve_config
from ifw.engine.engine import Engine
from ifw.errors import ConfigError, ModelError
from ifw.model.checkpoint import load_checkpoint, load_whisper
from ifw.model.draft import check_draft, load_draft
from ifw.model.registry import resolve_checkpoint
from ifw.pipeline.language import resolve_language
from ifw.pipeline.prompt import encode_prompts
from ifw.pipeline.transcription import Transcription
from ifw.speech.vad import VoiceDetector
from ifw.types import Progress, Transcript

if TYPE_CHECKING:
    from ifw.audio import AudioSource
    from ifw.diarize.diarizer import Diarizer
    from ifw.engine.engine import EngineStats
    from ifw.model.checkpoint import Checkpoint
    from ifw.pipeline.journal import Journal


class Transcriber:
    """A loaded checkpoint that transcribes any number of files, also at the same time from several threads.

    The windows of all files share one engine, so ten files together finish sooner than ten in turn. It does not
    survive a fork: a child process makes its own.

    Args:
        model: A short name in any case (`ifw models` lists them), a hub id, or a checkpoint folder.
        device: `auto` takes CUDA where there is one.
        compute_type: `auto` is float16 on CUDA, and on CPU bfloat16 with native kernels that have it, else float32; or
            float32, bfloat16, float16 or, on CPU with native kernels, int8, the fastest.
        n_slots: Windows decoded together; None chooses by device and free memory.
        n_threads: CPU threads of torch; None leaves torch's own choice.
        diarization_model: What tells speakers apart: a hub id, a folder of that layout, or `demo`, loaded here
            beside the checkpoint; or one that is loaded already. None loads pyannote's
            `speaker-diarization-community-1` when somebody first diarizes.
        draft_model: A checkpoint whose decoder proposes tokens to this one, such as distil-large-v3 to large-v3: the
            text is the same, found in fewer steps. transformers calls it the assistant model.
        config: All about the engine at once, instead of the device, the compute type, slots and threads above.

    Attributes:
        checkpoint: What was loaded.
        load_s: Wall seconds that loading took.

    Raises:
        ConfigError: An option has a value that is not allowed, or the draft model does not fit the checkpoint.
        ModelError: The checkpoint cannot be found, fetched or read; the subclass and the message say which.
        EngineMemoryError: The device has no room for the slots.

    Example:
        >>> with Transcriber("demo") as transcriber:
        ...     transcript = transcriber.transcribe("meeting.mp3")
    """

    def __init__(
        self,
        model: str | Path = "turbo",
        device: Device = "auto",
        compute_type: ComputeType = "auto",
        *,
        n_slots: int | None = None,
        n_threads: int | None = None,
        diarization_model: str | Path | Diarizer | None = None,
        draft_model: str | Path | None = None,
        config: EngineConfig | None = None,
    ) -> None:
        asked = EngineConfig(device=device, compute_type=compute_type, n_slots=n_slots, n_threads=n_threads)
        if config is not None and asked != EngineConfig():
            raise ConfigError(
                "config: got it beside device, compute_type, n_slots or n_threads, allowed: either; it has them all"
            )
        asked = config or asked
        started = time.perf_counter()
        self._config = config = resolve_config(asked)
        self._asked_compute_type = asked.compute_type
        self._diarizer: Diarizer | None = None
        self._diarizer_lock = threading.Lock()
        if diarization_model is not None:
            self._diarizer = self._loaded_diarizer(diarization_model)
        self._decoders = ForkServer()  # gets ready while the model is loaded
        self.checkpoint = load_checkpoint(resolve_checkpoint(model), name=str(model))
        self._engine = _load_engine(self.checkpoint, draft_model, config)
        self.load_s = time.perf_counter() - started
        self._detector: VoiceDetector | None = None
        self._detector_lock = threading.Lock()

    def transcribe(
        self,
        source: AudioSource,
        options: TranscribeOptions | None = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancel: CancelToken | None = None,
        priority: int = 0,
    ) -> Transcript:
        """Transcribe one audio or video file.

        Args:
            source: A path, the bytes of a file, or a binary file object.
            options: What to do; None detects the language and transcribes.
            on_progress: Called in this thread whenever a stage has come further.
            cancel: Cancel it from any thread to end the work.
            priority: The windows of a file with a higher one go into the engine first; equal ones take turns.

        Returns:
            The transcript. Silence gives an empty one.

        Raises:
            ConfigError: `options` is something else, or says what is not allowed; or `source` is of another type.
            ModelError: The voice detector or the diarization model, which are loaded when they are first needed, cannot
                be found, fetched or read.
            AudioError: The source cannot be read or decoded; nothing else was wrong.
            LanguageError: The language is unknown to Whisper or to this checkpoint.
            ModeError: The checkpoint cannot translate.
            PromptError: The prompt is no text.
            CancelledError: `cancel` was cancelled.
            EngineError: The device failed, or the transcriber was made in another process.
        """
        transcription = self.stream(source, options, on_progress=on_progress, cancel=cancel, priority=priority)
        for _ in transcription:
            pass
        return transcription.transcript

    def stream(
        self,
        source: AudioSource,
        options: TranscribeOptions | None = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancel: CancelToken | None = None,
        journal: Journal | None = None,
        priority: int = 0,
    ) -> Transcription:
        """Transcribe one file and hand out each segment as soon as it is final.

        Takes the same arguments and raises the same errors as `transcribe`, most of them from the iteration, and one
        more: with a `journal`, such as a `JournalFile`, what is final survives the end of this process, and a later
        call with the same journal goes on where this one stopped. It is an error (`ResumeError`) if that call asks
        for anything else than this one. With diarization all segments come at the end, as all that is said by a voice
        helps to tell it from others; `on_progress` shows how far it is.

        Returns:
            An iterator of segments in time order, which holds the whole `transcript` after its end.
        """
        options = checked_options(options)
        self._engine.check_process()
        return Transcription(
            source,
            options,
            engine=self._engine,
            checkpoint=self.checkpoint,
            detector=self._voice_detector() if options.vad.enabled else None,
            launch=self._decoders.launch,
            on_progress=on_progress,
            cancel=cancel or CancelToken(),
            timings={"load": self.load_s},
            journal=journal,
            priority=priority,
            diarizer=None if options.diarize is None else self.diarizer,
        )

    @property
    def diarizer(self) -> Diarizer:
        """What tells speakers apart, on the device of the engine; loaded when it is first asked for.

        Raises:
            ModelError: It cannot be found, fetched or read; the subclass and the message say which.
        """
        with self._diarizer_lock:
            if self._diarizer is None:
                self._diarizer = self._loaded_diarizer(None)
            return self._diarizer

    def check(self, options: TranscribeOptions) -> None:
        """Refuse what the checkpoint cannot do, without any audio.

        Raises:
            LanguageError: The language is unknown to Whisper or to this checkpoint.
            ModeError: The checkpoint cannot translate.
            PromptError: A prompt is no text, or too long.
        """
        resolve_language(options.decode, self.checkpoint)
        encode_prompts(options.decode, self.checkpoint.tokenizer, self.checkpoint.dims.n_text_positions)

    @property
    def is_open(self) -> bool:
        """Whether it transcribes: not any more once it was closed, or its device has failed for good."""
        return self._engine.is_open

    def decode(self, source: AudioSource, options: AudioOptions | None = None) -> Audio:
        """Decode a whole file into memory, such as a clip of a voice for `Diarizer.embed`.

        The same as `ifw.audio.decode`, by the decoder processes that are there already.

        Args:
            source: A path, the bytes of a file, or a binary file object.
            options: How long it may be, and which stretches are wanted.

        Raises:
            AudioError: The source cannot be read or decoded.
        """
        return decode(source, options or AudioOptions(), launch=self._decoders.launch)

    def stats(self) -> EngineStats:
        """Say what the engine is doing now and has done so far."""
        return self._engine.stats()

    def close(self) -> None:
        """Free the device. What is still running ends with `EngineClosedError`."""
        self._engine.close()
        self._decoders.close()

    def __enter__(self) -> Transcriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def use_diarizer(self, diarizer: Diarizer) -> None:
        """Tell speakers apart with this from now on.

        Args:
            diarizer: Loaded already, on the same device.
        """
        with self._diarizer_lock:
            self._diarizer = diarizer

    def _loaded_diarizer(self, model: str | Path | Diarizer | None) -> Diarizer:
        from ifw.diarize.diarizer import Diarizer  # noqa: PLC0415 - nothing of it is imported before someone diarizes

        if isinstance(model, Diarizer):
            return model
        return load_diarizer(model, self._config.device, self._asked_compute_type)

    def _voice_detector(self) -> VoiceDetector:
        with self._detector_lock:
            if self._detector is None:
                self._detector = VoiceDetector()
            return self._detector


def _load_engine(checkpoint: Checkpoint, draft_model: str | Path | None, config: EngineConfig) -> Engine:
    if draft_model is None:
        model = load_whisper(checkpoint, config.device, config.compute_type, config.encoder_products)
        return Engine(model, checkpoint, config)
    try:
        draft = load_checkpoint(resolve_checkpoint(draft_model), name=str(draft_model))
    except (ConfigError, ModelError) as error:
        raise type(error)(f"draft_model: {str(error).removeprefix('model: ')}") from error
    check_draft(draft, checkpoint)  # before the weights, which take long
    model = load_whisper(checkpoint, config.device, config.compute_type, config.encoder_products)
    return Engine(model, checkpoint, config, load_draft(draft, checkpoint, model))


def load_diarizer(model: str | Path | None, device: Device, compute_type: ComputeType) -> Diarizer:
    """Load a diarization model as it fits to an engine.

    Args:
        model: A hub id, a folder, or `demo`; None stands for pyannote's `speaker-diarization-community-1`.
        device: Of the engine.
        compute_type: As it was asked for of the engine. With `auto` the pipeline chooses, whatever the engine does;
            with int8, which it does not know, too.

    Raises:
        ModelError: It cannot be found, fetched or read; the subclass and the message say which.
    """
    from ifw.diarize.diarizer import Diarizer  # noqa: PLC0415 - nothing of it is imported before someone diarizes

    dtype = "auto" if compute_type == "int8" else compute_type
    return Diarizer(*(() if model is None else (model,)), device=device, dtype=dtype)
