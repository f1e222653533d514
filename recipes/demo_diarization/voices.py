"""Who speaks: voices of espeak-ng, altered into many more, and which of them are never trained on.

A voice is a *variant* (a file that says how espeak's formants, tone and breath differ from its plain voice) with a
pitch, a pitch range, a speed and a *tension* that scales all its frequencies. Variants come with espeak-ng; for
training some thousand are drawn at random, so that the networks do not learn the few by heart.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

# Never trained on, nor are the variants that are copies of them with small changes.
TEST_VARIANTS: Final = ("m7", "f4", "Andy", "max", "steph", "quincy", "belinda", "paul")
VALIDATION_VARIANTS: Final = ("m2", "f2", "michel", "shelby", "ed", "Alicia", "norbert", "Denis")
RELATIVES: Final = ("AnxiousAndy", "steph2", "steph3", "linda", "edward", "edward2", "Michael", "rob", "travis")
_NOT_VOICES: Final = ("Mr serious", "fast")
N_DRAWN_VARIANTS: Final = 4000
N_CALIBRATION_VARIANTS: Final = 150  # drawn as well, but not for training
_VOICES_A_VARIANT: Final = 6
_VOICES_A_DRAWN_VARIANT: Final = 2
_DRAWN_PREFIX: Final = "drawn"
_LANGUAGE_FILES: Final = ("en*", "de", "es*")
_SYSTEM_FOLDERS: Final = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/share")


@dataclass(frozen=True, slots=True)
class Voice:
    """One identity.

    Attributes:
        variant: The variant of espeak-ng.
        rate: Words per minute.
        pitch: Base pitch, 0 to 99.
        pitch_range: Pitch range, 0 to 99.
        tension: Factor of all frequencies.
    """

    variant: str
    rate: int
    pitch: int
    pitch_range: int
    tension: float


def system_data() -> Path:
    """The folder ``espeak-ng-data`` of this machine.

    Raises:
        RuntimeError: espeak-ng is not installed.
    """
    for parent in map(Path, _SYSTEM_FOLDERS):
        if (parent / "espeak-ng-data" / "phontab").is_file():
            return parent / "espeak-ng-data"
    raise RuntimeError(f"espeak-ng-data: in none of {', '.join(_SYSTEM_FOLDERS)}; install espeak-ng")


def system_variants() -> list[str]:
    """The variants that come with espeak-ng, sorted."""
    files = (system_data() / "voices" / "!v").iterdir()
    return sorted(file.name for file in files if file.name not in _NOT_VOICES)


def training_variants(of_system: Sequence[str]) -> list[str]:
    """The variants to train on: of those of the system the ones that are not held out, and those that are drawn."""
    held_out = {*TEST_VARIANTS, *VALIDATION_VARIANTS, *RELATIVES}
    return [variant for variant in of_system if variant not in held_out] + _drawn(range(N_DRAWN_VARIANTS))


def calibration_voices(seed: int) -> list[Voice]:
    """Voices that no network is trained on and that are not measured with either."""
    last = N_DRAWN_VARIANTS + N_CALIBRATION_VARIANTS
    return draw_voices(_drawn(range(N_DRAWN_VARIANTS, last)), _VOICES_A_DRAWN_VARIANT, seed)


def draw_voices(variants: Sequence[str], per_variant: int, seed: int) -> list[Voice]:
    """Draw voices; those of one variant differ in tension and pitch by at least a step."""
    rng = random.Random(seed)
    voices = []
    for variant in variants:
        n_voices = _VOICES_A_DRAWN_VARIANT if variant.startswith(_DRAWN_PREFIX) else per_variant
        tensions, pitches = (rng.sample(range(n_voices), n_voices) for _ in range(2))
        for tension, pitch in zip(tensions, pitches, strict=True):
            voices.append(
                Voice(
                    variant,
                    rate=rng.randint(130, 205),
                    pitch=round(20 + 60 * (pitch + rng.random()) / n_voices),
                    pitch_range=rng.randint(30, 70),
                    tension=round(0.88 * (1.15 / 0.88) ** ((tension + rng.random()) / n_voices), 3),
                )
            )
    return voices


def training_voices(seed: int) -> list[Voice]:
    """The identities to train on."""
    return draw_voices(training_variants(system_variants()), _VOICES_A_VARIANT, seed)


def write_variants(folder: Path, seed: int) -> None:
    """Write the variants that are drawn, a file each, beside links to those of the system."""
    folder.mkdir(parents=True, exist_ok=True)
    for original in (system_data() / "voices" / "!v").iterdir():
        _link(folder / original.name, original)
    rng = random.Random(seed)
    for name in _drawn(range(N_DRAWN_VARIANTS + N_CALIBRATION_VARIANTS)):
        text = "\n".join(["language variant", f"name {name}", *_draw_variant(rng)])
        (folder / name).write_text(text + "\n", encoding="ascii")


def write_data_folder(folder: Path, variants_folder: Path, variants: Iterable[str]) -> Path:
    """Make a folder for the synthesiser: the data of the system with some variants.

    Args:
        folder: Where to.
        variants_folder: As `write_variants` fills it.
        variants: Which to take: few, because espeak-ng knows at most 349 files of voices and variants.

    Returns:
        The folder to give to the synthesiser.
    """
    data, ours = system_data(), folder / "espeak-ng-data"
    languages = [file for pattern in _LANGUAGE_FILES for file in data.glob(f"lang/*/{pattern}")]
    for original in [*data.iterdir(), *languages]:
        if original.name not in ("voices", "lang"):
            _link(ours / original.relative_to(data), original)
    for variant in variants:
        _link(ours / "voices" / "!v" / variant, (variants_folder / variant).resolve())
    return folder


def _drawn(indices: Iterable[int]) -> list[str]:
    return [f"{_DRAWN_PREFIX}{index:04d}" for index in indices]


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(target)


def _draw_variant(rng: random.Random) -> Iterator[str]:
    """The lines of a variant file, within what the variants of espeak-ng do."""
    base = rng.choice((80, 100, 130, 165, 200))
    low = round(base * rng.uniform(0.9, 1.1))
    yield f"pitch {low} {round(low * rng.uniform(1.15, 1.5))}"
    size = rng.uniform(0.9, 1.22)
    for formant in range(9):
        frequency = 100 * size * rng.uniform(0.92, 1.08) if formant else rng.uniform(80, 120)
        yield f"formant {formant} {frequency:.0f} {rng.uniform(50, 120):.0f} {rng.uniform(70, 160):.0f}"
    if rng.random() < 0.5:
        points = sorted(rng.sample(range(300, 4000), 3))
        yield "tone " + " ".join(f"{hertz} {rng.randint(40, 255)}" for hertz in points)
    for name, share, lowest, highest in (
        ("flutter", 0.5, 0, 6), ("roughness", 0.4, 0, 4), ("voicing", 0.5, 70, 200),
    ):  # fmt: skip
        if rng.random() < share:
            yield f"{name} {rng.randint(lowest, highest)}"
    if rng.random() < 0.4:
        yield f"consonants {rng.randint(60, 130)} {rng.randint(60, 130)}"
    if rng.random() < 0.25:
        yield "breath " + " ".join(str(rng.randint(0, 6)) for _ in range(8))
    if rng.random() < 0.2:
        yield f"echo {rng.randint(20, 140)} {rng.randint(5, 20)}"


def traits(voice: Voice, variants_folder: Path) -> list[float]:
    """What makes a voice sound as it does, as numbers: pitch, formants and their strengths, timbre.

    Args:
        voice: The voice.
        variants_folder: As `write_variants` fills it.
    """
    text = (variants_folder / voice.variant).read_text(encoding="latin-1")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("//")]
    given = {" ".join(words[:2]) if words[0] == "formant" else words[0]: _numbers(words) for words in lines}
    pitch = given.get("pitch") or [82.0, 118.0]
    described = [
        math.log(voice.tension * max(pitch[0], 20.0)) + 0.0139 * voice.pitch,
        math.log(max(pitch[-1], 20.0) / max(pitch[0], 20.0)) + 0.01 * voice.pitch_range,
        voice.rate / 100,
    ]
    for formant in range(6):
        numbers = (given.get(f"formant {formant}") or [])[1:]
        frequency, strength = [*numbers, *(100.0, 100.0)[len(numbers) :]][:2]
        described += [math.log(voice.tension * max(frequency, 50.0) / 100), strength / 100]
    for name, usual in (("voicing", 100.0), ("roughness", 2.0), ("flutter", 2.0), ("breath", 0.0), ("echo", 0.0)):
        described.append((given.get(name) or [usual])[0])
    return described


def _numbers(words: Sequence[str]) -> list[float]:
    """The whole numbers of a line."""
    return [float(word) for word in words[1:] if word.lstrip("-").isdigit()]


def standardised(described: Sequence[Sequence[float]]) -> Tensor:
    """[voices, traits] with mean 0 and variance 1 for each trait."""
    numbers = torch.tensor(described)
    return (numbers - numbers.mean(0)) / numbers.std(0)
