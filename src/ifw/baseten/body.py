"""What a client of the model on Baseten sends: the body of the predecessor, and audio without a URL."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import Any, Final

from pydantic import Field, ValidationError, field_validator, model_validator

from ifw.errors import RequestError
from ifw.fetch.url import MAX_URL_BYTES
from ifw.server.complaints import complaints
from ifw.server.schemas.predict import PredictBody

AUDIO_NAME: Final = "audio"
_DATA_URL: Final = re.compile(r"data:[^,]{0,200},")
_SPACE: Final = re.compile(r"\s")


class ModelInput(PredictBody):
    """What to transcribe."""

    url: str | None = Field(None, min_length=1, max_length=MAX_URL_BYTES)  # type: ignore[assignment]  # or `audio`
    audio: str | None = Field(None, min_length=1, description="A whole file in base64, instead of `url`.")
    stream: bool = Field(False, description="Reply with server-sent events, one a segment.")
    admin_key: str | None = Field(None, description="Wanted where the secret `admin_key` is set.")

    @field_validator("stream", mode="before")
    @classmethod
    def _null_is_false(cls, value: Any) -> Any:
        return False if value is None else value

    @model_validator(mode="after")
    def _has_one_source(self) -> ModelInput:
        if (self.url is None) == (self.audio is None):
            got = "neither" if self.url is None else "both"
            raise ValueError(f"url, audio: got {got}, allowed: the URL of a file, or a whole file in base64")
        return self


def read_input(model_input: object) -> ModelInput:
    """Check what a client has sent.

    Args:
        model_input: The JSON of its body.

    Raises:
        RequestError: It is not allowed; the message says what, but no value, which may be long or secret.
    """
    try:
        return ModelInput.model_validate(model_input)
    except ValidationError as error:
        raise RequestError("; ".join(complaints(error.errors(include_input=False, include_url=False)))) from None


def audio_of(text: str) -> io.BytesIO:
    """The file in base64, as a file. Takes a while for a long one, so call it outside of the event loop.

    Args:
        text: Base64 with or without padding, line breaks, and the head of a data URL.

    Raises:
        RequestError: It is no base64.
    """
    head = _DATA_URL.match(text)
    packed = _SPACE.sub("", text[head.end() :] if head else text).rstrip("=")
    try:
        audio = io.BytesIO(base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True))
    except (binascii.Error, ValueError):
        raise RequestError("audio: this is no base64; allowed: the bytes of an audio or video file in base64") from None
    audio.name = AUDIO_NAME  # for messages
    return audio
