"""The messages that a decoder process writes to its pipe: one byte of kind, the length, the payload.

A worker sends HEADER once, then chunks. Cut into slices, each of its slices is SEAM (not before slice 0), SAMPLES,
SLICE_END; a slice that cannot be proven to equal a start-to-end decode ends in UNSAFE instead. FINISHED is the last
message of the worker that reached the end of the audio, ERROR the last of one that cannot go on.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import IO

from ifw.types import TranscriptWarning

_PREFIX = struct.Struct("<BI")
MAX_MESSAGE_BYTES = 1 << 24


class Kind(IntEnum):
    """What a message's payload is."""

    HEADER = 1  # JSON of Header
    SAMPLES = 2  # float32 in the machine's byte order
    SEAM = 3  # float32: the samples before the slice, to be compared with the end of the slice before
    SLICE_END = 4  # empty
    UNSAFE = 5  # text: why
    FINISHED = 6  # JSON: list of warnings
    ERROR = 7  # JSON: code and message


@dataclass(frozen=True, slots=True)
class Header:
    """What the container says.

    Attributes:
        duration_s: Declared length; None where unknown.
        n_slices: 1 where one worker decodes from start to end.
        is_exact: Decoding may start anywhere and gives the same samples bit for bit; AAC and its like differ a little.
        n_channels: Samples of so many channels lie interleaved.
    """

    duration_s: float | None
    n_slices: int
    is_exact: bool
    n_channels: int = 1

    def to_bytes(self) -> bytes:
        """Write the payload."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Header:
        """Read what `to_bytes` wrote."""
        return cls(**json.loads(payload))


def write_message(pipe: IO[bytes], kind: Kind, payload: bytes = b"") -> None:
    """Write one message and flush it."""
    pipe.write(_PREFIX.pack(kind, len(payload)))
    pipe.write(payload)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> tuple[Kind, bytes] | None:
    """Read one message; None where the pipe ended, even in the middle of one."""
    prefix = pipe.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        return None
    kind, length = _PREFIX.unpack(prefix)
    assert length <= MAX_MESSAGE_BYTES
    payload = pipe.read(length)
    return (Kind(kind), payload) if len(payload) == length else None


def pack_warnings(warnings: list[TranscriptWarning]) -> bytes:
    """Write the payload of FINISHED."""
    return json.dumps([[warning.code, warning.message] for warning in warnings]).encode()


def unpack_warnings(payload: bytes) -> tuple[TranscriptWarning, ...]:
    """Read what `pack_warnings` wrote."""
    return tuple(TranscriptWarning(code, message) for code, message in json.loads(payload))


def pack_error(code: str, message: str) -> bytes:
    """Write the payload of ERROR."""
    return json.dumps([code, message]).encode()


def unpack_error(payload: bytes) -> tuple[str, str]:
    """Read what `pack_error` wrote."""
    code, message = json.loads(payload)
    return code, message
