"""The first transcription of a process, before anybody waits for one."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

from ifw.config import AudioOptions, DiarizationOptions, TranscribeOptions

if TYPE_CHECKING:
    from ifw.transcriber import Transcriber

_CLIP_S: Final = (0.0, 4.0)


def warm_up(transcriber: Transcriber, *, diarizes: bool = False) -> None:
    """Transcribe some seconds of speech, so that everything that is made when it is first needed is there.

    That is the processes that decode audio, the voice detector, the device's kernels and memory for the encoder, the
    decoder and word times.

    Args:
        transcriber: Just loaded.
        diarizes: Tell the speakers apart too, for which it has a model.
    """
    options = TranscribeOptions.preset(
        temperatures=(0.0,),
        word_timestamps=True,
        audio=AudioOptions(clip=(_CLIP_S,)),
        diarize=DiarizationOptions() if diarizes else None,
    )
    with as_file(files("ifw") / "demo" / "sample.mp3") as sample:
        transcriber.transcribe(sample, options)
