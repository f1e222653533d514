import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.errors import ModelFormatError, ModelNotFoundError, ShapeError
from ifw.speech.vad import VoiceDetector, find_weights

RATE = 16_000


def score(stream, *blocks):
    return np.concatenate([stream.feed(block) for block in blocks] + [stream.finish()])


def noise(n_samples, level, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def chord(n_samples):
    time = np.arange(n_samples) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * f * time) for f in (220, 277.2, 329.6))).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Silero's loop makes thousands of tiny calls, which crawl when several threads wait for each other."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def stock_loop():
    """Silero's own network, called frame by frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(find_weights(), map_location="cpu")

    def run(samples):
        network.reset_states()
        frames = torch.from_numpy(np.pad(samples, (0, -len(samples) % 512))).split(512)
        with torch.no_grad():
            return np.array([network(frame, RATE).item() for frame in frames])

    return run


CASES = {
    "clean": lambda speech: speech,
    "noise": lambda speech: speech[: 40 * RATE] + noise(40 * RATE, 0.03),
    "quiet": lambda speech: speech[: 20 * RATE] * np.float32(0.003),
    "silence": lambda speech: np.zeros(10 * RATE, np.float32),
    "only noise": lambda speech: noise(10 * RATE, 0.1),
    "chord": lambda speech: chord(10 * RATE),
    "speech in between": lambda speech: np.concatenate(
        (
            noise(5 * RATE + 100, 0.01),
            speech[: 10 * RATE],
            np.zeros(6 * RATE, np.float32),
            speech[10 * RATE : 21 * RATE],
        )
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_probabilities_are_those_of_the_stock_loop(case, speech, detector, stock_loop):
    samples = CASES[case](speech)
    ours, theirs = score(detector.stream(), samples), stock_loop(samples)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-3
    for threshold in (0.5, 0.4, 0.35, 0.25):
        assert np.array_equal(ours >= threshold, theirs >= threshold)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 10 * RATE), max_size=12), st.booleans())
def test_blocks_of_any_length_give_the_same_to_the_last_bit(speech, detector, cuts, boost_quiet):
    samples = speech[: 10 * RATE] * np.float32(0.01 if boost_quiet else 1)
    whole = score(detector.stream(boost_quiet=boost_quiet), samples)
    assert np.array_equal(whole, score(detector.stream(boost_quiet=boost_quiet), *np.split(samples, sorted(cuts))))


def test_streams_do_not_disturb_each_other(speech, detector):
    first, second = detector.stream(), detector.stream()
    parts = [], []
    for block, other in zip(np.split(speech[: 20 * RATE], 10), np.split(noise(20 * RATE, 0.1), 10), strict=True):
        parts[0].append(first.feed(block))
        parts[1].append(second.feed(other))
    together = np.concatenate([*parts[0], first.finish()])
    assert np.array_equal(together, score(detector.stream(), speech[: 20 * RATE]))


@pytest.mark.parametrize("n_samples", [0, 1, 511, 512, 513, 128 * 512, 128 * 512 + 1])
def test_every_started_frame_has_one_probability(detector, n_samples):
    assert len(score(detector.stream(), noise(n_samples, 0.1))) == -(-n_samples // 512)


def test_quiet_speech_is_heard_when_it_is_boosted(speech, detector):
    normal = score(detector.stream(), speech) >= 0.4
    quiet = speech * np.float32(10 ** (-50 / 20))
    plain = score(detector.stream(), quiet) >= 0.4
    boosted = score(detector.stream(boost_quiet=True), quiet) >= 0.4
    assert plain[normal].mean() < 0.8
    assert boosted[normal].mean() > 0.98


def test_ordinary_speech_is_not_boosted(speech, detector):
    assert np.array_equal(score(detector.stream(), speech), score(detector.stream(boost_quiet=True), speech))


@pytest.mark.parametrize("samples", [np.zeros((2, 600), np.float32), np.zeros(600)])
def test_wrong_form_of_samples(detector, samples):
    with pytest.raises(ShapeError, match=r"allowed: float32 of shape \[n\]"):
        detector.stream().feed(samples)


def test_package_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelNotFoundError, match=r"pip install silero-vad.*enabled=False"):
        VoiceDetector()


def test_file_missing_in_package(monkeypatch, tmp_path):
    (tmp_path / "silero_vad").mkdir()
    (tmp_path / "silero_vad" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ModelNotFoundError, match=r"has no file .*silero_vad\.jit"):
        VoiceDetector()


def test_given_file_missing(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no file .*other\.jit"):
        VoiceDetector(weights=tmp_path / "other.jit")


def test_file_is_garbage(tmp_path):
    path = tmp_path / "silero_vad.jit"
    path.write_bytes(b"no archive")
    with pytest.raises(ModelFormatError, match="does not hold the weights"):
        VoiceDetector(weights=path)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("width", [4, 258])
def test_file_has_other_tensors(tmp_path, width):
    module = torch.nn.Module()
    module._model = torch.nn.Module()
    module._model.stft = torch.nn.Module()
    module._model.stft.register_buffer("forward_basis_buffer", torch.zeros(width, 1, 256))
    torch.jit.script(module).save(str(tmp_path / "other.jit"))
    with pytest.raises(ModelFormatError, match="does not hold the weights"):
        VoiceDetector(weights=tmp_path / "other.jit")


def test_the_package_is_not_imported_and_packing_needs_no_torch():
    program = """
import sys
import ifw.speech.packer, ifw.speech.windows, ifw.speech.spans
assert "torch" not in sys.modules
import torch
torch.set_num_threads(3)
from ifw.speech.vad import VoiceDetector
VoiceDetector()
assert torch.get_num_threads() == 3
assert "silero_vad" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
