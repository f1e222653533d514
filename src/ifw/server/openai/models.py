"""Which names of models this server answers to: one checkpoint is loaded, and it has several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ifw.errors import ModelNotFoundError
from ifw.model.registry import other_names
from ifw.server.openai.form import DIARIZING_MODEL
from ifw.server.openai.form_encoding import shown

WHISPER_PUBLISHED: Final = 1_663_718_400
"""Unix time of 21 September 2022; the API wants a day on which the model was made."""


CONVERTERS: Final = frozenset({"systran", "deepdml", "mobiuslabsgmbh"})
"""Who publishes the same checkpoints as files of faster-whisper, by whose names its servers are asked for them."""


class ServedModels:
    """The names of the loaded checkpoint.

    Args:
        model: As clients are told of it.
        aliases: Further names that the operator allows.
        diarizes: Whether speakers can be told apart, so that it has the name of OpenAI's model that does.

    Attributes:
        ids: Those that are listed: the model, its hub id where it has one, and the aliases.
    """

    def __init__(self, model: str, aliases: Sequence[str], diarizes: bool = False) -> None:
        others = other_names(model)
        hub_ids = [name for name in others if "/" in name]
        diarizing = [DIARIZING_MODEL] if diarizes else []
        self.ids: tuple[str, ...] = tuple(dict.fromkeys([model, *hub_ids, *aliases, *diarizing]))
        self._names = {name.lower() for name in (*self.ids, *others)}

    def check(self, asked: str | None) -> None:
        """Refuse another model.

        Args:
            asked: A name in any case; None stands for the loaded one.

        Raises:
            ModelNotFoundError: It is not one of the names.
        """
        if asked is not None and asked.strip().lower() == DIARIZING_MODEL and DIARIZING_MODEL not in self.ids:
            raise ModelNotFoundError(
                f"model: got {shown(asked)}, but this server has no diarization model (IFW_DIARIZATION_MODEL), "
                f"allowed: {', '.join(self.ids)}"
            )
        if asked is not None and _original_name(asked.strip().lower()) not in self._names:
            raise ModelNotFoundError(
                f"model: got {shown(asked)}, allowed: {', '.join(self.ids)}; this server has loaded {self.ids[0]}"
            )

    def entry(self, model_id: str) -> dict[str, Any]:
        """What the API says about one of the names.

        Raises:
            ModelNotFoundError: It is not one of the names.
        """
        self.check(model_id)
        owners = (name.partition("/")[0] for name in self.ids if "/" in name)
        return {"id": model_id, "object": "model", "created": WHISPER_PUBLISHED, "owned_by": next(owners, "ifw")}

    def listing(self) -> dict[str, Any]:
        """What the API says about all of them."""
        return {"object": "list", "data": [self.entry(name) for name in self.ids]}


def _original_name(asked: str) -> str:
    """The name of the checkpoint that a conversion was made of: `systran/faster-whisper-tiny` is `whisper-tiny`."""
    owner, _, name = asked.partition("/")
    if owner not in CONVERTERS:
        return asked
    return name.removeprefix("faster-").removesuffix("-ct2").replace("distil-whisper-", "distil-")
