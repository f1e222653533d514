"""What the text of a transcription depends on, so that a resumed run can tell whether it is the same one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ifw import __version__
from ifw.audio.source import open_source
from ifw.model.files import weight_files

if TYPE_CHECKING:
    from ifw.config import TranscribeOptions
    from ifw.model.checkpoint import Checkpoint

_WITHOUT_DEFAULT: Final = frozenset({"token_logprobs"})  # younger than journals that are to be continued
_IRRELEVANT: Final = frozenset({"max_duration_s", "n_workers", "block_s", "max_stream_bytes"})  # no text hangs on them


def identity_of(audio: str, options: TranscribeOptions, checkpoint: Checkpoint, arithmetic: str) -> dict[str, Any]:
    """All that the text depends on, flat, so that differences can be named, and as JSON gives it back.

    Args:
        audio: Fingerprint of the audio file.
        options: Those without influence on the text are left out, such as how speakers are told apart, which a resumed
            run does anew.
        checkpoint: Told from others by its files, so that it may be called otherwise or lie elsewhere.
        arithmetic: Device and precision.
    """
    identity: dict[str, Any] = {"version": __version__, "audio": audio, "arithmetic": arithmetic}
    identity["model"] = _weights_of(checkpoint)
    for part in (options.decode, options.vad, options.audio):
        identity |= {name: value for name, value in asdict(part).items() if name not in _IRRELEVANT}
    identity = {name: value for name, value in identity.items() if value or name not in _WITHOUT_DEFAULT}
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def _weights_of(checkpoint: Checkpoint) -> list[str]:
    fingerprints = []
    for path in weight_files(checkpoint.path):
        with open_source(path) as source:
            fingerprints.append(source.fingerprint())
    return fingerprints
