"""Settings of the test processes, made before anything imports torch."""

import os

# Idle threads sleep instead of spinning, and each process has one: several test processes share few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
