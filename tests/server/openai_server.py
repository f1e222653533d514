"""A server process as clients of OpenAI's API find it: with a key, and with a limit for uploads."""

import time
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from server_process import PATIENCE_S, serving

SAMPLE = Path(str(files("ifw") / "demo" / "sample.mp3"))
GERMAN = Path(__file__).parents[1] / "end_to_end" / "heldout" / "de_single_00.ogg"
KEY = "sk-test-4711"
MAX_UPLOAD = 1_000_000


@contextmanager
def serving_openai(folder):
    """Run it until the block ends; then no upload is left."""
    env = {"ADMIN_KEY": KEY, "IFW_MODEL_ALIASES": "whisper-1,gpt-4o-transcribe"}
    with serving(folder, "--max-upload-bytes", str(MAX_UPLOAD), env=env) as running:
        running.wait_ready()
        yield running
        deadline = time.monotonic() + PATIENCE_S
        while left := list((folder / "data" / "requests").iterdir()):  # the last client hung up a moment ago
            assert time.monotonic() < deadline, left
            time.sleep(0.01)
