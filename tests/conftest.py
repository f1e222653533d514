"""Settings of the test processes, made before anything imports torch."""

import os

from hypothesis import HealthCheck, settings

# Idle threads sleep instead of spinning, and each process has one: several test processes share few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test fails because the machine is busy.
settings.register_profile("any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_speed")
