"""Voice detection: the probability that somebody speaks, for every 32 ms of audio.

The weights are Silero VAD's. Its own loop makes one small network call a frame; here the convolutions, which see one
frame each, run over many frames at once, and only the LSTM walks along the sequence. The native kernels do all of that
in one call, which does not hold Python's lock.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifw.errors import ModelFormatError, ModelNotFoundError
from ifw.kernels.library import load
from ifw.kernels.voice_network import NativeVoiceNetwork, VoiceWeights, can_fold
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

_FRAME_SAMPLES: Final = _CONTEXT_SAMPLES + VAD_FRAME_SAMPLES  # that the network hears

_Score = Callable[[Tensor, Tensor], Tensor]  # as `VoiceNetwork.forward`


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

    @torch.inference_mode()
    @cores(1)  # more only wait for each other: where other work has them, a thousand times as long as this takes
    def forward(self, samples: Tensor, state: Tensor) -> Tensor:
        """Score frames that follow one another.

        Args:
            samples: [64 + 512 T]; 64 of context before the first frame.
            state: [2, 128], hidden and cell of the LSTM after the frame before; brought forward in place.

        Returns:
            [T] probabilities.
        """
        frames = samples.unfold(0, _FRAME_SAMPLES, VAD_FRAME_SAMPLES)  # [T, 576]
        waves = F.pad(frames, (0, _CONTEXT_SAMPLES), mode="reflect").unsqueeze(1)  # [T, 1, 640]
        parts = self.stft(waves)  # [T, 258, 4], real above imaginary
        magnitudes = (parts[:, : self.N_BINS].square() + parts[:, self.N_BINS :].square()).sqrt()
        features = self.encoder(magnitudes).squeeze(2)  # [T, 128]
        hidden, after = self.lstm(features, (state[:1], state[1:]))
        state.copy_(torch.cat(after))
        probabilities: Tensor = self.head(hidden.relu().unsqueeze(2)).sigmoid().flatten()
        return probabilities


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
        device: Where the network runs. An hour of audio takes 0.6 CPU seconds with the native kernels, 2 without.
        weights: A `silero_vad.jit`; None takes that of the installed `silero-vad`.

    Raises:
        ModelNotFoundError: There are no weights.
        ModelFormatError: The weights are not those of Silero VAD 6.
    """

    def __init__(self, device: str = "cpu", weights: Path | None = None) -> None:
        self._device = torch.device(device)
        network = load_network(find_weights() if weights is None else weights).to(self._device)
        self._score = _native(network) if self._device.type == "cpu" else network

    def stream(self, *, boost_quiet: bool = False) -> VoiceProbabilities:
        """Begin with a new audio.

        Args:
            boost_quiet: Raise quiet audio, as `VadOptions.boost_quiet` says, before the network hears it.
        """
        return VoiceProbabilities(self._score, self._device, boost_quiet=boost_quiet)


def _native(network: VoiceNetwork) -> _Score:
    """The network by the native kernels: itself, where there are none for it."""
    kernels = next(iter(load().kernels), None)
    tensors: dict[str, Tensor] = network.state_dict()
    basis = tensors["stft.weight"][:, 0]
    if kernels is None or not can_fold(basis):
        return network
    weights = VoiceWeights(
        basis,
        [(tensors[f"encoder.{index}.weight"], tensors[f"encoder.{index}.bias"]) for index in range(0, 8, 2)],
        (tensors["lstm.weight_ih_l0"], tensors["lstm.bias_ih_l0"]),
        (tensors["lstm.weight_hh_l0"], tensors["lstm.bias_hh_l0"]),
        (tensors["head.weight"].flatten(), tensors["head.bias"]),
    )
    return NativeVoiceNetwork(kernels, weights)


class VoiceProbabilities:
    """The detector's state in one audio; made by `VoiceDetector.stream`.

    The result does not depend on how the audio is cut into blocks, to the last bit.
    """

    def __init__(self, score: _Score, device: torch.device, *, boost_quiet: bool) -> None:
        self._score = score
        self._device = device
        self._state = torch.zeros(2, VoiceNetwork.WIDTH, device=device)
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

    def _score_block(self) -> FloatArray:
        first, last = self._n_scored - _CONTEXT_SAMPLES, self._n_scored + _BLOCK_SAMPLES
        block = self._buffer.read(first, last)
        self._n_scored = last
        self._buffer.forget(last - _CONTEXT_SAMPLES)
        if self._boost_quiet:
            block = block * self._gain(block)
        scored: FloatArray = self._score(torch.from_numpy(block).to(self._device), self._state).cpu().numpy()
        return scored

    def _gain(self, block: FloatArray) -> float:
        """What the block is multiplied by: the network misses speech that peaks below -45 dB, however clear it is."""
        frames = np.lib.stride_tricks.sliding_window_view(block, _FRAME_SAMPLES)[::VAD_FRAME_SAMPLES]
        loudest = float(np.einsum("ij,ij->i", frames, frames).max() / _FRAME_SAMPLES) ** 0.5
        self._level = max(loudest, self._level * _LEVEL_DECAY)
        return min(max(_TARGET_LEVEL / max(self._level, 1e-9), 1.0), _MAX_GAIN)
