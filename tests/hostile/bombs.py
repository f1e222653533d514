"""Small files that say or hold more than they should, byte by byte. Source: RFC 9639 (FLAC), RFC 3533 (Ogg)."""

from __future__ import annotations

import struct
from functools import reduce

BLOCK = 65_535
MP4_IDENTITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def silent_flac(hours: float, rate: int = 8000, *, declares_it: bool) -> bytes:
    """Hours of digital silence: 15 bytes for each 65,535 samples.

    Args:
        hours: How much.
        rate: In hertz.
        declares_it: Whether the header gives the number of samples, or none.
    """
    n_blocks = round(hours * 3600 * rate / BLOCK)
    n_samples = n_blocks * BLOCK if declares_it else 0
    packed = rate << 44 | 0 << 41 | 15 << 36 | n_samples
    info = struct.pack(">HH6sQ16s", BLOCK, BLOCK, bytes(6), packed, bytes(16))
    return b"fLaC\x80\0\0\x22" + info + b"".join(map(_silent_block, range(n_blocks)))


def wav(
    declared_bytes: int, rate: int = 8000, n_channels: int = 1, sound: bytes = bytes(1000), bits: int = 16
) -> bytes:
    """A WAV whose header says what it likes."""
    frame_bytes = n_channels * bits // 8 & 0xFFFF
    fields = (1, n_channels, rate, rate * frame_bytes & 0xFFFFFFFF, frame_bytes, bits)
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *fields) + b"data" + struct.pack("<I", declared_bytes)
    return b"RIFF" + struct.pack("<I", min(declared_bytes + 36, 0xFFFFFFFF)) + head + sound


def _silent_block(number: int) -> bytes:
    head = b"\xff\xf8" + bytes([0x70, 0x08]) + _coded(number) + struct.pack(">H", BLOCK - 1)
    head += bytes([_crc(head, 8, 0x07)])
    frame = head + b"\0" + bytes(2)  # one subframe, which says: a constant, 0
    return frame + struct.pack(">H", _crc(frame, 16, 0x8005))


def _coded(number: int) -> bytes:
    """A number as UTF-8 would write it."""
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(data: bytes, width: int, polynomial: int) -> int:
    def step(value: int, byte: int) -> int:
        value ^= byte << width - 8
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> width - 1 else 0)
            value &= (1 << width) - 1
        return value

    return reduce(step, data, 0)
