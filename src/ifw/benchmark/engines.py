"""The engines that can be measured: ours, and those that are installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from ifw.benchmark.driver_process import DriverCommand
from ifw.config import EngineConfig
from ifw.engine.device import resolve_config
from ifw.errors import ConfigError
from ifw.kernels.library import load

Precision = Literal["float32", "float16", "bfloat16", "int8"]  # the most exact first
EXACTNESS: Final[tuple[Precision, ...]] = get_args(Precision)
OWN: Final = "ifw"
SWITCHED: Final = "ifw, switched"
"""Our engine with a switch on, which counts as another one."""
_OWN_DRIVER: Final = "ifw.benchmark.own_driver"
_OWN_COMPUTE_TYPES: Final[tuple[Precision, ...]] = (
    "float32",
    "bfloat16",
    "float16",
    "int8",
)  # those refused are left out
# Large temporaries stay with the process, as `ifw.engine.heap` has it for us.
_KEPT_MEMORY: Final = MappingProxyType(
    {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}
)


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to run one engine.

    Attributes:
        engine: A key of `PEERS`, `OWN`, or `SWITCHED`.
        name: Unique among the set-ups of the engine.
        precision: That of the weights and products.
        options: What its driver is told.
        env: Variables of its process.
        has_lengths: Each window can be given a number of tokens of its own.
        has_pipeline: It takes files.
        command: The engine whose command runs it; empty is `engine`.
    """

    engine: str
    name: str
    precision: Precision
    options: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    has_lengths: bool = True
    has_pipeline: bool = True
    command: str = ""

    @property
    def label(self) -> str:
        """Engine and set-up."""
        return f"{self.engine} {self.name}"

    @property
    def n_workers(self) -> int:
        """Batches that are computed side by side."""
        return int(self.options.get("workers", 1))


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine.

    Attributes:
        package: What its interpreter must be able to import.
        driver: Its driver's file in the folder of peers.
    """

    package: str
    driver: str


PEERS: Final[Mapping[str, Peer]] = MappingProxyType(
    {
        "transformers": Peer("transformers", "transformers_driver.py"),
        "faster-whisper": Peer("faster_whisper", "faster_whisper_driver.py"),
        "openai-whisper": Peer("whisper", "openai_whisper_driver.py"),
        "openvino": Peer("openvino", "openvino_driver.py"),
        "pyannote-audio": Peer("pyannote.audio", "pyannote_audio_driver.py"),
    }
)


def setups(device: str, n_threads: int) -> list[Setup]:
    """Every set-up that is worth a row, ours first, the least exact first; those of peers include their fastest.

    Args:
        device: `cpu` or `cuda`.
        n_threads: On CPU.
    """
    own = own_compute_types(device)
    if device == "cuda":
        own = [name for name in own if name != "float32"]  # nobody runs it there
    found = [_setup(OWN, name) for name in reversed(own)]
    if device == "cpu" and load().kernels:
        found += [_plain([name for name in own if name != "int8"][-1])]
    if device == "cuda":
        found += [_setup("transformers", "float16")]
        found += [_ctranslate2("float16"), _ctranslate2("int8", compute_type="int8_float16")]
        return [*found, _setup("openai-whisper", "float16")]
    found += [_ctranslate2("int8")]
    if n_threads > 1:
        found += [_ctranslate2("int8", n_workers=n_threads)]
    options = {"compute_type": "int8"}
    found += [Setup("openvino", "int8 weights", "int8", options, has_lengths=False, has_pipeline=False)]
    return [
        *found,
        _setup("transformers", "float32"),
        _setup("transformers", "bfloat16"),
        _setup("openai-whisper", "float32"),
    ]


def _setup(engine: str, precision: Precision) -> Setup:
    return Setup(engine, precision, precision, {"compute_type": precision})


def _plain(precision: Precision) -> Setup:
    """Ours as it is where there is no compiler."""
    options = {"compute_type": precision, "is_plain": True}
    return Setup(OWN, f"{precision}, torch alone", precision, options, has_pipeline=False)


def _ctranslate2(precision: Precision, *, compute_type: str = "", n_workers: int = 1) -> Setup:
    """CTranslate2; `compute_type` is its own word for the precision, where that is another."""
    compute_type = compute_type or precision
    options: dict[str, Any] = {"compute_type": compute_type}
    if n_workers == 1:
        return Setup("faster-whisper", compute_type, precision, options, has_lengths=False)
    name = f"{compute_type}, {n_workers} workers, memory kept"
    options["workers"] = n_workers
    return Setup("faster-whisper", name, precision, options, _KEPT_MEMORY, has_lengths=False, has_pipeline=False)


def own_compute_types(device: str) -> list[Precision]:
    """The precisions in which our engine computes on a device, float32 first."""
    found = []
    for name in _OWN_COMPUTE_TYPES:
        try:
            resolve_config(EngineConfig(device=device, compute_type=name))  # type: ignore[arg-type] # the class checks it
        except ConfigError:
            continue
        found.append(name)
    return found


def installed(folder: Path, venvs: Path) -> dict[str, DriverCommand]:
    """The engines that can be run here.

    Args:
        folder: Holds the drivers of peers.
        venvs: Holds an environment `.venv-peers-NAME` for each peer that has one; a peer that this interpreter can
            import needs none.

    Returns:
        Engine to how it is started, ours first.
    """
    found = {OWN: DriverCommand(OWN, Path(sys.executable), _OWN_DRIVER)}
    for name, peer in PEERS.items():
        driver = (folder / peer.driver).resolve()
        python = venvs.resolve() / f".venv-peers-{name}" / "bin" / "python"
        if not driver.is_file():
            continue
        if python.is_file():
            found[name] = DriverCommand(name, python, str(driver))
        elif _has_package(peer.package):
            found[name] = DriverCommand(name, Path(sys.executable), str(driver))
    return found


def _has_package(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # not even the package that it is part of
        return False


def chosen(engines: Sequence[str], there: Mapping[str, DriverCommand]) -> list[str]:
    """The engines that a user asked for.

    Args:
        engines: Names; none means all that are installed.
        there: From `installed`.

    Returns:
        Them, ours first.

    Raises:
        ConfigError: One is unknown or not installed.
    """
    for name in engines:
        if name != OWN and name not in PEERS:
            raise ConfigError(f"engines: got {name!r}, allowed: {', '.join([OWN, *PEERS])}")
        if name not in there:
            raise ConfigError(f"engines: {name} is not installed here; `make peers` installs what can be compared with")
    return [name for name in there if not engines or name in engines]
