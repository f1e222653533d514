"""From a file to windows: decoding, finding speech and packing it, a block at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ifw.constants import SAMPLE_RATE
from ifw.pipeline.channels import ChannelPacker, TimeOrder
from ifw.speech.packer import WindowPacker

if TYPE_CHECKING:
    from ifw.audio import AudioStream
    from ifw.cancellation import CancelToken
    from ifw.config import TranscribeOptions
    from ifw.pipeline.speakers import SpeakerListener
    from ifw.speech.vad import VoiceDetector
    from ifw.speech.windows import Window
    from ifw.types import TranscriptWarning


class WindowReader:
    """Reads the windows of one file, each as soon as it is final.

    Args:
        options: How to find speech, and what of the file to hear.
        detector: None where nothing is left out for lack of speech.
        order: Is told which windows to expect.
        on_block: Called after each block with the seconds of audio so far, before its windows leave.
        cancel: Ends it.
        speakers: Is given every block too; None where nobody is told apart.

    Attributes:
        duration_s: Seconds of audio so far.
        total_s: Seconds of the whole audio; None where that is not known yet.
        warnings: What is odd about the audio; complete after the last window.
        timings: Wall seconds by stage.
    """

    def __init__(
        self,
        options: TranscribeOptions,
        detector: VoiceDetector | None,
        order: TimeOrder,
        *,
        on_block: Callable[[float], None],
        cancel: CancelToken,
        speakers: SpeakerListener | None = None,
    ) -> None:
        self.duration_s = 0.0
        self.total_s: float | None = None
        self.warnings: list[TranscriptWarning] = []
        self.timings = {"decode": 0.0, "speech": 0.0}
        self._options = options
        self._detector = detector
        self._order = order
        self._on_block = on_block
        self._cancel = cancel
        self._speakers = speakers

    def read(self, stream: AudioStream) -> Iterator[Window]:
        """Yield the windows of a stream, in the order in which they are to be decoded."""
        self.total_s = stream.duration_s
        audio, vad = self._options.audio, self._options.vad
        n_channels = stream.n_channels if audio.channels == "split" else None
        packer = ChannelPacker(lambda: WindowPacker(vad, self._detector), audio.clip, n_channels)
        blocks = iter(stream)
        while True:
            if self._speakers is not None:
                self._speakers.wait_for_room()
            started = time.perf_counter()
            block = next(blocks, None)
            decoded = time.perf_counter()
            self.timings["decode"] += decoded - started
            self._cancel.raise_if_cancelled()
            if self._speakers is not None:
                self._speakers.feed(block)
            windows = packer.finish() if block is None else packer.feed(block)
            self.timings["speech"] += time.perf_counter() - decoded
            if block is not None:
                self.duration_s += len(block) / SAMPLE_RATE
            else:
                self.total_s = self.duration_s
            self._on_block(self.duration_s)
            self._order.expect(windows, packer.settled_until_s)
            for window in windows:
                self._cancel.raise_if_cancelled()
                yield window
            if block is None:
                self.warnings += packer.warnings
                return
