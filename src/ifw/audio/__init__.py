"""Audio in, samples out: any path, bytes or file object becomes float32 mono at 16 kHz.

Decoding runs in worker processes; importing this package loads neither a decoder nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifw.audio.source import AudioSource
    from ifw.audio.stream import AudioStream, open_stream
    from ifw.audio.whole import Audio, decode

__all__ = ["Audio", "AudioSource", "AudioStream", "decode", "open_stream"]

_HOME = {
    "Audio": "ifw.audio.whole",
    "AudioSource": "ifw.audio.source",
    "AudioStream": "ifw.audio.stream",
    "decode": "ifw.audio.whole",
    "open_stream": "ifw.audio.stream",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ifw.audio' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
