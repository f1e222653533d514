"""Speech to text with Whisper checkpoints, fast. Importing this package imports no torch."""

from __future__ import annotations

__version__ = "0.1.0"
