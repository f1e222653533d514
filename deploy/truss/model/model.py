"""What Baseten's server loads. All that it does is in `ifw.baseten`, which tests run without Baseten."""

import os

from fastapi import Request


class Model:
    """A model as Truss wants it: made, loaded once, then asked by several requests at the same time."""

    def __init__(self, secrets, **given):
        token = _secret(secrets, "hf_access_token")
        if token:
            os.environ.setdefault("HF_TOKEN", token)
        from ifw.baseten.model import BasetenModel  # noqa: PLC0415 - once the token is there

        self._model = BasetenModel(admin_key=_secret(secrets, "admin_key"))

    def load(self):
        """Load the checkpoint and warm it up."""
        self._model.load()

    def is_healthy(self):
        """Whether requests can be worked on."""
        return self._model.is_healthy()

    async def predict(self, model_input, request: Request):
        """Transcribe."""
        return await self._model.predict(model_input, request)


def _secret(secrets, name):
    """A secret, or None where it is not set: Truss raises an error of its own, which no package exports."""
    try:
        return secrets[name].strip()
    except Exception:
        return None
