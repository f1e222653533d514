"""The way of one file through the parts: audio, speech, engine, and back into time order."""
