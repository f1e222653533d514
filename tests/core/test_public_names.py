import inspect
import subprocess
import sys

import pytest

import ifw
from ifw import errors


def test_every_public_name_is_there():
    for name in ifw.__all__:
        assert getattr(ifw, name) is not None
    assert sorted(ifw.__all__) == ifw.__all__ == dir(ifw)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        ifw.no_such_name  # noqa: B018


def test_import_pulls_in_no_heavy_module():
    heavy = "{'torch', 'av', 'transformers', 'huggingface_hub', 'typer', 'rich', 'numpy', 'tokenizers'}"
    code = f"import sys, ifw; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def error_classes():
    return [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, errors.IfwError)]


def test_every_error_has_its_own_code_and_stands_in_the_drawing():
    classes = error_classes()
    assert len({item.code for item in classes}) == len(classes)
    for item in classes:
        lines = [line for line in errors.__doc__.splitlines() if item.__name__ in line.split()]
        assert len(lines) == 1, item
        if item is not errors.IfwError:
            assert lines[0].split()[-1] == item.code
