"""One server for all attacks. After each, nothing was touched and the server is well."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attacker import ADDRESS, NameServer, Site
from canaries import FileCanary, PortCanary
from server_process import serving
from siege import KEY, SHORT, Siege

NAMES = Path(__file__).with_name("names")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attacks need what Linux has: all of 127.0.0.0/8, and a kernel that tells who opens a file."""
    if not sys.platform.startswith("linux"):
        for item in items:
            if Path(item.fspath).parent == Path(__file__).parent:
                item.add_marker(pytest.mark.skip(reason="needs inotify and 127.0.0.66, which Linux has"))


@pytest.fixture(scope="session")
def canary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("canaries")
    shutil.copy(SHORT, folder / "canary.ogg")
    (folder / "secret.txt").write_text("CANARY-FILE")
    return folder


@pytest.fixture(scope="session")
def besieged(tmp_path_factory: pytest.TempPathFactory, canary_folder: Path) -> Iterator[Siege]:
    folder = tmp_path_factory.mktemp("besieged")
    limits = ["--max-upload-bytes", "8MB", "--max-fetch-bytes", "8MB", "--max-audio", "600", "--client-timeout", "1"]
    with (
        closing(PortCanary()) as ports,
        Site(ports.port) as site,
        NameServer() as names,
        closing(FileCanary(canary_folder)) as files,
        serving(
            folder,
            *("--allow-nets", f"{ADDRESS}/32", "--max-running", "8", *limits),
            env={"ADMIN_KEY": KEY, "ATTACKERS_NAMES": names.address},
            paths=[NAMES],
        ) as server,
    ):
        server.wait_ready()
        siege = Siege(server, site, names, files, ports)
        with siege.client:
            yield siege


@pytest.fixture
def siege(besieged: Siege) -> Iterator[Siege]:
    yield besieged
    besieged.check()
