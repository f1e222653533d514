"""Whisper checkpoints: names, weights, tokenizer, log-mel and the forward passes. Import from the modules."""
