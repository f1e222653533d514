"""Speech synthesis with libespeak-ng: text in, samples and word and phoneme times out."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample, resample_poly

SAMPLE_RATE = 16000
_TRAINING_VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m8 f1 f2 f3 f5 adam Alex Annie belinda benjamin boris caleb ed gustave "
    "jacky linda michel mike norbert paul quincy rob shelby steph travis"
)
TRAINING_VARIANTS = tuple(_TRAINING_VARIANTS.split())
HELD_OUT_VARIANTS = ("m7", "f4", "Andy", "max")
# Base voices by language; a repeated name is drawn more often.
BASE_VOICES = {
    "en": ("en-us",) * 6 + ("en",) * 3 + ("en-GB-x-rp",),
    "de": ("de",),
    "es": ("es", "es", "es-419"),
}

_LIBRARY = "libespeak-ng.so.1"
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 1
_CHARS_UTF8 = 1
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
_NATIVE_RATE = 22050

FloatArray = npt.NDArray[np.float32]


class _EventId(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Speech:
    """One synthesised sentence, trimmed to its sound.

    Attributes:
        samples: Mono samples at 16 kHz, peak 0.5.
        start_s: Where the sound begins within `samples`.
        end_s: Where the sound ends within `samples`.
        words: Pairs of character position in the text and start time.
        phonemes: Pairs of phoneme name (empty for a pause) and start time.
    """

    samples: FloatArray
    start_s: float
    end_s: float
    words: list[tuple[int, float]]
    phonemes: list[tuple[str, float]]


class Synthesiser:
    """The espeak-ng library, initialised once per process.

    Args:
        data_folder: Holds ``espeak-ng-data``, where it is not the one of the system.
    """

    _MARGIN_BEFORE = 160
    _MARGIN_AFTER = 320
    _SOUND_THRESHOLD = 0.015

    def __init__(self, data_folder: Path | None = None) -> None:
        self._library = ctypes.CDLL(_LIBRARY)
        place = None if data_folder is None else str(data_folder).encode()
        rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, place, _INITIALIZE_PHONEME_EVENTS)
        if rate != _NATIVE_RATE:
            raise RuntimeError(f"espeak-ng reports sample rate {rate}, expected {_NATIVE_RATE}")
        self._chunks: list[npt.NDArray[np.int16]] = []
        self._words: list[tuple[int, float]] = []
        self._phonemes: list[tuple[str, float]] = []
        self._callback = _CALLBACK(self._collect)  # kept: the library holds only a pointer
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave: ctypes._Pointer, count: int, events: ctypes._Pointer) -> int:  # type: ignore[type-arg] # a class in ctypes, generic only in its stubs
        if wave and count > 0:
            self._chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            time_s = event.audio_position / 1000
            if event.type == _EVENT_WORD:
                self._words.append((event.text_position - 1, time_s))
            elif event.type == _EVENT_PHONEME:
                name = event.id.string.decode("utf-8", "ignore")
                self._phonemes.append(("" if name.startswith("_") else name, time_s))
            index += 1
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int, pitch_range: int, *, tension: float = 1.0) -> Speech:
        """Synthesises one sentence.

        Args:
            text: The sentence.
            voice: An espeak voice, for instance ``en-us+f2``.
            rate: Words per minute.
            pitch: Base pitch, 0 to 99.
            pitch_range: Pitch range, 0 to 99.
            tension: Factor of all frequencies, formants and pitch alike, as of a shorter or longer throat; the words
                per minute stay as they are.

        Returns:
            The speech, trimmed to its sound plus a small margin.

        Raises:
            ValueError: If espeak does not know the voice or makes no sound.
        """
        self._chunks, self._words, self._phonemes = [], [], []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(_PARAMETER_RATE, round(rate / tension), 0)
        self._library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
        self._library.espeak_SetParameter(_PARAMETER_RANGE, pitch_range, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 0, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._chunks:
            raise ValueError(f"espeak-ng made no sound for {text!r}")
        native = np.concatenate(self._chunks).astype(np.float32)
        if tension == 1.0:
            return self._trimmed(resample_poly(native, 320, 441).astype(np.float32))
        self._words = [(position, time_s / tension) for position, time_s in self._words]
        self._phonemes = [(name, time_s / tension) for name, time_s in self._phonemes]
        length = round(len(native) * SAMPLE_RATE / _NATIVE_RATE / tension)
        return self._trimmed(resample(native, length).astype(np.float32))

    def _trimmed(self, samples: FloatArray) -> Speech:
        magnitude = np.abs(samples)
        peak = float(magnitude.max())
        sounding = np.flatnonzero(magnitude > self._SOUND_THRESHOLD * peak)
        if peak < 100 or len(sounding) == 0:
            raise ValueError("espeak-ng made no audible sound")
        first, last = int(sounding[0]), int(sounding[-1])
        begin = max(0, first - self._MARGIN_BEFORE)
        shift_s = begin / SAMPLE_RATE
        return Speech(
            samples=samples[begin : last + self._MARGIN_AFTER] * np.float32(0.5 / peak),
            start_s=first / SAMPLE_RATE - shift_s,
            end_s=(last + 1) / SAMPLE_RATE - shift_s,
            words=[(position, time_s - shift_s) for position, time_s in self._words],
            phonemes=[(name, time_s - shift_s) for name, time_s in self._phonemes],
        )
