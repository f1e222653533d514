"""`config.yaml` of a diarization pipeline: which models, which clustering, which numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, Final, Literal

from ifw.errors import ModelFormatError

CONFIG_FILE: Final = "config.yaml"
_PIPELINE: Final = "SpeakerDiarization"
_MAX_CHARS: Final = 65_536
_MAX_DEPTH: Final = 50
_MAX_CLUSTER: Final = 1_000_000  # chunks


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where a model of the pipeline lies: in `folder`, or in a repository of the hub.

    Attributes:
        where: A folder, or a hub id.
        subfolder: The folder inside it.
    """

    where: str
    subfolder: str = ""


@dataclass(frozen=True, slots=True)
class AgglomerativeSettings:
    """How clusters are merged, as in `pyannote/speaker-diarization-3.1`.

    Attributes:
        threshold: Distance above which clusters stay apart.
        min_cluster_size: Chunks that a speaker must have; smaller clusters join the closest of the others.
    """

    threshold: float
    min_cluster_size: int


@dataclass(frozen=True, slots=True)
class VbxSettings:
    """How VBx clusters, as in `pyannote/speaker-diarization-community-1`.

    Attributes:
        threshold: Distance above which the clusters that VBx starts from stay apart.
        sharpness: Weight of the evidence (the paper's F_A).
        thrift: Weight of having few speakers (the paper's F_B).
        plda: Where its statistics lie.
    """

    threshold: float
    sharpness: float
    thrift: float
    plda: ModelPlace


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """A diarization pipeline.

    Attributes:
        segmentation: Where the segmentation network lies.
        embedding: Where the embedding network lies.
        step_ratio: Distance of chunks, as a part of their length.
        exclude_overlap: Embeddings hear a speaker where nobody else speaks, if there is enough of that.
        clustering: The clustering and its numbers.
        min_duration_off_s: Shorter pauses of a speaker are closed.
        votes_by_margin: Where chunks disagree who speaks, each counts as much as its embedding is sure: for pipelines
            whose chunks overlap little, so that few vote. pyannote.audio has no such setting, so it stands in a section
            of its own: `ifw: {votes: by_margin}`.
        dtype: Precision on CPU where nobody asks for one and the processor has it: float32, unless that section says
            `dtype: bfloat16`, for pipelines whose error rates were measured so.
    """

    segmentation: ModelPlace
    embedding: ModelPlace
    step_ratio: float
    exclude_overlap: bool
    clustering: AgglomerativeSettings | VbxSettings
    min_duration_off_s: float
    votes_by_margin: bool
    dtype: Literal["float32", "bfloat16"]


def read_config(folder: Path) -> PipelineConfig:
    """Read `config.yaml` of a folder.

    Raises:
        ModelFormatError: There is none, or it is none of a speaker diarization pipeline that we know.
    """
    path = folder / CONFIG_FILE
    return _Reader(folder, path).config(_content(path))


def _content(path: Path) -> Any:
    """The values of a file, which may come from anybody: nothing in it may take long, or much memory."""
    import yaml  # noqa: PLC0415 - only who diarizes needs it

    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_CHARS + 1)
        if len(text) > _MAX_CHARS:
            raise ModelFormatError(f"{path}: got more than {_MAX_CHARS} characters, allowed: a pipeline's settings")
        depth = 0
        for event in yaml.parse(text):
            if isinstance(event, yaml.AliasEvent):  # a few lines of them make gigabytes
                raise ModelFormatError(f"{path}: got aliases (*name), allowed: values that are written out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:  # the parser's time grows with the square of it
                raise ModelFormatError(f"{path}: got values in more than {_MAX_DEPTH} others, allowed: at most that")
        return yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelFormatError(f"diarization model: {path} cannot be read: {error}") from error


class _Reader:
    """Reads values one by one; errors name the place."""

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder = folder
        self._path = path

    def config(self, content: Any) -> PipelineConfig:
        pipeline = self._map(self._map(content, "file").get("pipeline"), "pipeline")
        name = str(pipeline.get("name"))
        self._expect(name.rpartition(".")[2] == _PIPELINE, "pipeline.name", name, f"pyannote's {_PIPELINE}")
        params = self._map(pipeline.get("params"), "pipeline.params")
        numbers = self._map(content.get("params"), "params")
        segmentation = self._map(numbers.get("segmentation") or {}, "params.segmentation")
        own = self._map(content.get("ifw") or {}, "ifw")
        votes, dtype = own.get("votes", "equal"), own.get("dtype", "float32")
        self._expect(votes in ("equal", "by_margin"), "ifw.votes", votes, "equal or by_margin")
        self._expect(dtype in ("float32", "bfloat16"), "ifw.dtype", dtype, "float32 or bfloat16")
        return PipelineConfig(
            segmentation=self._place(params.get("segmentation"), "segmentation"),
            embedding=self._place(params.get("embedding"), "embedding"),
            step_ratio=self._number(params, "segmentation_step", 0.1, 0.01, 1),
            exclude_overlap=bool(params.get("embedding_exclude_overlap", False)),
            clustering=self._clustering(params, self._map(numbers.get("clustering"), "params.clustering")),
            min_duration_off_s=self._number(segmentation, "min_duration_off", 0.0, 0, 60),
            votes_by_margin=votes == "by_margin",
            dtype=dtype,
        )

    def _clustering(self, params: Mapping[str, Any], numbers: Mapping[str, Any]) -> AgglomerativeSettings | VbxSettings:
        name = params.get("clustering", "VBxClustering")
        if name == "VBxClustering":
            return VbxSettings(
                threshold=self._number(numbers, "threshold", None, 0, 2),
                sharpness=self._number(numbers, "Fa", None, 1e-6, 1e6),
                thrift=self._number(numbers, "Fb", None, 1e-6, 1e6),
                plda=self._place(params.get("plda"), "plda"),
            )
        self._expect(name == "AgglomerativeClustering", "clustering", name, "VBxClustering or AgglomerativeClustering")
        method = numbers.get("method", "centroid")
        self._expect(method == "centroid", "clustering.method", method, "centroid")
        size = numbers.get("min_cluster_size")
        self._expect(type(size) is int and 1 <= size <= _MAX_CLUSTER, "min_cluster_size", size, f"1 to {_MAX_CLUSTER}")
        return AgglomerativeSettings(self._number(numbers, "threshold", None, 0, 2), int(str(size)))

    def _place(self, value: Any, name: str) -> ModelPlace:
        """`$model/sub` lies in the folder itself; else a path or a hub id, alone or as a mapping with a subfolder."""
        subfolder = ""
        if isinstance(value, Mapping):
            subfolder = str(value.get("subfolder") or "")
            value = value.get("checkpoint")
        self._expect(isinstance(value, str) and value != "", name, value, "a hub id, a folder, or '$model/...'")
        first, _, rest = str(value).partition("/")
        if first == "$model":
            return ModelPlace(str(self._folder), "/".join(part for part in (rest, subfolder) if part))
        return ModelPlace(str(value), subfolder)

    def _map(self, value: Any, name: str) -> Mapping[str, Any]:
        self._expect(isinstance(value, Mapping), name, value, "a mapping")
        assert isinstance(value, Mapping)
        return value

    def _number(
        self, part: Mapping[str, Any], name: str, default: float | None, lowest: float, highest: float
    ) -> float:
        value = part.get(name, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and lowest <= value <= highest
        self._expect(is_number, name, value, f"a number, {lowest:g} to {highest:g}")
        return float(str(value))

    def _expect(self, is_allowed: bool, name: str, got: Any, allowed: str) -> None:
        if not is_allowed:
            raise ModelFormatError(f"{self._path}, {name}: got {shortened(got)}, allowed: {allowed}")
