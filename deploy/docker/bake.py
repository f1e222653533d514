"""Bring models into the cache of the hub: python bake.py CHECKPOINT [DIARIZATION_MODEL]."""

from __future__ import annotations

import sys

from ifw.model.registry import resolve_checkpoint


def main() -> None:
    """Download what is not there; a model that tells speakers apart is loaded, which finds all its repositories."""
    checkpoint, diarization_model = sys.argv[1], "".join(sys.argv[2:])
    print(f"{checkpoint}: {resolve_checkpoint(checkpoint)}")
    if diarization_model:
        from ifw.diarize.diarizer import Diarizer  # noqa: PLC0415 - loads torch

        Diarizer(diarization_model, device="cpu")
        print(diarization_model)


if __name__ == "__main__":
    main()
