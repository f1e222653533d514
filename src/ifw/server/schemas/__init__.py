"""Bodies of requests and replies, one module a family of routes."""
