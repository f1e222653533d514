"""Voice detection: the probability that somebody speaks, for every 32 ms of audio.

The weights are Silero VAD's. Its own loop makes one small network call a frame; here the convolutions, which see one
frame each, run over many frames at once, and only the LSTM walks along the sequence.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifw.errors import ModelFormatError, ModelNotFoundError
from ifw.model.cores import cores
from ifw.speech.buffer import FloatArray, SampleBuffer, check_samples
from ifw.speech.spans import VAD_FRAME_SAMPLES

_CONTEXT_SAMPLES: Final = 64  # the end of the frame before, heard again
_BLOCK_FRAMES: Final = 128  # 4.1 s a network call: one shape only, so the rounding never depends on how audio arrives
_BLOCK_SAMPLES: Final = _BLOCK_FRAMES * VAD_FRAME_SAMPLES

_TARGET_LEVEL: Final = 0.03  # root mean square of a loud frame: ordinary speech has 0.05 to 0.2
_MAX_GAIN: Final = 10 ** (30 / 20)
_LEVEL_DECAY: Final = 10 ** (-3 / 20)  # a block

_PACKAGE: Final = "silero-vad"
_WAY_OUT: Final = f"install it with `pip install {_PACKAGE}`, or turn voice detection off (VadOptions(enabled=False))"

_LstmState = tuple[Tensor, Tensor]  # hidden and cell, each [1, 128]


class VoiceNetwork(nn.Module):
    """Silero VAD's 16 kHz network over a sequence of frames.

    Source:
        snakers4/silero-vad 6.2, `silero_vad.jit`. (The wheel's `silero_vad_16k.safetensors` holds other weights.)
    """

    N_BINS: Final = 129
    WIDTH: Final = 128

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 2 * self.N_BINS, 256, stride=128, bias=False)
        self.encoder = nn.Sequential(
            nn.Conv1d(self.N_BINS, 128, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(128, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv1d(64, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv1d(64, self.WIDTH, 3, padding=1),
            nn.ReLU(),
        )
        self.lstm = nn.LSTM(self.WIDTH, self.WIDTH)
        self.head = nn.Conv1d(self.WIDTH, 1, 1)

    def forward(self, frames: Tensor, state: _LstmState) -> tuple[Tensor, _LstmState]:
        """Score frames that follow one another.

        Args:
            frames: [T, 576] samples; in each row 64 samples of context before the frame's own 512.
            state: The LSTM's state after the frame before.

        Returns:
            [T] probabilities, and the state after the last frame.
        """
        waves = F.pad(frames, (0, _CONTEXT_SAMPLES), mode="reflect").unsqueeze(1)  # [T, 1, 640]
        parts = self.stft(waves)  # [T, 258, 4], real above imaginary
        magnitudes = (parts[:, : self.N_BINS].square() + parts[:, self.N_BINS :].square()).sqrt()
        features = self.encoder(magnitudes).squeeze(2)  # [T, 128]
        hidden, state = self.lstm(features, state)
        return self.head(hidden.relu().unsqueeze(2)).sigmoid().flatten(), state

    def first_state(self, device: torch.device) -> _LstmState:
        """The state before the first frame."""
        return torch.zeros(1, self.WIDTH, device=device), torch.zeros(1, self.WIDTH, device=device)


def _tensor_names() -> dict[str, str]:
    """Our parameter names -> theirs."""
    names = {"stft.weight": "stft.forward_basis_buffer"}
    for part in ("weight", "bias"):
        names |= {f"encoder.{2 * layer}.{part}": f"encoder.{layer}.reparam_conv.{part}" for layer in range(4)}
        names |= {f"lstm.{part}_{side}_l0": f"decoder.rnn.{part}_{side}" for side in ("ih", "hh")}
        names[f"head.{part}"] = f"decoder.decoder.2.{part}"
    return names


def find_weights() -> Path:
    """Find Silero's weights in the installed package.

    The package is not imported: that would call `torch.set_num_threads(1)` for the whole process.

    Returns:
        The path of `silero_vad.jit`.

    Raises:
        ModelNotFoundError: The package or the file is not installed.
    """
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ModelNotFoundError(f"voice detector: the package {_PACKAGE} is not installed; {_WAY_OUT}")
    path = Path(spec.submodule_search_locations[0], "data", "silero_vad.jit")
    if not path.is_file():
        raise ModelNotFoundError(f"voice detector: the installed {_PACKAGE} has no file {path}; {_WAY_OUT}")
    return path


def load_network(path: Path) -> VoiceNetwork:
    """Read Silero's weights into our module, on the CPU.

    Args:
        path: A `silero_vad.jit`.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: The file is no TorchScript archive, or its tensors are not those of Silero VAD 6.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"voice detector: no file {path}; {_WAY_OUT}")
    try:
        with warnings.catch_warnings():
            # Silero ships TorchScript, and `torch.export`, which the warning recommends, cannot read that.
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is (deprecated\.|not supported)", DeprecationWarning)
            archive = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call] # torch has no type
        theirs = archive.state_dict()
        network = VoiceNetwork()
        network.load_state_dict({ours: theirs[f"_model.{name}"] for ours, name in _tensor_names().items()})
    except (RuntimeError, KeyError) as error:
        raise ModelFormatError(
            f"voice detector: {path} does not hold the weights of Silero VAD 6 ({error}); "
            f"install {_PACKAGE} 6.2, or turn voice detection off (VadOptions(enabled=False))"
        ) from error
    return network.eval().requires_grad_(False)


class VoiceDetector:
    """Hears where somebody speaks. Holds the weights only, so threads and transcriptions can share it.

    Args:
        device: Where the network runs. It costs about two CPU seconds an hour of audio.
        weights: A `silero_vad.jit`; None takes that of the installed `silero-vad`.

    Raises:
        ModelNotFoundError: There are no weights.
        ModelFormatError: The weights are not those of Silero VAD 6.
    """

    def __init__(self, device: str = "cpu", weights: Path | None = None) -> None:
        self._device = torch.device(device)
        self._network = load_network(find_weights() if weights is None else weights).to(self._device)

    def stream(self, *, boost_quiet: bool = False) -> VoiceProbabilities:
        """Begin with a new audio.

        Args:
            boost_quiet: Raise quiet audio, as `VadOptions.boost_quiet` says, before the network hears it.
        """
        return VoiceProbabilities(self._network, self._device, boost_quiet=boost_quiet)


class VoiceProbabilities:
    """The detector's state in one audio; made by `VoiceDetector.stream`.

    The result does not depend on how the audio is cut into blocks, to the last bit.
    """

    def __init__(self, network: VoiceNetwork, device: torch.device, *, boost_quiet: bool) -> None:
        self._network = network
        self._device = device
        self._state = network.first_state(device)
        self._buffer = SampleBuffer()
        self._n_scored = 0  # samples
        self._boost_quiet = boost_quiet
        self._level = 0.0

    def feed(self, samples: FloatArray) -> FloatArray:
        """Hear the next samples.

        Args:
            samples: [n] float32 mono, 16 kHz; any n. They must not change until they are scored.

        Returns:
            [n_frames] new probabilities, one for each 512 samples (32 ms). They come in groups of 128 frames; what does
            not fill a group waits for the next call.

        Raises:
            ShapeError: `samples` is not one-dimensional float32.
        """
        check_samples(samples)
        self._buffer.append(samples)
        probabilities = [np.zeros(0, np.float32)]
        while self._n_scored + _BLOCK_SAMPLES <= self._buffer.n_samples:
            probabilities.append(self._score_block())
        return np.concatenate(probabilities)

    def finish(self) -> FloatArray:
        """Score what is left, the last frame filled up with zeros.

        Returns:
            [n_frames] probabilities, as `feed` gives them; none where nothing was left.
        """
        n_left = self._buffer.n_samples - self._n_scored
        n_frames = -(-n_left // VAD_FRAME_SAMPLES)
        return self._score_block()[:n_frames] if n_frames else np.zeros(0, np.float32)

    @torch.inference_mode()
    @cores(1)  # more only wait for each other: where other work has them, a thousand times as long as this takes
    def _score_block(self) -> FloatArray:
        first, last = self._n_scored - _CONTEXT_SAMPLES, self._n_scored + _BLOCK_SAMPLES
        block = torch.from_numpy(self._buffer.read(first, last))
        self._n_scored = last
        self._buffer.forget(last - _CONTEXT_SAMPLES)
        frames = block.unfold(0, _CONTEXT_SAMPLES + VAD_FRAME_SAMPLES, VAD_FRAME_SAMPLES)  # [128, 576]
        if self._boost_quiet:
            frames = frames * self._gain(frames)
        probabilities, self._state = self._network(frames.to(self._device), self._state)
        scored: FloatArray = probabilities.cpu().numpy()
        return scored

    def _gain(self, frames: Tensor) -> float:
        """What the block is multiplied by: the network misses speech that peaks below -45 dB, however clear it is."""
        loudest = float(frames.square().mean(1).max().sqrt())
        self._level = max(loudest, self._level * _LEVEL_DECAY)
        return min(max(_TARGET_LEVEL / max(self._level, 1e-9), 1.0), _MAX_GAIN)
