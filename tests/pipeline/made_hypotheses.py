"""Hypotheses as the engine would give them, without an engine."""

from ifw.engine.request import Hypothesis

NOTHING_ODD = Hypothesis(
    token_ids=(),
    text="",
    language="en",
    avg_logprob=-0.1,
    no_speech_prob=0.0,
    compression_ratio=1.0,
    temperature=0.0,
    suspect=None,
    is_silent=False,
    n_attempts=1,
)
