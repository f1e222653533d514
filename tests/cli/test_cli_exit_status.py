import inspect

from ifw import errors
from ifw.cli.exit_status import EXIT_STATUS, exit_status


def test_every_error_has_a_status():
    codes = {item.code for _, item in inspect.getmembers(errors, inspect.isclass) if hasattr(item, "code")}
    assert set(EXIT_STATUS) == codes | {"internal"}
    assert 0 not in EXIT_STATUS.values()


def test_the_worst_decides():
    assert exit_status([]) == 0
    assert exit_status([errors.AudioEmptyError()]) == 1
    assert exit_status([errors.AudioEmptyError(), errors.EngineMemoryError(), errors.AudioError()]) == 4
    assert exit_status([errors.AudioError(), ValueError()]) == 70


def test_a_foreign_error_with_a_code_is_still_a_bug():
    error = ValueError()
    error.code = "audio_empty "
    assert exit_status([error]) == 70
