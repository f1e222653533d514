"""Read configurations with truss's own models, in its environment; print what is wrong with each, as JSON.

Truss takes keys that it does not know without a word when it reads a configuration; here they are an error.
"""

import json
import sys
from pathlib import Path

import yaml
from truss.base.truss_config import TrussConfig


def complaint_about(path):
    config = TrussConfig.from_yaml(Path(path))
    config.validate_forbid_extra()  # as `truss push` does
    given = yaml.safe_load(Path(path).read_text())
    lost = sorted(unknown(given, config))
    return f"unknown: {', '.join(lost)}" if lost else ""


def unknown(given, model, where=""):
    """Keys of a mapping for which the model that was made of it has no field."""
    fields = type(model).model_fields if hasattr(type(model), "model_fields") else None
    if isinstance(given, dict) and fields is not None:
        for key, value in given.items():
            if key not in fields:
                yield f"{where}{key}"
            else:
                yield from unknown(value, getattr(model, key), f"{where}{key}.")
    elif isinstance(given, list) and isinstance(model, list):
        for one, of_model in zip(given, model, strict=True):
            yield from unknown(one, of_model, where)


def main():
    found = {}
    for path in sys.argv[1:]:
        try:
            found[path] = complaint_about(path)
        except Exception as error:
            found[path] = str(error)
    sys.stdout.write(json.dumps(found))


main()
