import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ifw.errors import RequestError
from ifw.server.schemas.form_values import values_of
from ifw.server.schemas.openapi import inlined
from ifw.server.schemas.tasks import TaskBody, TaskOptionsBody


def read(*fields: tuple[str, str]) -> dict:
    return TaskOptionsBody.model_validate(values_of(fields, TaskOptionsBody)).model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ([("word_timestamps", "true"), ("language", "en")], {"word_timestamps": True, "language": "en"}),
        ([("initial_prompt", "123"), ("hotwords", "true")], {"initial_prompt": "123", "hotwords": "true"}),
        ([("beam_size", "5"), ("deadline_s", "1.5")], {"beam_size": 5, "deadline_s": 1.5}),
        ([("temperatures", "0"), ("temperatures", "0.4")], {"temperatures": [0, 0.4]}),
        ([("temperatures[]", "0"), ("temperatures[]", "0.4")], {"temperatures": [0, 0.4]}),
        ([("temperatures", "[0, 0.4]")], {"temperatures": [0, 0.4]}),
        ([("temperatures", "0.2")], {"temperatures": [0.2]}),
        ([("vad[enabled]", "false"), ("vad[pad_ms]", "7")], {"vad": {"enabled": False, "pad_ms": 7}}),
        ([("vad.onset", "0.5")], {"vad": {"onset": 0.5}}),
        ([("vad", '{"onset": 0.5}')], {"vad": {"onset": 0.5}}),
        ([("webhook[url]", "http://1")], {"webhook": {"url": "http://1"}}),
        (
            [("webhook[url]", "12"), ("webhook[headers]", '{"a": "1"}')],
            {"webhook": {"url": "12", "headers": {"a": "1"}}},
        ),
        ([("clip", "[[1, 2], [3, null]]")], {"clip": [(1, 2), (3, None)]}),
        ([("mode", "translate"), ("preset", "")], {"mode": "translate"}),
        ([("mode", "null")], {"mode": None}),
    ],
)
def test_fields_become_values(fields, body):
    assert read(*fields) == body


@pytest.mark.parametrize(
    "fields",
    [
        [("language", "en"), ("language", "de")],
        [("vad[onset]", "0.5"), ("vad[onset]", "0.6")],
        [("vad", "{}"), ("vad", "{}")],
        [("webhook", "7"), ("webhook[url]", "x")],
    ],
)
def test_what_is_no_list_comes_once(fields):
    with pytest.raises(RequestError, match="given twice"):
        values_of(fields, TaskOptionsBody)


@pytest.mark.parametrize(
    "field",
    [
        ("langauge", "en"),
        ("vad[onnset]", "1"),
        ("beam_size", "many"),
        ("deadline_s", "NaN"),
        ("deadline_s", "Infinity"),
        ("deadline_s", "1e400"),
        ("temperatures", "NaN"),
        ("mode", "sing"),
        ("vad", "[" * 100_000),
        ("clip[0]", "1"),
    ],
)
def test_what_is_not_allowed_is_an_error_of_the_client(field):
    with pytest.raises(ValidationError):
        read(field)


@given(st.lists(st.tuples(st.text(max_size=12) | st.sampled_from(["vad", "clip", "webhook"]), st.text(max_size=12))))
def test_no_form_at_all_breaks_it(fields):
    try:
        values = values_of(fields, TaskOptionsBody)
    except RequestError:
        return
    assert set(values) <= {name.split("[")[0].split(".")[0] for name, _ in fields} | {name for name, _ in fields}


@pytest.mark.parametrize(
    "body", ['{"deadline_s": NaN}', '{"deadline_s": Infinity}', '{"temperatures": [NaN]}', '{"x": 1}']
)
def test_json_that_is_not_allowed(body):
    with pytest.raises(ValidationError):
        TaskOptionsBody.model_validate_json(body)


def test_the_document_has_no_references_left():
    schema = inlined(TaskBody)
    assert "$ref" not in json.dumps(schema)
    assert "$defs" not in schema
    webhook = next(one for one in schema["properties"]["webhook"]["anyOf"] if one["type"] == "object")
    assert webhook["required"] == ["url"]
    assert schema["required"] == ["url"]
