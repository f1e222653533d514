"""Where speech is: samples -> probabilities (`vad`) -> spans (`spans`) -> windows for the engine (`packer`)."""
