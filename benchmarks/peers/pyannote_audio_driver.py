"""The embeddings of voices by pyannote.audio and by ours, in one process; see `ifw.benchmark.driver_main`.

The networks have their true sizes and random weights, those of tests/diarize. Where there is no pyannote.audio, ours
are measured alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
OURS, STOCK = "ifw", "pyannote-audio"


class Driver:
    """Embeds all chunks of a conversation of synthetic voices, whose turns ours has found."""

    def __init__(self, job: dict[str, Any]) -> None:
        sys.path[:0] = [str(ROOT / "tests" / "diarize"), str(ROOT / "tools"), str(ROOT / "src")]
        import torch  # noqa: PLC0415 - as all that takes long: whoever asks for `stages` does not wait for it

        import record_diarization  # noqa: PLC0415 - in a folder that was just added

        torch.set_num_threads(job["n_threads"])
        try:
            peer = record_diarization.import_pyannote()  # before anything else imports it
        except ImportError:
            peer = None
        self.versions = {"torch": torch.__version__} | ({} if peer is None else {"pyannote.audio": peer.__version__})
        with tempfile.TemporaryDirectory() as folder:
            self._engines = self._loaded(job, write_models(Path(folder)), peer)
        self._embeddings: dict[str, Any] = {}

    def _loaded(self, job: dict[str, Any], folder: Path, peer: Any) -> dict[str, Callable[[], Any]]:
        import numpy as np  # noqa: PLC0415 - as above
        import random_models  # noqa: PLC0415 - as above
        import torch  # noqa: PLC0415 - as above

        from ifw.diarize.diarizer import Diarizer  # noqa: PLC0415 - as above

        seconds, device = job["setup"]["seconds"], job["device"]
        samples = np.resize(random_models.conversation(), round(seconds * random_models.RATE))
        listener = Diarizer(folder, device=device, dtype="float32")._listener
        heard = torch.from_numpy(samples[: len(samples) // listener.step_samples * listener.step_samples])
        on_device = heard.to(device)
        speech = listener.segment(on_device)
        self._about = {
            "n_chunks": speech.shape[0],
            "n_slots": speech.shape[0] * speech.shape[2],
            "n_speaking": int(speech.any(1).sum()),
        }
        found: dict[str, Callable[[], Any]] = {OURS: lambda: listener.embed(on_device, speech).cpu().numpy()}
        if peer is not None:
            found[STOCK] = stock_stage(peer.Pipeline.from_pretrained(folder).to(torch.device(device)), heard, speech)
        return found

    def about(self) -> dict[str, Any]:
        """The engines, and how much there is to embed."""
        return self._about | {"engines": list(self._engines)}

    def embed(self, engine: str) -> None:
        """Embed who speaks in each chunk."""
        self._embeddings[engine] = self._engines[engine]()

    def difference(self) -> float | None:
        """The most that two numbers of the embeddings differ; None where there are only ours."""
        if STOCK not in self._embeddings:
            return None
        return float(abs(self._embeddings[OURS] - self._embeddings[STOCK]).max())


def write_models(folder: Path) -> Path:
    """Write the checkpoints of the tests."""
    import numpy as np  # noqa: PLC0415 - as above
    import random_models  # noqa: PLC0415 - as above

    with np.load(ROOT / "tests" / "diarize" / "reference.npz") as file:
        return random_models.write_folder(folder, file["classifier"], file["bias"])


def stock_stage(pipeline: Any, heard: Any, speech: Any) -> Callable[[], Any]:
    """The embedding stage of pyannote.audio on the same chunks."""
    import numpy as np  # noqa: PLC0415 - as above
    import random_models  # noqa: PLC0415 - as above
    from pyannote.core import SlidingWindow, SlidingWindowFeature  # noqa: PLC0415 - not before pyannote.audio

    window = SlidingWindow(start=0.0, duration=10.0, step=1.0)
    said = SlidingWindowFeature(speech.cpu().numpy().astype(np.float32), window)
    file = {"waveform": heard[None], "sample_rate": random_models.RATE, "uri": "one"}
    return lambda: pipeline.get_embeddings(file, said, exclude_overlap=True)
