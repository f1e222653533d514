import pytest

from ifw import CancelToken
from ifw.errors import CancelledError


def test_callbacks_run_once():
    token, calls = CancelToken(), []
    token.add_callback(lambda: calls.append("a"))
    token.add_callback(lambda: calls.append("b"))
    token.cancel()
    token.cancel()
    assert calls == ["a", "b"]


def test_a_late_callback_runs_at_once():
    token, calls = CancelToken(), []
    token.cancel()
    token.add_callback(lambda: calls.append("late"))
    assert calls == ["late"]


def test_a_removed_callback_does_not_run():
    token, calls = CancelToken(), []
    remove = token.add_callback(lambda: calls.append("never"))
    remove()
    remove()
    token.cancel()
    assert calls == []


def test_raises_only_after_cancel():
    token = CancelToken()
    token.raise_if_cancelled()
    assert not token.is_cancelled
    token.cancel()
    assert token.is_cancelled
    with pytest.raises(CancelledError) as caught:
        token.raise_if_cancelled()
    assert caught.value.code == "cancelled"
