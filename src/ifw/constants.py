"""Numbers that Whisper fixes, each derived from the ones above it.

Source: Radford et al. 2022, section 2.2; openai/whisper, `audio.py` and `model.py`.
"""

from __future__ import annotations

from typing import Final

SAMPLE_RATE: Final = 16_000  # samples a second
N_FFT: Final = 400  # samples: 25 ms
HOP_LENGTH: Final = 160  # samples a frame: 10 ms

WINDOW_S: Final = 30  # seconds: one encoder input
WINDOW_SAMPLES: Final = WINDOW_S * SAMPLE_RATE  # 480,000
WINDOW_FRAMES: Final = WINDOW_SAMPLES // HOP_LENGTH  # 3,000

FRAMES_PER_SECOND: Final = SAMPLE_RATE // HOP_LENGTH  # 100
FRAMES_PER_POSITION: Final = 2  # the encoder's second convolution has stride 2
N_POSITIONS: Final = WINDOW_FRAMES // FRAMES_PER_POSITION  # 1,500 encoder outputs
POSITION_S: Final = FRAMES_PER_POSITION / FRAMES_PER_SECOND  # 0.02 s: also one timestamp token

MAX_TEXT_TOKENS: Final = 448  # decoder context
MAX_PROMPT_TOKENS: Final = MAX_TEXT_TOKENS // 2 - 1  # 223: text before the window, without <|startofprev|>
MAX_SAMPLED_TOKENS: Final = MAX_TEXT_TOKENS // 2  # 224 new tokens a window
