"""Checkpoints from the Hugging Face hub and its cache.

`HF_HUB_OFFLINE`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE` and `HF_ENDPOINT` mean what they mean to `huggingface_hub`,
which is imported only when a function here runs. What is cached is used without asking the hub for news.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from ifw.errors import ModelError, ModelGatedError, ModelNotFoundError, ModelOfflineError
from ifw.model.files import WANTED_PATTERNS, explain_missing_weights, has_weights, is_complete


def cached_snapshot(repo_id: str) -> Path | None:
    """The complete snapshot of a repository in the cache, without any network.

    Args:
        repo_id: `organisation/name`.

    Returns:
        The folder, or None where the cache has none or a broken-off one.
    """
    return _cached(_hub(), repo_id, WANTED_PATTERNS, is_complete)


def download_snapshot(repo_id: str) -> Path:
    """Fetch what a checkpoint needs into the cache, and nothing else of the repository.

    Args:
        repo_id: `organisation/name`.

    Returns:
        The folder.

    Raises:
        ModelNotFoundError: The hub has no such repository, or it is private.
        ModelGatedError: It wants accepted conditions or a valid token.
        ModelOfflineError: The hub cannot be reached, or must not be.
        ModelUnsafeError: It has only pickled weights.
        ModelFormatError: It has no weights in safetensors.
        ModelError: The files cannot be stored.
    """
    hub = _hub()
    try:
        folder = Path(hub.snapshot_download(repo_id, allow_patterns=list(WANTED_PATTERNS)))
        if has_weights(folder):
            return folder
        names = hub.HfApi().list_repo_files(repo_id)
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        _raise_as_ours(hub, repo_id, error)
    raise explain_missing_weights(repo_id, names)


def fetch_files(repo_id: str, patterns: Iterable[str], has_all: Callable[[Path], bool]) -> Path:
    """Find some files of a repository in the cache, or fetch them into it.

    Args:
        repo_id: `organisation/name`.
        patterns: Which files, as in `huggingface_hub`'s `allow_patterns`.
        has_all: Whether a folder has what is needed; a download that broke off leaves folders that have not.

    Returns:
        The folder. It may still lack something, where the repository does.

    Raises:
        ModelNotFoundError: The hub has no such repository, or it is private.
        ModelGatedError: It wants accepted conditions or a valid token.
        ModelOfflineError: The hub cannot be reached, or must not be.
        ModelError: The files cannot be stored.
    """
    hub = _hub()
    cached = _cached(hub, repo_id, patterns, has_all)
    if cached is not None:
        return cached
    try:
        return Path(hub.snapshot_download(repo_id, allow_patterns=list(patterns)))
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        _raise_as_ours(hub, repo_id, error)


def _cached(hub: ModuleType, repo_id: str, patterns: Iterable[str], has_all: Callable[[Path], bool]) -> Path | None:
    try:
        found = hub.snapshot_download(repo_id, local_files_only=True, allow_patterns=list(patterns))
    except (hub.errors.LocalEntryNotFoundError, hub.errors.HFValidationError):
        return None
    return Path(found) if has_all(Path(found)) else None


def _hub() -> ModuleType:
    """Import the package; its telemetry, mostly the user agent, is off unless the user set the variable."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub  # noqa: PLC0415 - the engine and the bundled demo must run without it
    import huggingface_hub.errors  # noqa: PLC0415

    return huggingface_hub


def _raise_as_ours(hub: ModuleType, repo_id: str, error: Exception) -> NoReturn:
    errors, endpoint, status = hub.errors, hub.constants.ENDPOINT, _status(error)
    if isinstance(error, errors.GatedRepoError):
        raise ModelGatedError(
            f"{repo_id} is gated: accept its conditions at {endpoint}/{repo_id}, then set HF_TOKEN to a token of the "
            "same account (or run 'hf auth login')"
        ) from error
    if isinstance(error, errors.HFValidationError):
        raise ModelNotFoundError(f"model: got {repo_id!r}, allowed: a hub id 'organisation/name': {error}") from error
    if isinstance(error, errors.RepositoryNotFoundError):
        raise ModelNotFoundError(
            f"{endpoint} has no model {repo_id!r}, or it is private: check the name, or set HF_TOKEN to a token that "
            "may read it"
        ) from error
    if status in (401, 403):
        raise ModelGatedError(
            f"{endpoint} refused {repo_id} ({status}): check HF_TOKEN and the conditions at {endpoint}/{repo_id}"
        ) from error
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HTTPError)):
        raise _offline(hub, repo_id, error) from error
    raise ModelError(f"{repo_id} could not be stored in {hub.constants.HF_HUB_CACHE}: {error}") from error


def _offline(hub: ModuleType, repo_id: str, error: Exception) -> ModelOfflineError:
    constants, status = hub.constants, _status(error)
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE forbids to download it: unset it for one run"
    elif status is not None:
        reason = f"{constants.ENDPOINT} answered {status}: try again later"
    else:
        cause = error.__cause__ or error
        reason = f"{constants.ENDPOINT} could not be reached ({type(cause).__name__}: {cause}): connect for one run"
    return ModelOfflineError(
        f"{repo_id} is not in the cache ({constants.HF_HUB_CACHE}), and {reason}, or give the path of a folder that "
        f"'hf download {repo_id} --local-dir FOLDER' made elsewhere; the bundled 'demo' needs no network"
    )


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, or behind what caused it."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return int(response.status_code)
        error = error.__cause__
    return None
