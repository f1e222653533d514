"""Settings of the test processes, made before anything imports torch."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from postgresql import Cluster, programs

# Idle threads sleep instead of spinning, and each process has one: several test processes share few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell lets what it starts in the background ignore Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails because the machine is busy.
settings.register_profile("any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_speed")


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL server, where its programs are installed."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: neither pg_ctl in PATH nor /usr/lib/postgresql/*/bin")
    opened = Cluster()
    yield opened
    opened.close()
