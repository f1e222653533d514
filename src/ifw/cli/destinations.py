"""Where transcripts go: which format, which folder, which file name; two inputs never share an output file."""

from __future__ import annotations

import itertools
import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ifw.cli.inputs import Input
from ifw.config import SubtitleOptions
from ifw.errors import ConfigError, OutputError
from ifw.formats import EXTENSIONS, FORMATS, FormatName, write
from ifw.types import Transcript

STDOUT: Final = "-"
ALL_FORMATS: Final = "all"
EVERYTHING: Final[tuple[FormatName, ...]] = ("txt", "srt", "vtt", "tsv", "json")  # of openai-whisper, by name
JOINABLE: Final = ("txt", "json")  # several transcripts of these can follow one another in one stream


@dataclass(frozen=True, slots=True)
class Destination:
    """What is written, and where.

    Attributes:
        folder: None is standard output.
        formats: One or more; exactly one for standard output.
        is_asked: The user named the formats.
    """

    folder: Path | None
    formats: tuple[FormatName, ...]
    is_asked: bool


def choose_destination(output_dir: str | None, names: Sequence[str], n_inputs: int) -> Destination:
    """Fill in what the user left open.

    Nothing given: text on standard output. Only formats: files in the current folder, as openai-whisper does. Only
    a folder: every format.

    Raises:
        ConfigError: Standard output cannot take what was asked for, or the folder has no name.
    """
    if output_dir == "":
        raise ConfigError("--output-dir: got '', allowed: a folder ('.' is the current one), or - for standard output")
    named = {*names, *EVERYTHING} if ALL_FORMATS in names else set(names)
    asked = tuple(name for name in FORMATS if name in named)
    if output_dir is not None and output_dir != STDOUT:
        return Destination(Path(output_dir), asked or EVERYTHING, bool(asked))
    if output_dir is None and asked:
        return Destination(Path(), asked, True)
    formats: tuple[FormatName, ...] = asked or ("txt",)
    if len(formats) > 1:
        raise ConfigError(f"--output-format: got {' '.join(formats)}, allowed with --output-dir -: one format")
    if n_inputs > 1 and formats[0] not in JOINABLE:
        raise ConfigError(
            f"--output-format: got {formats[0]} for {n_inputs} files, allowed with --output-dir -: "
            f"{' or '.join(JOINABLE)}; name a folder to get a file for each"
        )
    return Destination(None, formats, bool(asked))


def output_stems(inputs: Sequence[Input]) -> list[Path]:
    """Choose where each transcript goes below the output folder, without the extension of its format.

    `talk.mp3` becomes `talk`. Where two would meet they keep their audio extension (`talk.mp3`, `talk.wav`), or
    the folders in which they differ (`monday/talk`, `tuesday/talk`), and where even that is not enough, as for
    `talk.mp3` and `TALK.mp3`, the later ones get a number (`talk.mp3`, `TALK.mp3.2`).
    """
    stems = [_plain(item.relative) for item in inputs]
    namings: tuple[Callable[[Input, Path], Path], ...] = (
        lambda item, common: item.relative,
        lambda item, common: _plain(_below(item, common)),
        _below,
    )
    for naming in namings:
        clashes = _clashing(stems)
        if not clashes:
            return stems
        paths = [item.path for item, stem in zip(inputs, stems, strict=True) if _key(stem) in clashes and item.path]
        common = Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths] or ["/"]))
        stems = [
            naming(item, common) if _key(stem) in clashes else stem for item, stem in zip(inputs, stems, strict=True)
        ]
    return _numbered(stems)


def _numbered(stems: Sequence[Path]) -> list[Path]:
    """Put a number behind every stem that was there before."""
    taken = set(map(_key, stems))
    seen: set[str] = set()
    unique = []
    for stem in stems:
        chosen = stem
        if _key(stem) in seen:
            candidates = (stem.with_name(f"{stem.name}.{number}") for number in itertools.count(2))
            chosen = next(candidate for candidate in candidates if _key(candidate) not in taken)
            taken.add(_key(chosen))
        seen.add(_key(stem))
        unique.append(chosen)
    return unique


def prepare_folders(stems: Iterable[Path]) -> None:
    """Make the folders of all stems and see that files can be made there, before any work is done for them.

    Raises:
        OutputError: One cannot be made or written.
    """
    for folder in dict.fromkeys(stem.parent for stem in stems):
        obstacle = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
        try:
            if os.path.lexists(obstacle) and not obstacle.is_dir():
                raise OutputError(f"cannot write into {folder}: {obstacle} is a file, allowed: a folder")
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise OutputError(f"cannot write into {folder}: {reason or error}") from error


def refuse_to_replace(inputs: Iterable[Path | None], outputs: Iterable[Path], flag: str = "--output-dir") -> None:
    """See that no input is overwritten.

    Args:
        inputs: What is read; None is standard input.
        outputs: What will be written.
        flag: Where the user said so, for the message.

    Raises:
        ConfigError: One would be.
    """
    sources = {os.path.realpath(path) for path in inputs if path is not None}
    for path in outputs:
        if os.path.realpath(path) in sources:
            raise ConfigError(f"{flag}: got {path}, which is an input and would be replaced, allowed: another place")


def output_path(stem: Path, format_name: FormatName) -> Path:
    """The file of one format."""
    return stem.with_name(f"{stem.name}.{EXTENSIONS[format_name]}")


def journal_of(stem: Path) -> Path:
    """Where the unfinished transcript of an input is kept, for `--resume`."""
    return stem.with_name(f"{stem.name}.ifw-journal")


def write_files(
    transcript: Transcript, stem: Path, formats: Sequence[FormatName], subtitles: SubtitleOptions | None = None
) -> list[Path]:
    """Write one file for each format and make the folders on the way.

    Raises:
        OutputError: A file or folder cannot be written.
    """
    paths = [output_path(stem, name) for name in formats]
    for path, name in zip(paths, formats, strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, write(transcript, name, subtitles))
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    return paths


def replace_file(path: Path, text: str) -> None:
    """Whoever reads `path` sees the old file or the whole new one, never a part.

    A byte of a checkpoint's path that is no UTF-8 is written as the escape that JSON has for it.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(relative: Path) -> Path:
    return relative.with_name(relative.stem)


def _below(item: Input, common: Path) -> Path:
    return item.relative if item.path is None else Path(os.path.abspath(item.path)).relative_to(common)


def _key(stem: Path) -> str:
    """Some file systems do not tell upper from lower case."""
    return stem.as_posix().casefold()


def _clashing(stems: Sequence[Path]) -> set[str]:
    return {key for key, count in Counter(map(_key, stems)).items() if count > 1}
