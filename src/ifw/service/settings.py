"""Every setting of the server and the worker. The only reader of the environment in the project."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasGenerator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ifw.config import MAX_DRAFT_TOKENS, ComputeType, CrossKv, Device, EncoderProducts, EngineConfig, Steps
from ifw.errors import ConfigError

PREFIX: Final = "IFW_"
CONVENTIONAL: Final = frozenset({"admin_key", "admin_key_file", "hf_token", "hf_home", "log_level"})
"""Fields whose variable has the name that other programs use too, without our prefix."""
ENVIRONMENT_ONLY: Final = frozenset({"admin_key", "webhook_secret", "hf_token", "hf_home"})
"""Fields without a flag: secrets, which every user of the machine could read in the list of processes, and what is
read by the hub's own package."""

OF_SERVING: Final = frozenset(
    {
        "model_aliases",
        "host",
        "port",
        "admin_key",
        "admin_key_file",
        "cors_origins",
        "allow_hosts",
        "max_queued",
        "max_sync",
        "max_sync_waiting",
        "max_upload_bytes",
        "max_body_bytes",
        "client_timeout_s",
        "run_tasks",
        "task_deadline_s",
        "min_free_bytes",
        "drain_s",
    }
)
"""Fields that do not matter to a worker."""

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]


def variable_of(field: str) -> str:
    """The environment variable of a field: `IFW_` and its name, without the unit of seconds."""
    return field.upper() if field in CONVENTIONAL else f"{PREFIX}{field.removesuffix('_s').upper()}"


def flag_of(field: str) -> str | None:
    """The flag of `ifw serve` and `ifw worker`, or None where there is none."""
    return None if field in ENVIRONMENT_ONLY else f"--{field.removesuffix('_s').replace('_', '-')}"


def default_of(field: str) -> str:
    """The default of a field as people would write it; empty where it has none."""
    value = Settings.model_fields[field].default
    if value is None or value == ():
        return ""
    if isinstance(value, ByteSize):
        return value.human_readable()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _comma_separated(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _keys(value: Any) -> Any:
    keys = _comma_separated(value)
    if isinstance(value, str) and not keys:
        raise ValueError("got a text without any key, allowed: keys, comma-separated; unset it to have no keys")
    return keys


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
Keys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys)]


class Settings(BaseSettings):
    """The settings, from the environment and from what the caller says, which wins. Frozen.

    Field names end in their unit; the variable of a field in seconds has no unit (`result_ttl_s`: `IFW_RESULT_TTL`).
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=AliasGenerator(alias=variable_of),
        populate_by_name=True,
        env_ignore_empty=True,
        protected_namespaces=(),
    )

    model: str = Field("turbo", description="Checkpoint: a short name (`ifw models`), a hub id, or a folder.")
    model_aliases: Names = Field(
        ("whisper-1",),
        description="Further names under which clients of the OpenAI routes may ask for the checkpoint, "
        "comma-separated.",
    )
    diarization_model: str | None = Field(
        None,
        description="What tells speakers apart: a hub id such as pyannote/speaker-diarization-community-1, a "
        "folder, or demo (synthetic voices only); loaded at the start, beside the checkpoint. Left out: requests that "
        "ask for speakers are refused.",
    )
    device: Device = Field("auto", description="auto takes CUDA where there is one; else cpu or cuda.")
    compute_type: ComputeType = Field(
        "auto",
        description="auto is float16 on CUDA, and on CPU bfloat16 with native kernels that have it, else float32; "
        "or float32, bfloat16, float16 or, on CPU, int8, the fastest.",
    )
    n_slots: int | None = Field(
        None, ge=1, le=4096, description="Windows decoded together. Left out: by device and memory."
    )
    n_threads: int | None = Field(
        None, ge=1, le=4096, description="CPU threads of torch. Left out: torch's own choice."
    )
    steps: Steps = Field(
        "auto",
        description="How decode steps are carried out: plain, static (on buffers that stay, read one step late) or, on "
        "CUDA, graphs. auto is graphs on CUDA, else plain. The text is the same.",
    )
    cross_kv: CrossKv = Field(
        "auto",
        description="How keys and values of the audio are kept: same as the other numbers, or in 8 bits, which rounds "
        "(float8 more than int8) and halves what a step reads; on CPU only int8 saves time. auto is int8 with compute "
        "type int8, else same.",
    )
    encoder_products: EncoderProducts = Field(
        "same",
        description="How the encoder multiplies: same as the compute type says, or in 8 bits, which rounds; for CUDA: "
        "int8 from compute capability 8.0 on, float8 from 9.0 on.",
    )
    draft_model: str | None = Field(
        None,
        description="A checkpoint whose decoder proposes tokens to that of the model, which checks several at once: "
        "the text is the same. Both share the encoder, as distil-large-v3 and large-v3 do. Left out: none.",
    )
    draft_tokens: int = Field(
        5, ge=1, le=MAX_DRAFT_TOKENS, description="Tokens that the draft model proposes at a time."
    )

    warm_up: bool = Field(
        False, description="Transcribe some seconds of speech before the server is ready, so that the first is fast."
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every one of this machine.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    admin_key: Keys = Field(
        (), description="Keys that open the server, comma-separated. Without one it is open to whoever reaches it."
    )
    admin_key_file: Path | None = Field(None, description="A file with further keys, one a line; # begins a comment.")
    cors_origins: Names = Field(
        (), description="Origins of web pages that may call the server, comma-separated; * is every one."
    )
    allow_hosts: Names = Field(
        (),
        description="Names besides localhost, the host and IP addresses under which a server without keys may be "
        "called, comma-separated; * is every one.",
    )

    data_dir: Path = Field(
        Path("ifw-data"),
        description="Folder of the task database and of the spooled audio. Workers that share tasks must share it.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="Where tasks are kept: postgresql://user:password@host/name. Left out: SQLite in the data folder, "
        "for one process.",
    )
    run_tasks: bool = Field(
        True, description="Work on tasks in this process; false only takes them in, for `ifw worker` elsewhere."
    )
    max_running: int = Field(
        4,
        ge=1,
        le=1024,
        description="Tasks that one process works on at the same time; those that a request waits for come on top, up "
        "to as many again.",
    )
    max_queued: int = Field(10_000, ge=1, description="Tasks that may wait; then new ones are refused with 429.")
    max_sync: int = Field(
        16, ge=1, le=1024, description="Synchronous requests that are transcribed at the same time, a thread each."
    )
    max_sync_waiting: int = Field(
        256, ge=0, description="Synchronous requests that may wait for that; then new ones are refused with 429."
    )
    result_ttl_s: float = Field(
        7 * 24 * 3600.0, gt=0, description="Seconds that an ended task is kept with its result; its audio goes at once."
    )
    task_deadline_s: float | None = Field(
        None, gt=0, description="Seconds after its arrival at which a task that has not ended fails. Left out: never."
    )
    webhook_secret: SecretStr | None = Field(
        None, description="Signs webhooks after Standard Webhooks: whsec_ and base64. Left out: unsigned."
    )

    allow_nets: Names = Field(
        (),
        description="Networks outside the public internet from which audio may be fetched and to which webhooks may be "
        "sent, comma-separated, such as 10.1.0.0/16.",
    )
    max_upload_bytes: ByteSize = Field(
        ByteSize(4 << 30), gt=0, description="Largest upload; 500MB and 4GiB are understood."
    )
    max_body_bytes: ByteSize = Field(
        ByteSize(1 << 20), gt=0, description="Largest body of a request that is no upload."
    )
    client_timeout_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds within which the head of a request, and then more of its body, must come.",
    )
    max_fetch_bytes: ByteSize = Field(ByteSize(4 << 30), gt=0, description="Largest file fetched from a URL.")
    fetch_timeout_s: float = Field(3600.0, gt=0, description="Seconds that fetching one file may take.")
    max_audio_s: float = Field(24 * 3600.0, gt=0, le=1e7, description="Longest audio, in seconds.")
    min_free_bytes: ByteSize = Field(
        ByteSize(1 << 30), ge=0, description="Below this much free space in the data folder the server is not ready."
    )
    drain_s: float = Field(
        30.0, ge=0, le=3600, description="Seconds that running requests get to finish after SIGTERM."
    )

    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        "info", description="debug, info, warning or error."
    )
    log_format: LogFormat = Field("auto", description="json, console, or auto: console at a terminal, else json.")
    hf_token: SecretStr | None = Field(None, description="Token for gated checkpoints; read by the hub's package.")
    hf_home: Path | None = Field(None, description="Cache of the hub; read by the hub's package.")

    @model_validator(mode="after")
    def _check_workers(self) -> Settings:
        if not self.run_tasks and self.database_url is None:
            raise ValueError("IFW_RUN_TASKS: false needs IFW_DATABASE_URL: SQLite is for one process")
        return self

    @field_validator("allow_nets")
    @classmethod
    def _check_nets(cls, nets: tuple[str, ...]) -> tuple[str, ...]:
        for net in nets:
            ipaddress.ip_network(net, strict=False)
        return nets

    @property
    def engine_config(self) -> EngineConfig:
        """How the engine uses its device."""
        return EngineConfig(
            device=self.device,
            compute_type=self.compute_type,
            n_slots=self.n_slots,
            n_threads=self.n_threads,
            steps=self.steps,
            cross_kv=self.cross_kv,
            encoder_products=self.encoder_products,
            draft_tokens=self.draft_tokens,
        )

    @property
    def model_name(self) -> str:
        """The checkpoint as clients are told of it: of a folder only its name."""
        return _shown_name(self.model)

    @property
    def diarization_name(self) -> str | None:
        """The diarization model as clients are told of it; None where there is none."""
        return None if self.diarization_model is None else _shown_name(self.diarization_model)

    def admin_keys(self) -> tuple[str, ...]:
        """All keys, those of the file included; none where the server is open.

        Raises:
            ConfigError: The file cannot be read, or has no key.
        """
        keys = [key.get_secret_value() for key in self.admin_key]
        if self.admin_key_file is not None:
            keys += _keys_in(self.admin_key_file)
        return tuple(dict.fromkeys(keys))

    def secrets(self) -> tuple[str, ...]:
        """What must never be written to a log.

        Raises:
            ConfigError: See `admin_keys`.
        """
        fields = (self.webhook_secret, self.database_url, self.hf_token)
        others = [field.get_secret_value() for field in fields if field is not None]
        password = None if self.database_url is None else urlsplit(self.database_url.get_secret_value()).password
        return (*self.admin_keys(), *others, *([password] if password else []))


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the environment.

    Args:
        overrides: Field name -> value, which wins over the environment.

    Raises:
        ConfigError: A value is not allowed; the message names the variable and the flag.
    """
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        raise ConfigError("; ".join(_complaint(one) for one in error.errors(include_input=False))) from None


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """Variables with our prefix that are no setting, such as a misspelt one."""
    known = {variable_of(field) for field in Settings.model_fields}
    names = os.environ if environment is None else environment
    return sorted(name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known)


def _complaint(error: Any) -> str:
    """One line about one field; the value itself may be a secret and is left out."""
    if not error["loc"]:  # about several fields together
        return str(error["msg"]).removeprefix("Value error, ")
    named = str(error["loc"][0])
    field = next((name for name in Settings.model_fields if named.upper() in (name.upper(), variable_of(name))), None)
    if field is None:
        return f"{named}: no such setting"
    message = error["msg"].removeprefix("Value error, ")
    flag = flag_of(field)
    return f"{variable_of(field)}{f' ({flag})' if flag else ''}: {message[:1].lower()}{message[1:]}"


def _shown_name(model: str) -> str:
    return Path(model).name if model.startswith(("/", ".", "~")) else model


def _keys_in(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(f"ADMIN_KEY_FILE: {path} cannot be read: {reason}") from None
    keys = [line.split("#")[0].strip() for line in lines]
    if not any(keys):
        raise ConfigError(f"ADMIN_KEY_FILE: {path} has no key; write one a line, or unset the variable")
    return [key for key in keys if key]
