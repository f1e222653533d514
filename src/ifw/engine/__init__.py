"""Windows in, hypotheses out: one engine that decodes the windows of all requests together."""
