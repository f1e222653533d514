"""The draft model of a server: loaded beside the checkpoint, and what is said where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

import ifw
from ifw.errors import NotReadyError
from ifw.service.loading import LoadedModel
from ifw.service.settings import Settings, load_settings

SAMPLE = Path(ifw.__file__).parent / "demo" / "sample.mp3"


def settings(tmp_path: Path, **overrides: object) -> Settings:
    wanted = {"model": "demo", "device": "cpu", "n_threads": 1, "data_dir": tmp_path}
    return load_settings(wanted | overrides)


def test_it_proposes_and_the_engine_is_as_the_settings_say(tmp_path):
    model = LoadedModel(settings(tmp_path, draft_model="demo", draft_tokens=2, cross_kv="int8"))
    model.start()
    try:
        transcriber = model.wait()
        assert transcriber.transcribe(SAMPLE).text
        stats = transcriber.stats()
        assert 0 < stats.n_drafted <= 2 * stats.n_steps * stats.n_slots
        assert stats.n_accepted > 0.8 * stats.n_drafted
    finally:
        model.close()


def test_one_that_is_not_there_is_told_with_its_variable(tmp_path):
    model = LoadedModel(settings(tmp_path, draft_model="no-such-draft"))
    model.start()
    try:
        with pytest.raises(NotReadyError, match="the model demo with a draft model could not be loaded"):
            model.wait()
        assert model.status.code == "model_not_found"
        assert "check IFW_MODEL and IFW_DRAFT_MODEL" in model.status.message
    finally:
        model.close()
