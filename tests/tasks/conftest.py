import pytest
from toys import Receiver, Toy
from workplace import Workplace

from ifw.tasks import TaskOptions, Tasks


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture
def options(tmp_path):
    return TaskOptions(
        tmp_path / "data",
        poll_s=0.02,
        flush_s=0.02,
        heartbeat_s=0.1,
        dead_after_s=1.0,
        max_running=2,
        allow_nets=("127.0.0.0/8",),
        delivery_delays_s=(0.02, 0.02, 0.02, 0.02),
        webhook_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )


@pytest.fixture
def tasks(toy, options):
    with Tasks(toy.stages(), options) as opened:
        yield opened
        toy.release.set()


@pytest.fixture
def receiver():
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    return None if request.param == "sqlite" else request.getfixturevalue("cluster").new_database()


@pytest.fixture
def new_workplace(tmp_path):
    made = []

    def make(url, **options):
        made.append(Workplace(tmp_path / f"place{len(made)}", url, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
