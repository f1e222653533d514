"""Who speaks when: samples in, speaker turns out, with the models of pyannote.audio and none of its code."""
