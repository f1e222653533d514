import pytest
from clips import Undisturbed, make_clips
from processes import Place
from surroundings import Surroundings


@pytest.fixture(scope="session")
def files():
    return make_clips()


@pytest.fixture(scope="session")
def said(files):
    """What an Undisturbed run says, by file name."""
    opened = Undisturbed(files)
    yield opened
    opened.transcriber.close()


@pytest.fixture
def surroundings(files):
    opened = Surroundings(dict(files))
    yield opened
    opened.close()


@pytest.fixture
def new_place(tmp_path):
    made = []

    def make(database_url=None, **changes):
        made.append(Place(tmp_path / f"place{len(made)}", database_url, **changes))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    return None if request.param == "sqlite" else request.getfixturevalue("cluster").new_database()
