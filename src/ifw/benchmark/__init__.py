"""How fast the engine is, beside other engines on the same machine: the same weights, windows and token counts.

Nothing here imports another engine: each runs in a process of its own, in an environment of its own
(`benchmark.driver_main`).
"""
