"""Word error rates of the presets on clean and on degraded audio, written to `benchmarks/quality.md`.

Files of the evaluation set (see `benchmarks/accuracy.py`) are degraded in seeded ways, the same in every run, and go
through `ifw eval` with each preset, the language detected:

    python -m recipes.demo_model evalset --evalset-dir build/evalset
    python benchmarks/quality.py build/evalset
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import wave
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from ifw.constants import SAMPLE_RATE
from ifw.evaluation import ErrorCounts, Evaluation, compare, read_results

PRESETS = ("fast", "balanced", "accurate")
SINGLE, DENSE = "single", "dense_clean"
N_JOINED = 3
TELEPHONE_HZ = (300, 3400)
MP3_BIT_RATE = 32_000
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """One clean recording.

    Attributes:
        name: File name without extension; all chance in its degradations is seeded by it.
        language: ISO code.
        text: What is said.
        samples: [n] float32 at 16 kHz.
        is_speech: [n] bool, by the true times of the sentences.
    """

    name: str
    language: str
    text: str
    samples: FloatArray
    is_speech: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Condition:
    """One way to degrade audio.

    Attributes:
        name: As the table calls it.
        apply: Degrades the samples of a clip.
        sample_rate: Of what `apply` gives.
        is_mp3: Written as MP3 instead of 16-bit WAV.
    """

    name: str
    apply: Callable[[Clip], FloatArray]
    sample_rate: int = SAMPLE_RATE
    is_mp3: bool = False

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name)


def noise(snr_db: float) -> Callable[[Clip], FloatArray]:
    """White noise, so many decibels below the power of the speech."""

    def apply(clip: Clip) -> FloatArray:
        level = np.sqrt(np.mean(np.square(clip.samples[clip.is_speech]))) * 10 ** (-snr_db / 20)
        rng = np.random.default_rng(zlib.crc32(clip.name.encode()))
        noisy = clip.samples + np.float32(level) * rng.standard_normal(len(clip.samples), np.float32)
        return np.asarray(noisy, np.float32)

    return apply


def gain(gain_db: float) -> Callable[[Clip], FloatArray]:
    """Louder or quieter; what is too loud for the file is clipped when it is written."""
    return lambda clip: clip.samples * np.float32(10 ** (gain_db / 20))


def telephone(clip: Clip) -> FloatArray:
    """The band of a telephone line, at half the sample rate."""
    padded = np.pad(clip.samples, (0, len(clip.samples) % 2))
    spectrum = np.fft.rfft(padded)
    frequencies = np.fft.rfftfreq(len(padded), 1 / SAMPLE_RATE)
    spectrum[(frequencies < TELEPHONE_HZ[0]) | (frequencies > TELEPHONE_HZ[1])] = 0
    return np.asarray(np.fft.irfft(spectrum, len(padded))[::2], np.float32)


CONDITIONS = (
    Condition("clean", gain(0)),
    Condition("noise, 20 dB", noise(20)),
    Condition("noise, 10 dB", noise(10)),
    Condition("noise, 5 dB", noise(5)),
    Condition("noise, 0 dB", noise(0)),
    Condition("30 dB quieter", gain(-30)),
    Condition("20 dB louder, clipped", gain(20)),
    Condition("telephone, 8 kHz", telephone, sample_rate=SAMPLE_RATE // 2),
    Condition("MP3, 32 kbit/s", gain(0), is_mp3=True),
)


def chosen_clips(folder: Path, limit: int) -> list[Clip]:
    """The first single sentences of each language, and the first dense windows, joined by threes.

    Where a file is longer than a window, the text before a window may help or harm it.
    """
    groups: defaultdict[tuple[str, str], list[Clip]] = defaultdict(list)
    for text in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["kind"] in (SINGLE, DENSE) and len(groups[line["kind"], line["language"]]) < limit:
            groups[line["kind"], line["language"]].append(read_clip(folder, line))
    clips: list[Clip] = []
    for (kind, _), group in groups.items():
        clips += group if kind == SINGLE else [joined(group[i : i + N_JOINED]) for i in range(0, len(group), N_JOINED)]
    return clips


def joined(clips: Sequence[Clip]) -> Clip:
    """One recording after another."""
    return Clip(
        clips[0].name,
        clips[0].language,
        " ".join(clip.text for clip in clips),
        np.concatenate([clip.samples for clip in clips]),
        np.concatenate([clip.is_speech for clip in clips]),
    )


def read_clip(folder: Path, line: dict[str, Any]) -> Clip:
    """Read a 16-bit WAV file of the evaluation set."""
    with wave.open(str(folder / line["audio"])) as stream:
        samples = np.frombuffer(stream.readframes(stream.getnframes()), "<i2").astype(np.float32) / np.float32(32768)
    is_speech = np.zeros(len(samples), bool)
    for segment in line["segments"]:
        is_speech[int(segment["start_s"] * SAMPLE_RATE) : int(segment["end_s"] * SAMPLE_RATE)] = True
    return Clip(Path(line["audio"]).stem, line["language"], line["text"], np.asarray(samples, np.float32), is_speech)


def write_audio(path: Path, samples: FloatArray, condition: Condition) -> None:
    """Write mono audio in 16 bit, or as MP3."""
    pcm = np.round(samples * 32767).clip(-32768, 32767).astype("<i2")
    if not condition.is_mp3:
        with wave.open(str(path), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(condition.sample_rate)
            stream.writeframes(pcm.tobytes())
        return
    with av.open(str(path), "w", format="mp3", options={"fflags": "+bitexact"}) as container:
        encoder = container.add_stream("libmp3lame", rate=condition.sample_rate, layout="mono", bit_rate=MP3_BIT_RATE)
        resampler = av.AudioResampler(encoder.format.name, "mono", condition.sample_rate, encoder.frame_size or 1152)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = condition.sample_rate
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(encoder.encode(part))
        container.mux(encoder.encode(None))


def write_degraded(clips: Sequence[Clip], target: Path) -> Path:
    """Write every clip in every condition, one folder each, and one manifest for all."""
    entries = []
    for condition in CONDITIONS:
        (target / condition.folder).mkdir(parents=True, exist_ok=True)
        for clip in clips:
            name = f"{condition.folder}/{clip.name}.{'mp3' if condition.is_mp3 else 'wav'}"
            write_audio(target / name, condition.apply(clip), condition)
            entries.append({"audio": name, "text": clip.text, "language": clip.language})
    manifest = target / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    return manifest


def run_preset(manifest: Path, preset: str, model: str, threads: int) -> Evaluation:
    """Evaluate all files with one preset; files that fail end the benchmark."""
    output = manifest.with_name(f"{preset}.json")
    command = [sys.executable, "-m", "ifw", "eval", str(manifest), "--model", model, "--preset", preset]
    command += ["--language", "auto", "--threads", str(threads), "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_results(output)


def part_of(evaluation: Evaluation, condition: Condition) -> Evaluation:
    """The files of one condition."""
    return replace(
        evaluation, files=tuple(file for file in evaluation.files if file.audio.startswith(f"{condition.folder}/"))
    )


def table(evaluations: dict[str, Evaluation]) -> str:
    """One row a condition, one column a preset, and what the last preset changes against the first."""
    first, last = (list(evaluations)[index] for index in (0, -1))
    header = ["condition", *evaluations, f"{last} against {first}, points (95% interval)"]
    rows = [header, ["---"] * len(header)]
    for condition in CONDITIONS:
        parts = {name: part_of(evaluation, condition) for name, evaluation in evaluations.items()}
        change = compare(parts[first], parts[last])
        low, high = (100 * bound for bound in change.interval or (0.0, 0.0))
        difference = f"{100 * (change.difference or 0):+.1f} ({low:+.1f} to {high:+.1f})"
        rows.append([condition.name, *(percent(part.words) for part in parts.values()), difference])
    rows.append(["all", *(percent(evaluation.words) for evaluation in evaluations.values()), ""])
    speeds = (f"{evaluation.speed or 0:.0f}x" for evaluation in evaluations.values())
    rows.append(["audio seconds per wall second", *speeds, ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def percent(counts: ErrorCounts) -> str:
    """A rate as people read it."""
    return "-" if counts.rate is None else f"{counts.rate:.1%}"


def machine() -> str:
    """The processor and what runs on it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"


def page(evaluations: dict[str, Evaluation], n_files: int, model: str, options: str) -> str:
    """The whole of `quality.md`."""
    minutes = next(iter(evaluations.values())).audio_s / len(CONDITIONS) / 60
    date = datetime.datetime.now(tz=datetime.timezone.utc).date()
    return f"""# Quality on degraded audio

Word error rates of the presets, checkpoint `{model}`: Whisper's normaliser, language detected, all words of {n_files}
files ({minutes:.1f} minutes) in English, German and Spanish, single sentences and dense speech of up to 90 s. Made by

    python -m recipes.demo_model evalset --evalset-dir build/evalset
    python benchmarks/quality.py build/evalset{options}

on {date}, {machine()}. Speeds are those of that moment; other work may have shared the machine.

{table(evaluations)}

Noise is white, so much below the power of the speech; quieter and louder files have 16 bits; the telephone passes
{TELEPHONE_HZ[0]} to {TELEPHONE_HZ[1]} Hz at 8 kHz. All seeds are fixed. The interval is that of a paired bootstrap over
files, see [evaluation](../docs/evaluation.md).
"""


def main() -> None:
    """Degrade, evaluate, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="evaluation set with a manifest.jsonl")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--limit", type=int, default=12, help="files of each kind and language (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's own choice")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    clips = chosen_clips(arguments.folder, arguments.limit)
    with tempfile.TemporaryDirectory() as name:
        manifest = write_degraded(clips, Path(name))
        evaluations = {preset: run_preset(manifest, preset, arguments.model, arguments.threads) for preset in PRESETS}
    given = {"model": arguments.model, "limit": arguments.limit, "threads": arguments.threads}
    options = "".join(f" --{key} {value}" for key, value in given.items() if value != parser.get_default(key))
    text = page(evaluations, len(clips), Path(arguments.model).name, options)
    arguments.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
