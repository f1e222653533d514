"""Settings: the environment, what wins over it, and what is told about a wrong one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ifw.cli.setting_flags import parse_settings, settings_help
from ifw.config import EngineConfig
from ifw.errors import ConfigError
from ifw.service.settings import Settings, default_of, flag_of, load_settings, unknown_variables, variable_of


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in os.environ:
        if name.upper() in {variable_of(field) for field in Settings.model_fields}:
            monkeypatch.delenv(name)


def test_every_setting_has_a_description_and_every_flag_and_variable_is_its_own():
    fields = Settings.model_fields
    assert all(info.description for info in fields.values())
    assert len({variable_of(name) for name in fields}) == len(fields)
    flags = [flag for name in fields if (flag := flag_of(name))]
    assert len(set(flags)) == len(flags)


def test_units_of_seconds_are_no_part_of_a_variable():
    assert variable_of("result_ttl_s") == "IFW_RESULT_TTL"
    assert flag_of("result_ttl_s") == "--result-ttl"
    assert variable_of("admin_key") == "ADMIN_KEY"


def test_the_environment_is_read_and_flags_win(monkeypatch):
    monkeypatch.setenv("IFW_MODEL", "tiny")
    monkeypatch.setenv("IFW_PORT", "9001")
    monkeypatch.setenv("IFW_RESULT_TTL", "60")
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    settings = parse_settings(["--port=9002", "--max_running", "3"])
    assert (settings.model, settings.port, settings.max_running) == ("tiny", 9002, 3)
    assert (settings.result_ttl_s, settings.log_level) == (60.0, "warning")


def test_lists_and_sizes_are_written_as_people_do(monkeypatch):
    monkeypatch.setenv("IFW_ALLOW_NETS", "10.1.0.0/16, ::1")
    monkeypatch.setenv("IFW_MAX_UPLOAD_BYTES", "2MiB")
    monkeypatch.setenv("ADMIN_KEY", "one, two,")
    monkeypatch.setenv("IFW_N_SLOTS", "")
    settings = load_settings()
    assert settings.allow_nets == ("10.1.0.0/16", "::1")
    assert settings.max_upload_bytes == 2 << 20
    assert settings.admin_keys() == ("one", "two")
    assert settings.n_slots is None


def test_the_engine_is_as_the_settings_say(monkeypatch):
    assert load_settings().engine_config == EngineConfig()
    for name, value in {
        "STEPS": "static",
        "CROSS_KV": "int8",
        "ENCODER_PRODUCTS": "float8",
        "DRAFT_MODEL": "distil-large-v3",
    }.items():
        monkeypatch.setenv(f"IFW_{name}", value)
    settings = load_settings({"n_slots": 3, "n_threads": 2, "device": "cpu", "compute_type": "float32"})
    assert settings.draft_model == "distil-large-v3"
    assert settings.engine_config == EngineConfig("cpu", "float32", 3, None, 2, "static", "int8", "float8")
    for flag in ("--steps=fast", "--cross-kv=int4", "--draft-tokens=0"):
        with pytest.raises(ConfigError, match=flag.partition("=")[0].replace("-", "_").strip("_").upper()):
            parse_settings([flag])


def test_keys_come_from_a_file_too(tmp_path: Path):
    file = tmp_path / "keys"
    file.write_text("# ours\n\nalpha  # of the phone\nbeta\nalpha\n")
    settings = load_settings({"admin_key_file": file, "admin_key": "gamma"})
    assert settings.admin_keys() == ("gamma", "alpha", "beta")


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe"])
def test_a_key_file_without_a_key_is_an_error_and_not_an_open_server(tmp_path: Path, content: bytes | None):
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="ADMIN_KEY_FILE"):
        load_settings({"admin_key_file": file}).admin_keys()


@pytest.mark.parametrize("text", [",", " , ,", " "])
def test_a_variable_without_a_key_is_an_error_and_not_an_open_server(monkeypatch, text: str):
    monkeypatch.setenv("ADMIN_KEY", text)
    with pytest.raises(ConfigError, match="ADMIN_KEY: got a text without any key"):
        load_settings()


def test_settings_do_not_change_and_hide_their_secrets(monkeypatch):
    monkeypatch.setenv("ADMIN_KEY", "key-4711")
    monkeypatch.setenv("IFW_WEBHOOK_SECRET", "whsec_c2VjcmV0")
    monkeypatch.setenv("IFW_DATABASE_URL", "postgresql://me:pass@db/ifw")
    settings = load_settings()
    for secret in ("key-4711", "c2VjcmV0", "pass"):
        assert secret not in repr(settings)
    assert set(settings.secrets()) == {"key-4711", "whsec_c2VjcmV0", "postgresql://me:pass@db/ifw", "pass"}
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "x"], r"IFW_PORT \(--port\)"),
        (["--port", "70000"], r"IFW_PORT \(--port\)"),
        (["--allow-nets", "10.0.0.0/99"], "IFW_ALLOW_NETS"),
        (["--device", "gpu"], "IFW_DEVICE"),
        (["--result-ttl", "-1"], "IFW_RESULT_TTL"),
        (["--max-upload-bytes", "many"], "IFW_MAX_UPLOAD_BYTES"),
        (["--nothing", "1"], "no option --nothing"),
        (["--admin-key", "secret"], "no option --admin-key"),
        (["turbo"], "no option turbo"),
        (["--model"], "--model: got no value"),
    ],
)
def test_a_wrong_setting_is_named(arguments: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        parse_settings(arguments)


def test_the_value_of_a_wrong_secret_is_not_told(monkeypatch):
    monkeypatch.setenv("IFW_PORT", "hunter2")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_variable_is_found():
    environment = {"IFW_MODLE": "x", "IFW_MODEL": "y", "PATH": "z", "IFW_RESULT_TTL": "1"}
    assert unknown_variables(environment) == ["IFW_MODLE"]


def test_help_names_everything():
    text = settings_help("ifw serve", "Serve.")
    for field, info in Settings.model_fields.items():
        assert variable_of(field) in text
        assert (flag_of(field) or "") in text
        assert default_of(field) in text
        assert (info.description or "").split()[0] in text
