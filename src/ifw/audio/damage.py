"""What of a file is missing or broken, as far as its bytes tell. Runs in the worker process."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import av

from ifw.types import TranscriptWarning

if TYPE_CHECKING:
    from ifw.audio.container import AudioFile, DescriptorReader

_DURATION_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_MIN_MISSING_S = 0.5  # declared lengths are padded to whole frames and rounded
_MAX_RIFF_BYTES = 0x7FFF_0000  # placeholders lie above
_RIFF_SLACK_BYTES = 8192  # some writers count the header in
_OGG_PAGE_BYTES = 65_307  # at most
_FORMATS_THAT_COUNT = {"wav", "w64", "aiff", "caf", "flac", "tta", "wv", "ape", "ogg", "mov", "matroska"}


def promised_s(source: AudioFile) -> float | None:
    """Length of the audio by the container's own count; None where it only estimates, or counts other streams too."""
    container, stream, file = source.container, source.stream, source.file
    formats = set(container.format.name.split(","))
    if not (formats & _FORMATS_THAT_COUNT or ("mp3" in formats and _has_mp3_frame_count(file))):
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if tag := _DURATION_TAG.match(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = tag.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if len(container.streams) == 1 and container.duration is not None:
        return container.duration / av.time_base
    return None


def is_cut_short(source: AudioFile) -> bool:
    """Whether the last bytes are missing, after everything was read."""
    file, name = source.file, source.container.format.name
    if name == "wav":
        # A writer into a pipe leaves a placeholder for the size, so that FFmpeg misses bytes that never were.
        tag, n_bytes = struct.unpack("<4sI", file.read_at(0, 8).ljust(8, b"\0"))
        is_counted = tag == b"RIFF" and n_bytes < _MAX_RIFF_BYTES
        return bool(is_counted and n_bytes + 8 > file.n_bytes + _RIFF_SLACK_BYTES)
    if name == "ogg":  # FFmpeg takes the last whole page for the end
        tail = file.read_at(file.n_bytes - _OGG_PAGE_BYTES, _OGG_PAGE_BYTES)
        page = tail[tail.rfind(b"OggS") :]
        n_segments = page[26] if len(page) > 26 else 256
        lacing = page[27 : 27 + n_segments]
        return tail.rfind(b"OggS") >= 0 and (len(lacing) < n_segments or 27 + n_segments + sum(lacing) > len(page))
    return source.reader.is_cut


def report(
    *, n_packet_errors: int, decoded_s: float, filled_s: float, missing_s: float, is_cut: bool
) -> list[TranscriptWarning]:
    """Say what is wrong with the audio, if anything.

    Args:
        n_packet_errors: Packets that did not decode.
        decoded_s: Seconds that did.
        filled_s: Seconds replaced by silence.
        missing_s: Seconds between the end of the audio and its declared end.
        is_cut: The bytes end too early.
    """
    warnings = []
    losses = []
    if n_packet_errors:
        losses.append(f"{n_packet_errors} packet{'s' if n_packet_errors > 1 else ''} left out")
    if filled_s:
        losses.append(f"{filled_s:.1f} s that are missing inside replaced by silence")
    if losses:
        warnings.append(TranscriptWarning("audio_damaged_packets", f"the audio is damaged: {', '.join(losses)}"))
    if is_cut or missing_s > _MIN_MISSING_S:
        promised = f", {missing_s:.1f} s less than the file declares" if missing_s > _MIN_MISSING_S else ""
        message = f"the audio is cut short: {decoded_s:.1f} s could be decoded{promised}"
        warnings.append(TranscriptWarning("audio_truncated", message))
    return warnings


def _has_mp3_frame_count(file: DescriptorReader) -> bool:
    """Whether the first frame is a Xing, Info or VBRI header; else FFmpeg guesses the length from one bit rate."""
    start = 0
    head = file.read_at(0, 10)
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return re.search(rb"Xing|Info|VBRI", file.read_at(start, 4096)) is not None
