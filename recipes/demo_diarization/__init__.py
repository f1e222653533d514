"""Trains the demo diarization model."""
