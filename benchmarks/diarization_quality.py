"""The demo diarizer on voices that it was never trained on: error rates, and words on the right speaker.

    python benchmarks/diarization_quality.py --each 20

Conversations are spoken by espeak-ng, in sentences that the demo Whisper has never seen. The error rate is that of
pyannote.metrics with a collar of 0.25 s. Words are those of `Transcriber("demo")` with the number of speakers given;
those count that were recognised, and are on the right speaker or not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import wave
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
from recipes.demo_diarization.evaluation import evaluate, table  # noqa: E402 - in a folder that was just added
from recipes.demo_diarization.speech import Corpus, pools, synthesise  # noqa: E402
from recipes.demo_diarization.testset import Conversation, draw_set  # noqa: E402

from ifw import DecodeOptions, DiarizationOptions, TranscribeOptions, Transcriber  # noqa: E402
from ifw.constants import SAMPLE_RATE  # noqa: E402
from ifw.diarize.places import find_pipeline  # noqa: E402
from ifw.evaluation.attributed_words import AttributedWords, count_attributed_words  # noqa: E402
from ifw.evaluation.normaliser import Normaliser  # noqa: E402


def write_wave(path: Path, conversation: Conversation) -> None:
    """Write what is heard as 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((conversation.samples * 32767).astype("<i2").tobytes())


def attribute(transcriber: Transcriber, conversation: Conversation, folder: Path) -> AttributedWords:
    """Transcribe with speakers, and count the words on the right ones."""
    path = folder / "conversation.wav"
    write_wave(path, conversation)
    options = TranscribeOptions(
        DecodeOptions(language="en"), diarize=DiarizationOptions(num_speakers=conversation.kind.n_speakers)
    )
    transcript = transcriber.transcribe(str(path), options)
    normaliser = Normaliser("en")
    true = [(word, str(one.speaker)) for one in conversation.said for word in normaliser.words(one.utterance.text)]
    found = [(word, segment.speaker) for segment in transcript.segments for word in normaliser.words(segment.text)]
    return count_attributed_words(true, found)


def words_table(model: Path, conversations: list[Conversation]) -> str:
    """The shares by kind of conversation."""
    counts: dict[str, AttributedWords] = {}
    with Transcriber("demo", diarization_model=model) as transcriber, tempfile.TemporaryDirectory() as folder:
        for one in conversations:
            names = [one.kind.name, "all with goals"] if one.kind.is_goal else [one.kind.name]
            counted = attribute(transcriber, one, Path(folder))
            for name in names:
                counts[name] = counts.get(name, AttributedWords()) + counted
    lines = ["| conversations | words | recognised | of these on the right speaker |", "|---|---|---|---|"]
    for name in sorted(counts, key=lambda name: name == "all with goals"):
        count = counts[name]
        recognised = count.n_recognised / count.n_reference
        lines.append(f"| {name} | {count.n_reference} | {recognised:.1%} | {count.rate or 0:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, help="conversations of each kind")
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--model", type=Path, default=find_pipeline("demo"))
    parser.add_argument("--speech", type=Path, default=ROOT / "build" / "demo_diarization" / "speech")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    synthesise(arguments.speech, [pool for pool in pools(0, 12) if pool.name == "test"], seed=0, processes=1)
    conversations = draw_set(Corpus(arguments.speech, ["test"]), arguments.each, arguments.seed)
    print(table(evaluate(arguments.model, conversations)), flush=True)
    print(words_table(arguments.model, conversations))


if __name__ == "__main__":
    main()
