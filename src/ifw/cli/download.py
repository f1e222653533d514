"""Audio behind a URL, as a file that is gone when it is closed."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ifw.cancellation import CancelToken

OnBytes = Callable[[int, int | None], None]

MAX_S: Final = 24 * 3600.0  # somebody watches


@contextmanager
def downloaded(url: str, label: str, cancel: CancelToken, on_bytes: OnBytes | None) -> Iterator[BinaryIO]:
    """Download a URL into the temporary folder. Private addresses may be reached: the user is the operator.

    Args:
        url: http or https.
        label: The name of the file object, for messages.
        cancel: Ends the download.
        on_bytes: Told how much has arrived and how much there is, as far as known.

    Raises:
        FetchError: It failed.
        CancelledError: `cancel` was cancelled.
    """
    from ifw.fetch import FetchOptions, fetch

    options = FetchOptions(total_timeout_s=MAX_S, block_private=False)
    with tempfile.TemporaryDirectory(prefix="ifw-") as folder:
        path = Path(folder) / "audio"
        fetch(url, path, options, cancel=cancel, on_progress=on_bytes)
        raw = io.FileIO(path)
    raw.name = label
    with io.BufferedReader(raw) as stream:
        yield stream
