"""Audio and video files made on the spot, with PyAV alone."""

from __future__ import annotations

import io
import struct
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
TONE_HZ = 1000.0


def tone(duration_s: float, rate: int = 44_100, n_channels: int = 1, hz: float = TONE_HZ) -> np.ndarray:
    """[n_channels, n] float32: the same sine of amplitude 0.5 on every channel."""
    seconds = np.arange(round(duration_s * rate)) / rate
    return np.repeat(0.5 * np.sin(2 * np.pi * hz * seconds)[None], n_channels, axis=0).astype(np.float32)


def chirps(duration_s: float, rate: int = 44_100, n_channels: int = 1, noise: float = 0.0) -> np.ndarray:
    """[n_channels, n] float32: harmonics that rise and fall, each second unlike the others, so that a shift shows."""
    rng = np.random.default_rng(7)
    seconds = np.arange(round(duration_s * rate)) / rate
    points = np.arange(int(duration_s * 4) + 2) / 4
    hz = np.interp(seconds, points, rng.uniform(100, 300, len(points)))
    loudness = np.interp(seconds, points, rng.uniform(0.05, 0.2, len(points)))
    phase = 2 * np.pi * np.cumsum(hz) / rate
    mix = loudness * sum(np.sin(k * phase) / k for k in range(1, 12)) + noise * rng.standard_normal(len(seconds))
    return np.stack([mix * (1 - 0.1 * channel) for channel in range(n_channels)]).astype(np.float32)


@dataclass(frozen=True)
class Coding:
    """How samples become a file."""

    codec: str
    container: str
    rate: int = 44_100
    bit_rate: int | None = None
    codec_options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        return {"ipod": ".m4a", "matroska": ".mkv", "adts": ".aac", "ogg": ".ogg"}.get(
            self.container, f".{self.container}"
        )


MP3 = Coding("libmp3lame", "mp3", bit_rate=128_000)
MP3_WITHOUT_HEADER = Coding("libmp3lame", "mp3", container_options={"write_xing": "0"})
MP3_VBR = Coding("libmp3lame", "mp3", codec_options={"flags": "+qscale", "global_quality": str(4 * 118)})
M4A = Coding("aac", "ipod", bit_rate=96_000)
M4A_FAST_START = Coding("aac", "ipod", bit_rate=96_000, container_options={"movflags": "faststart"})
M4A_WITHOUT_NOISE = Coding("aac", "ipod", bit_rate=96_000, codec_options={"aac_pns": "0"})
AAC = Coding("aac", "adts", bit_rate=96_000)
OPUS = Coding("libopus", "ogg", rate=48_000, bit_rate=64_000)
VORBIS = Coding("vorbis", "ogg", codec_options={"strict": "experimental"})  # stereo only
WEBM = Coding("libopus", "webm", rate=48_000, bit_rate=64_000)
FLAC = Coding("flac", "flac")
WAV = Coding("pcm_s16le", "wav")


def encode(samples: np.ndarray, coding: Coding, *, with_video: bool = False, delay_s: float = 0.0) -> bytes:
    """Write [n_channels, n] float32 samples; the sound may start `delay_s` after the picture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made"  # some containers are written twice, which needs a path
        _write(path, samples, coding, with_video=with_video, delay_s=delay_s)
        return path.read_bytes()


def _write(path: Path, samples: np.ndarray, coding: Coding, *, with_video: bool, delay_s: float) -> None:
    layout = LAYOUTS[samples.shape[0]]
    with av.open(str(path), "w", format=coding.container, options=coding.container_options) as container:
        video = _add_video(container) if with_video else None
        stream = container.add_stream(coding.codec, rate=coding.rate, layout=layout, options=coding.codec_options)
        if coding.bit_rate:
            stream.bit_rate = coding.bit_rate
        if video is not None:
            _write_video(container, video, samples.shape[1] / coding.rate + delay_s)
        to_codec = av.AudioResampler(format=stream.format.name, layout=layout, rate=coding.rate)
        for start in range(0, samples.shape[1], 4096):
            piece = np.ascontiguousarray(samples[:, start : start + 4096])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate = coding.rate
            frame.pts = start + round(delay_s * coding.rate)
            frame.time_base = Fraction(1, coding.rate)
            for converted in to_codec.resample(frame):
                container.mux(stream.encode(converted))
        for converted in to_codec.resample(None):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


def plain_wav(samples: np.ndarray, rate: int) -> bytes:
    """16-bit PCM with any number of channels, which no FFmpeg layout needs to name."""
    n_channels = samples.shape[0]
    body = (samples.T * 32767).astype("<i2").tobytes()
    parts = [b"RIFF", struct.pack("<I", 36 + len(body)), b"WAVEfmt "]
    parts += [struct.pack("<IHHIIHH", 16, 1, n_channels, rate, rate * n_channels * 2, n_channels * 2, 16)]
    parts += [b"data", struct.pack("<I", len(body)), body]
    return b"".join(parts)


def silent_film(duration_s: float = 1.0) -> bytes:
    """A video without sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        _write_video(container, _add_video(container), duration_s)
    return buffer.getvalue()


def damaged(data: bytes, n_holes: int = 6, hole_bytes: int = 700) -> bytes:
    """Overwrite evenly spaced places with noise, away from both ends."""
    rng = np.random.default_rng(3)
    broken = bytearray(data)
    for place in np.linspace(len(data) * 0.2, len(data) * 0.8, n_holes).astype(int):
        broken[place : place + hole_bytes] = rng.bytes(hole_bytes)
    return bytes(broken)


def _add_video(container: Any) -> Any:
    video = container.add_stream("mpeg4", rate=10)
    video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
    return video


def _write_video(container: Any, video: Any, duration_s: float) -> None:
    for index in range(int(duration_s * 10)):
        picture = np.full((48, 64, 3), index * 7 % 256, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 10)
        container.mux(video.encode(frame))
    container.mux(video.encode(None))
