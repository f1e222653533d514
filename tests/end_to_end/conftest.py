import pytest

from ifw import Transcriber


@pytest.fixture(scope="session")
def transcriber():
    with Transcriber("demo", n_threads=1) as shared:
        yield shared
